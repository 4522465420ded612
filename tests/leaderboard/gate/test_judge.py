"""The regression rule: planted changes are found, noise is not, and unlike things are not compared."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import pytest

from bench.config import ColumnCard
from leaderboard.gate.change import Change, Outcome
from leaderboard.gate.diff import as_text
from leaderboard.gate.document import as_json
from leaderboard.gate.judge import compare
from leaderboard.gate.margins import Seeds


def one_column(made: Any, card: ColumnCard, old: Any, new: Any) -> Outcome:
    records = [made.make(tasks={"delta_nll": made.entry({card: v})}) for v in (old, new)]
    return compare(records[:1], records[1:])


def verdict(made: Any, card: ColumnCard, old: Any, new: Any) -> Change:
    (change,) = one_column(made, card, old, new).changes
    return change


def assert_refused(found: Outcome, message: str) -> None:
    """One line says so, what it concerns has no verdict, and the exit code is 2."""
    (line,) = found.refused
    assert re.search(message, line), line
    assert found.code == 2


def moved(values: dict[str, float], by: float, noise: float = 0.0, seed: int = 9) -> dict[str, float]:
    """The same utterances, each moved by about `by`."""
    extra = np.random.default_rng(seed).normal(0, 1, len(values))
    extra = noise * (extra - extra.mean())
    return {u: v + by + float(e) for (u, v), e in zip(values.items(), extra, strict=True)}


@pytest.mark.parametrize(
    ("better", "by", "expected"),
    [
        ("higher", -0.2, "regressed"),
        ("higher", 0.2, "improved"),
        ("lower", 0.2, "regressed"),
        ("lower", -0.2, "improved"),
        ("higher", -0.04, "unchanged"),
        ("lower", 0.04, "unchanged"),
    ],
)
def test_direction_and_margin(made: Any, better: str, by: float, expected: str) -> None:
    """Between utterances the values differ by 5, the planted change is .2 with noise .1: pairing finds it."""
    card = made.column("gain", "gain", better=better, margin=0.1)
    old = made.spread(1.0, 5.0)
    assert verdict(made, card, old, moved(old, by, noise=0.1)).verdict == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (1.1, 1.3, "regressed"),
        (0.9, 0.7, "regressed"),
        (1.3, 1.1, "improved"),
        (0.7, 0.9, "improved"),
        (0.9, 1.1, "unchanged"),
        (1.0, 1.04, "unchanged"),
        (0.8, 1.3, "unchanged"),
    ],
)
def test_one_is_best_from_both_sides(made: Any, old: float, new: float, expected: str) -> None:
    """From .8 to 1.3 the value moves by .5, the distance from one by .1 only."""
    card = made.column("ratio", "ratio", better="one", margin=0.11)
    values = made.spread(old, 0.05)
    centred = moved(values, old - float(np.mean(list(values.values()))))
    change = verdict(made, card, centred, moved(centred, new - old, noise=0.02))
    assert change.verdict == expected
    assert change.change is not None
    assert change.change.value == pytest.approx(abs(new - 1) - abs(old - 1), abs=1e-9)


def test_a_change_within_noise_is_no_regression(made: Any) -> None:
    """A mean .3 worse, whose sampling error is .3: no verdict, whatever the margin."""
    card = made.column("gain", "gain", margin=0.0)
    old = made.spread(1.0)
    change = verdict(made, card, old, moved(old, -0.3, noise=0.3 * math.sqrt(40)))
    assert change.verdict == "unchanged"
    assert change.change is not None
    assert change.change.low < -0.3 < change.change.high


def test_pure_noise_seldom_regresses(made: Any) -> None:
    """One-sided 2 % by design at margin 0 (binomial 99.9 % limit of 100: 8); none with a margin of one error more."""
    flagged = {0.0: 0, 0.25: 0}
    for margin in flagged:
        card = made.column("gain", "gain", margin=margin)
        for seed in range(100):
            old, new = made.spread(1.0, seed=seed), made.spread(1.0, seed=1000 + seed)
            flagged[margin] += verdict(made, card, old, new).verdict == "regressed"
    assert flagged[0.0] <= 8
    assert flagged[0.25] <= 2


def test_identical_records_do_not_change(made: Any) -> None:
    found = compare([made.make()], [made.make()])
    judged = [c for cards in made.planned_columns().values() for c in cards.values() if c.better != "none"]
    assert len(found.changes) == len(judged)
    assert {c.verdict for c in found.changes} == {"unchanged"}
    assert all(c.change is not None and c.change.value == c.change.low == c.change.high == 0 for c in found.changes)


def test_numbers_are_in_the_shown_unit(made: Any) -> None:
    card = made.column("gain", "gain", unit="nats/frame", shown="bit/s", margin=0.1)
    old = made.spread(1.0, 0.0)
    change = verdict(made, card, old, moved(old, -0.5))
    assert (change.committed, change.fresh) == pytest.approx((18.0337, 9.01684), abs=1e-3)
    assert change.change is not None
    assert change.change.value == pytest.approx(-9.01684, abs=1e-4)
    assert change.margin == pytest.approx(1.80337, abs=1e-4)


def test_weights_of_each_side_count(made: Any) -> None:
    card = made.column("wer", "WER", unit="share", shown="%", better="lower", margin=0.01)
    rates = {u: 0.0 if i % 2 else 0.4 for i, u in enumerate(made.spread(0.0))}
    words = {u: 1.0 if i % 2 else 3.0 for i, u in enumerate(rates)}
    change = verdict(made, card, {"values": rates}, {"values": rates, "weights": words})
    assert (change.committed, change.fresh) == pytest.approx((20.0, 30.0))
    assert change.change is not None
    assert change.change.value == pytest.approx(10.0)


@pytest.mark.parametrize("changes", [{"better": "none"}, {"margin": None}])
def test_columns_without_direction_or_margin_are_not_judged(made: Any, changes: dict[str, Any]) -> None:
    card = made.column("rate", "rate", **({"margin": 0.1} | changes))
    assert one_column(made, card, made.spread(1.0), made.spread(-99.0)).changes == []


def test_one_utterance_gives_no_verdict(made: Any) -> None:
    card = made.column("gain", "gain", margin=0.0)
    assert verdict(made, card, {"u000": 5.0}, {"u000": 1.0}).verdict == "unchanged"


def test_the_committed_margin_counts(made: Any) -> None:
    """A change cannot loosen the margin that it is judged by."""
    old = made.make(tasks={"t": made.entry({made.column("g", "g", margin=0.1): made.spread(1.0)})})
    new = made.make(tasks={"t": made.entry({made.column("g", "g", margin=99.0): made.spread(0.0)})})
    assert [c.verdict for c in compare([old], [new]).changes] == ["regressed"]


# --- what was scored before and is not now -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fresh", "reason"),
    [
        ({"status": "failed", "reason": "RuntimeError: boom"}, "failed: RuntimeError: boom"),
        ({"status": "skipped", "reason": "needs log_prob"}, "skipped: needs log_prob"),
        ({"skipped_columns": {"gain": "samples only"}}, "skipped: samples only"),
        ({}, "not in the fresh record"),
    ],
)
def test_lost_columns_regress(made: Any, fresh: dict[str, Any], reason: str) -> None:
    card = made.column("gain", "gain", better="none")
    old = made.make(tasks={"t": made.entry({card: made.spread(1.0)})})
    new = made.make(tasks={"t": made.entry(**fresh)})
    assert [(c.verdict, c.reason) for c in compare([old], [new]).changes] == [("regressed", reason)]


def test_a_task_that_was_not_run_has_no_verdict(made: Any) -> None:
    tasks = made.planned_tasks()
    fewer = {n: t for n, t in tasks.items() if n != "rollout_gap"}
    old = made.make(tasks=tasks)
    found = compare([old], [made.make(tasks=fewer)])
    assert found.tasks_not_run == [(old.key, "rollout_gap")]
    assert found.regressed == []
    assert {c.task for c in found.changes} == {"delta_nll", "reconstruction"}


def test_a_task_that_gave_nothing_before_is_not_missed(made: Any) -> None:
    old = made.make(tasks={"t": made.entry(status="skipped", reason="needs log_prob")})
    assert compare([old], [made.make(tasks={})]).tasks_not_run == []


def test_utterances_that_lose_their_value_regress(made: Any) -> None:
    card = made.column("pesq", "PESQ", margin=0.1)
    old = made.spread(1.0)
    kept = {u: v for u, v in old.items() if u not in ("u002", "u005")}
    change = verdict(made, card, old, {"values": kept, "unscored": {"u005": "silent", "u002": "no speech"}})
    assert change.verdict == "regressed"
    assert change.reason == "2 utterances lost their value, first 'u002': no speech"


def test_utterances_that_gain_a_value_do_not(made: Any) -> None:
    card = made.column("pesq", "PESQ", margin=0.1)
    new = made.spread(1.0)
    old = {"values": {u: v for u, v in new.items() if u != "u000"}, "unscored": {"u000": "silent"}}
    change = verdict(made, card, old, new)
    assert (change.verdict, change.reason) == ("unchanged", "")


def test_what_had_no_score_cannot_regress(made: Any) -> None:
    old = made.make(tasks={"t": made.entry(status="failed", reason="x", version=1)})
    new = made.make(tasks={"t": made.entry(status="failed", reason="y", version=2)})
    assert compare([old], [new]).changes == []


# --- what cannot be compared --------------------------------------------------------------------------------


def test_other_versions_are_refused(made: Any) -> None:
    tasks = made.planned_tasks()
    tasks["rollout_gap"]["version"] = 2
    assert_refused(
        compare([made.make()], [made.make(tasks=tasks)]), r"raw_ar rollout_gap: expected version 1 as committed, got 2"
    )


def test_other_parameters_are_refused(made: Any) -> None:
    tasks = made.planned_tasks()
    tasks["rollout_gap"]["parameters"] = {"steps": 900}
    assert_refused(
        compare([made.make()], [made.make(tasks=tasks)]),
        r"rollout_gap: parameter steps differs: committed 200, fresh 900",
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ({}, {"utterances": 37}, r"expected the same utterances, got 3 removed, first 'u037'"),
        ({"utterances": 37}, {}, r"expected the same utterances, got 3 added, first 'u037'"),
        ({}, {"dataset_digest": "b2"}, "dataset content differs: committed a1, fresh b2"),
        ({}, {"weights": "m2"}, "codec weights differs: committed m1, fresh m2"),
    ],
)
def test_other_ground_is_refused(made: Any, old: dict[str, Any], new: dict[str, Any], message: str) -> None:
    tasks = {"t": made.entry({made.column("g", "g"): made.spread(1.0, n=37)})}
    assert_refused(compare([made.make(tasks=tasks, **old)], [made.make(tasks=tasks, **new)]), message)


def test_utterances_dropped_from_one_column_are_refused(made: Any) -> None:
    card = made.column("gain", "gain", margin=0.1)
    old = made.spread(1.0)
    assert_refused(
        one_column(made, card, old, {u: v for u, v in old.items() if u != "u007"}),
        r"raw_ar delta_nll gain: expected the same utterances, got 1 removed",
    )


@pytest.mark.parametrize("changed", [{"unit": "dB"}, {"better": "lower"}, {"aggregate": "median"}])
def test_a_changed_meaning_is_refused(made: Any, changed: dict[str, Any]) -> None:
    cards = [made.column("g", "g", margin=0.1, **c) for c in ({}, changed)]
    old, new = ([made.make(tasks={"t": made.entry({card: made.spread(1.0)})})] for card in cards)
    assert_refused(compare(old, new), "needs a new version")


def test_nothing_in_common_is_refused(made: Any) -> None:
    assert_refused(compare([made.make("a")], [made.make("b")]), "no fresh row has a committed one")
    assert_refused(
        compare([made.make("a", suite="mini")], [made.make("a", suite="quick")]), "no fresh row has a committed one"
    )


def test_rows_on_one_side_are_listed(made: Any) -> None:
    found = compare([made.make("a"), made.make("b")], [made.make("b"), made.make("c")])
    assert [key[3] for key in found.not_run] == ["a"]
    assert [key[3] for key in found.added] == ["c"]
    assert {c.key[3] for c in found.changes} == {"b"}


def test_a_changed_scorer_is_noted_once(made: Any) -> None:
    tasks = made.planned_tasks()
    tasks["rollout_gap"]["scorer_digest"] = "s2"
    found = compare([made.make("a"), made.make("b")], [made.make("a", tasks), made.make("b", tasks)])
    assert found.notes == ("rollout_gap: the scorer's code differs",)
    assert not found.regressed


# --- noise, and many columns at once --------------------------------------------------------------------------


def regenerated(made: Any, old: Any, new: Any, noise: Any, columns: int = 1, **more: Any) -> Outcome:
    """A row whose weights differ, with `columns` columns alike."""
    cards = [made.column(f"c{i}", f"c{i}", margin=0.1) for i in range(columns)]
    records = [
        made.make(tasks={"t": made.entry(dict.fromkeys(cards, values))}, weights_digest=weights, **extra)
        for values, weights, extra in ((old, "w1", {}), (new, "w2", more))
    ]
    return compare(records[:1], records[1:], noise)


def test_what_seeds_explain_is_no_regression(made: Any) -> None:
    """.5 worse with bootstrap error .016: surely worse on these utterances, and within what seeds of sd .2 give."""
    old = made.spread(1.0)
    new = moved(old, -0.5, noise=0.1)
    quiet = regenerated(made, old, new, lambda *_: Seeds(0.01, 10)).changes[0]
    loud = regenerated(made, old, new, lambda *_: Seeds(0.2, 10)).changes[0]
    assert (quiet.verdict, loud.verdict, loud.seeded) == ("regressed", "unchanged", "counted")
    assert quiet.noise and loud.noise
    assert (loud.noise.sampling, loud.noise.seeds) == pytest.approx((quiet.noise.sampling, 0.2 * math.sqrt(2)))
    assert loud.detectable is not None and loud.surely is not None and quiet.detectable is not None
    assert quiet.detectable < 0.5 < loud.detectable < loud.surely


def test_seeds_explain_nothing_when_only_the_scorer_ran(made: Any) -> None:
    card, old = made.column("c", "c", margin=0.1), made.spread(1.0)
    tasks = [
        {"t": made.entry({card: values}, scorer_digest=digest)}
        for values, digest in ((old, "s1"), (moved(old, -0.5, noise=0.1), "s2"))
    ]

    def never(*_: Any) -> Seeds:
        raise AssertionError("asked for seed noise")

    (change,) = compare([made.make(tasks=tasks[0])], [made.make(tasks=tasks[1])], never).changes
    assert (change.verdict, change.cause, change.seeded) == ("regressed", "scorer", "")


def test_noise_that_nobody_measured_is_said(made: Any) -> None:
    old = made.spread(1.0)
    found = regenerated(made, old, moved(old, -0.5, noise=0.1), lambda *_: "no noise was measured for suite mini", 2)
    (note,) = found.notes
    assert note.startswith("no noise was measured for suite mini; ")
    assert {c.seeded for c in found.changes} == {"not measured"}


def test_one_check_of_many_columns_asks_for_more_than_one_of_one(made: Any) -> None:
    """t = 2.6 beyond the margin: p = .006 alone, .26 among forty."""
    old = made.spread(1.0, 0.0)
    new = moved(old, 0.0, noise=1.0)
    error = float(np.std(list(new.values()), ddof=1)) / math.sqrt(len(new))
    new = {u: v - 0.1 - 2.6 * error for u, v in new.items()}
    alone, many = (regenerated(made, old, new, lambda *_: Seeds(0.0, 1), n) for n in (1, 40))
    assert [c.verdict for c in alone.changes] == ["regressed"]
    assert {c.verdict for c in many.changes} == {"unchanged"}
    assert (alone.judged, many.judged) == (1, 40)
    assert many.changes[0].p == pytest.approx(40 * alone.changes[0].p, rel=0.05)  # type: ignore[operator]
    assert many.changes[0].detectable > alone.changes[0].detectable  # type: ignore[operator]


def test_columns_that_do_not_differ_take_no_share(made: Any) -> None:
    """A row of one changed column and 39 others is judged as one of one column."""
    old = made.spread(1.0)
    cards = [made.column(f"c{i}", f"c{i}", margin=0.1) for i in range(40)]
    new = {card: moved(old, -0.5, noise=0.1) if i == 7 else old for i, card in enumerate(cards)}
    found = compare(
        [made.make(tasks={"t": made.entry(dict.fromkeys(cards, old))})], [made.make(tasks={"t": made.entry(new)})]
    )
    assert found.judged == 1
    assert [c.column for c in found.regressed] == ["c7"]
    assert {c.p for c in found.changes if c.column != "c7"} == {None}
    assert all(c.detectable is not None and c.detectable >= 0.1 for c in found.changes)


# --- what is wrong with the records ---------------------------------------------------------------------------


def test_dirty_records_are_refused_unless_allowed(made: Any) -> None:
    clean, dirty = made.make(), made.make(dirty=True)
    assert_refused(compare([clean], [dirty]), r"raw_ar: the fresh record .* uncommitted changes at commit 0123456789ab")
    assert_refused(compare([dirty], [clean]), "the committed record")
    assert compare([clean], [dirty], allow_dirty=True).refused == ()


def test_every_reason_is_said_and_the_rest_is_judged(made: Any) -> None:
    tasks = made.planned_tasks()
    tasks["rollout_gap"]["version"] = 2
    tasks["innovation_rate"]["parameters"] = {"steps": 1}
    found = compare([made.make("a"), made.make("b")], [made.make("a", tasks), made.make("b", weights="m2", dirty=True)])
    said = "\n".join(found.refused)
    for part in (
        "b: the fresh record",
        "a rollout_gap: expected version 1",
        "a innovation_rate: parameter",
        "b: codec",
    ):
        assert part in said
    assert {c.task for c in found.changes} == {"delta_nll", "reconstruction"}


def test_fresh_records_of_mixed_versions_are_refused(made: Any) -> None:
    tasks = made.planned_tasks()
    tasks["rollout_gap"]["version"] = 2
    rows = [made.make("a"), made.make("b", tasks)]
    assert_refused(compare([made.make("a")], rows), "the fresh|fresh records mix versions of rollout_gap in suite mini")


def test_all_refuses_rows_and_tasks_that_were_not_run(made: Any) -> None:
    fewer = {n: t for n, t in made.planned_tasks().items() if n != "rollout_gap"}
    found = compare([made.make("a"), made.make("b")], [made.make("a", fewer)], every=True)
    assert [line.partition(": ")[2] for line in found.refused] == [
        "a committed row that was not run",
        "a committed task that was not run",
    ]
    assert found.code == 2


# --- how it is said ------------------------------------------------------------------------------------------


def test_the_text_names_what_regressed(made: Any) -> None:
    card = made.column("gain_80ms", "ΔNLL 80 ms", unit="nats/frame", shown="bit/s", margin=0.05)
    quiet = made.column("quiet", "quiet", margin=0.1)
    values = made.spread(1.0, 0.0)
    old = made.make(tasks={"delta_nll": made.entry({card: values, quiet: values})})
    new = made.make(tasks={"delta_nll": made.entry({card: moved(values, -0.5), quiet: values})})
    found = compare([old, made.make("absent")], [new])
    said = as_text(found)
    assert "raw_ar: delta_nll (mini, synthspeech, minicodec)" in said
    lines = said.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("gain_80ms"))
    assert lines[first].split() == ["gain_80ms", "18.03", "−9.02", "0.90", "regressed"]
    assert lines[first + 1].split() == ["bit/s", "9.02", "[−9.02,", "−9.02]", "0.90", "<", "0.0001"]
    assert "unexplained" not in said and "the same weights, outputs, scorer code and environment" in said
    assert "1 regressed, 0 improved, 1 unchanged, in 1 rows" in said
    assert "not run: mini / synthspeech / minicodec / absent" in said
    assert "quiet" not in said
    assert "quiet" in as_text(found, wide=True)


def test_the_text_fits_80_columns(made: Any) -> None:
    card = made.column("posterior_wer_open_with_a_long_name", "x", unit="share", shown="%", margin=0.01)
    gone = made.column("gone", "gone")
    values = {u: 1e4 * v for u, v in made.spread(1.0).items()}
    name = "n" * 100
    old = made.make(name, {"t": made.entry({card: values, gone: values})})
    new = made.make(name, {"t": made.entry({card: moved(values, -1e4)}, skipped_columns={"gone": "why " * 60})})
    said = as_text(compare([old], [new]), wide=True)
    assert max(len(line) for line in said.splitlines()) <= 80
    assert "gone regressed: skipped: why why" in said


def test_json_says_the_same(made: Any) -> None:
    card = made.column("gain", "gain", unit="nats/frame", shown="bit/s", margin=0.05)
    values = made.spread(1.0, 0.0)
    document = json.loads(as_json(one_column(made, card, values, moved(values, -0.5))))
    assert document["regressed"] == 1
    (change,) = document["changes"]
    assert (change["task"], change["column"], change["verdict"], change["unit"]) == (
        "delta_nll",
        "gain",
        "regressed",
        "bit/s",
    )
    assert (change["change"], change["low"], change["high"]) == pytest.approx((-9.01684,) * 3, abs=1e-4)
