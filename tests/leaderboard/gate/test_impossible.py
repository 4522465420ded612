"""Every rule about impossible values fires on a planted one, and no committed record breaks any."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bench.record import Record
from leaderboard.gate.impossible import RULES, Rule, broken
from leaderboard.gate.judge import compare
from leaderboard.store import committed_folder, read_rows

CODEBOOKS = (1024, 256)
RAW = math.log(1024) + math.log(256)


def a_row(made: Any, task: str, column: str, values: dict[str, float], **more: Any) -> Record:
    card = made.column(column, column, better="none", unit="1", **more)
    return made.make(tasks={task: made.entry({card: values})}, codebooks=CODEBOOKS)  # type: ignore[no-any-return]


def rule_of(task: str, column: str, low: bool) -> Rule:
    """The rule with a lower (or upper) bound for a column of that task."""
    from fnmatch import fnmatchcase

    for rule in RULES:
        bound = rule.low if low else rule.high
        if fnmatchcase(task, rule.task) and fnmatchcase(column, rule.column) and bound is not None:
            return rule
    raise AssertionError(f"no rule for {task} {column}")


PLANTED = [
    ("reconstruction", "prior_pesq", -0.6, 4.7),
    ("codec_predictability", "stoi", -1.1, 1.1),
    ("generation", "continuation_speaker", -1.1, 1.1),
    ("reconstruction", "posterior_si_sdr", -101.0, 101.0),
    ("reconstruction", "posterior_wer_open", -0.01, None),
    ("generation", "resampled_cer_open", -0.01, None),
    ("generation", "whole_codec_voicing_error", -0.1, 1.1),
    ("generation", "continuation_silence", -0.1, 1.1),
    ("generation", "text_capped", -0.1, 1.1),
    ("delta_nll", "catastrophic_80ms", -0.1, 1.1),
    ("rollout_gap", "catastrophic", -0.1, 1.1),
    ("rollout_gap", "collapsed", -0.1, 1.1),
    ("codec_predictability", "recurrence_null", -0.1, 1.1),
    ("codec_predictability", "nce_accuracy_80ms", -0.1, 1.1),
    ("reconstruction", "codec_mel", -0.1, None),
    ("code_rate", "rate", -0.1, RAW + 0.1),
    ("code_rate", "rate_first", -0.1, math.log(1024) + 0.1),
    ("code_rate", "rate_rest", -0.1, math.log(256) + 0.1),
    ("code_rate", "unigram", -0.1, None),
    ("matched_rate", "codec_rate_here", -0.1, RAW + 0.1),
    ("matched_rate", "codec_code_length", -0.1, RAW + 0.1),
    ("matched_rate", "point_rate", -0.1, None),
    ("innovation_rate", "rate_dyn", -0.1, None),
    ("rollout_gap", "gap_sampled_160ms", -1.0, None),
    ("rollout_gap", "gap_mean_1280ms", -1.0, None),
]


@pytest.mark.parametrize(("task", "column", "low", "high"), PLANTED, ids=lambda v: str(v))
def test_a_planted_value_is_refused(made: Any, task: str, column: str, low: float, high: float | None) -> None:
    for planted, word in ((low, "at least"), (high, "at most")):
        if planted is None:
            continue
        rule = rule_of(task, column, low=word == "at least")
        values = dict.fromkeys(made.spread(0.0), 0.5)
        if rule.of == "each":
            # one utterance is enough
            values["u007"] = planted
        else:
            values = {u: planted + v for u, v in made.spread(0.0, 0.01).items()}
        (line,) = broken(a_row(made, task, column, values))
        assert f"{task} {column}: impossible value: " in line and word in line and rule.why in line
        found = compare([a_row(made, task, column, dict.fromkeys(values, 0.5))], [a_row(made, task, column, values)])
        assert found.code == 2 and line in found.refused


def test_every_rule_is_planted() -> None:
    planted = {
        rule_of(t, c, low) for t, c, *bounds in PLANTED for low in (True, False) if bounds[0 if low else 1] is not None
    }
    assert planted == set(RULES)


def test_a_perfect_score_is_possible(made: Any) -> None:
    """PESQ of a recording against itself, 4.6439, and every bound itself."""
    for column, value in (("codec_pesq", 4.644), ("codec_stoi", 1.0), ("codec_wer_open", 0.0), ("codec_wer_open", 1.4)):
        assert broken(a_row(made, "reconstruction", column, dict.fromkeys(made.spread(0.0), value))) == []


def test_a_mean_decides_where_one_utterance_may_exceed(made: Any) -> None:
    values = dict.fromkeys(made.spread(0.0), RAW - 1.0) | {"u003": RAW + 3.0}
    assert broken(a_row(made, "code_rate", "rate", values)) == []


def test_without_codebooks_a_rate_has_no_upper_bound(made: Any) -> None:
    card = made.column("codec_rate", "codec_rate")
    assert broken(made.make(tasks={"matched_rate": made.entry({card: made.spread(999.0)})})) == []


def test_a_gap_below_zero_by_chance_is_possible(made: Any) -> None:
    """A model that reads no context has a gap of 0: half of such rows lie below it."""
    for seed in range(40):
        row = a_row(made, "rollout_gap", "gap_sampled_160ms", made.spread(0.0, 1.0, seed=seed))
        assert broken(row) == []
    assert broken(a_row(made, "rollout_gap", "gap_sampled_160ms", dict.fromkeys(made.spread(0.0), -1e-6))) == []


def test_strangers_tasks_are_held_to_no_rule_of_ours(made: Any) -> None:
    assert broken(a_row(made, "my_task", "rate", made.spread(-5.0))) == []


def test_all_committed_records_pass() -> None:
    assert [line for row in read_rows(committed_folder()) for line in broken(row)] == []
