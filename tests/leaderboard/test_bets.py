"""Bets: a claim holds, fails or stays open by its interval, and a measurement that is missing is said to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.errors import CardError
from leaderboard.bets import Bet, outcome, read_bets

NATS = {"unit": "nats/frame", "shown": "bit/s", "better": "none", "ranked": False}
PREDICTABLE = Bet(
    name="p", claim="c", probability=0.5, submission="codec_itself", task="codec_predictability", column="order_80ms",
    threshold=0.05, unit="nats/frame and dimension",
)  # fmt: skip
FACTORISED = Bet(
    name="f", claim="c", probability=0.5, submission="rssm_v1", against="raw_ar_v1", task="delta_nll",
    column="gain_80ms",
)  # fmt: skip


def row(made: Any, name: str, task: str, column: str, mean: float, seed: int = 0, **more: Any) -> Any:
    values = made.spread(mean, 0.2, seed)
    return made.make(name, {task: made.entry({made.column(column, column, **NATS): values})}, **more)


def test_the_notes_bets_have_their_probabilities_and_a_threshold_or_a_need() -> None:
    bets = read_bets()
    assert [bet.probability for bet in bets] == [0.55, 0.65, 0.45, 0.25]
    assert all(bool(bet.needs) != bool(bet.submission and bet.task and bet.column and bet.why) for bet in bets)


@pytest.mark.parametrize(("mean", "verdict"), [(2.5, "holds"), (0.5, "fails"), (1.6, "open")])
def test_the_whole_interval_decides_against_the_threshold_of_all_dimensions(
    made: Any, mean: float, verdict: str
) -> None:
    record = row(made, "codec_itself", "codec_predictability", "order_80ms", mean)  # 32 dimensions: 1.6 nats
    found = outcome(PREDICTABLE, {"codec_itself": record})
    assert found.verdict == verdict and found.measured is not None


def test_a_difference_is_paired(made: Any) -> None:
    one, other = (row(made, n, "delta_nll", "gain_80ms", m) for n, m in (("rssm_v1", 1.05), ("raw_ar_v1", 1.0)))
    found = outcome(FACTORISED, {"rssm_v1": one, "raw_ar_v1": other})
    # on the same utterances .05 is sure, though each row alone is only known to .06
    assert found.verdict == "holds" and found.measured is not None
    assert found.measured.value == pytest.approx(0.05) and found.measured.high - found.measured.low < 0.01
    assert outcome(FACTORISED, {"rssm_v1": other, "raw_ar_v1": one}).verdict == "fails"


def test_what_is_missing_or_untrained_leaves_a_bet_open_with_the_reason(made: Any) -> None:
    record = row(made, "codec_itself", "codec_predictability", "order_80ms", 9.0, trained=False)
    assert outcome(PREDICTABLE, {"codec_itself": record}).reason == "the codec is untrained"
    assert outcome(PREDICTABLE, {}).reason == "no row of codec_itself with codec_predictability"
    failed = made.make("rssm_v1", {"delta_nll": made.entry(status="failed", reason="it broke")})
    found = outcome(FACTORISED, {"rssm_v1": failed, "raw_ar_v1": failed})
    assert (found.verdict, found.reason) == ("open", "delta_nll of rssm_v1 failed: it broke")
    fewer = row(made, "raw_ar_v1", "delta_nll", "gain_80ms", 1.0)
    fewer.tasks["delta_nll"].columns["gain_80ms"].values.pop("u000")
    mine = row(made, "rssm_v1", "delta_nll", "gain_80ms", 1.0)
    assert "different utterances" in outcome(FACTORISED, {"rssm_v1": mine, "raw_ar_v1": fewer}).reason
    needs = Bet(name="n", claim="c", probability=0.1, needs="more")
    assert outcome(needs, {}).reason == "needs more"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[[bets]]\nname = "a"', "bets.toml: bets.0.claim"),
        ('[[bets]]\nname = "a"\nclaim = "c"\nprobability = 2.0', "bets.toml: bets.0.probability"),
        ("[[bets", "bets.toml: "),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "bets.toml").write_text(text)
    with pytest.raises(CardError, match=expected) as e:
        read_bets(tmp_path / "bets.toml")
    assert "\n" not in str(e.value)
