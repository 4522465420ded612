"""Rank intervals: what is certain, what is tied, and how often they are right."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.errors import RecordError
from bench.stats import Aggregate
from leaderboard.ranks import rank_intervals

Rows = dict[str, dict[str, float]]


def rows(means: dict[str, float], n: int = 40, noise: float = 0.1, seed: int = 0) -> Rows:
    """Rows on utterances of one common difficulty, much larger than the noise."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(0.0, 5.0, n)
    return {
        name: {f"u{i:03d}": float(v) for i, v in enumerate(hard + mean + noise * rng.normal(size=n))}
        for name, mean in means.items()
    }


def alone(given: Rows) -> dict[str, str]:
    return {u: "one voice" for values in given.values() for u in values}


@pytest.mark.parametrize("how", ["mean", "median"])
def test_rows_far_apart_have_one_rank_each(how: Aggregate) -> None:
    given = rows({"c": 1.0, "a": 30.0, "b": 20.0})
    assert rank_intervals(given, alone(given), how=how) == {"a": (1, 1), "b": (2, 2), "c": (3, 3)}
    assert rank_intervals(given, alone(given), how=how, better="lower") == {"a": (3, 3), "b": (2, 2), "c": (1, 1)}


def test_the_nearest_to_a_target_is_first() -> None:
    means = {"below": 0.2, "near": 1.05, "above": 3.0}
    flat = {n: {f"u{i}": mean for i in range(9)} for n, mean in means.items()}
    found = rank_intervals(flat, alone(flat), target=1.0)
    assert found == {"near": (1, 1), "below": (2, 2), "above": (3, 3)}


def test_twins_share_their_ranks() -> None:
    given = rows({"a": 2.0, "c": 1.0})
    given["b"] = dict(given["a"])
    assert rank_intervals(given, alone(given)) == {"a": (1, 2), "b": (1, 2), "c": (3, 3)}


def test_ties_are_not_transitive() -> None:
    """a and c are told apart, b from neither: b may be first or last, and a is not last."""
    rng = np.random.default_rng(3)
    base = rng.normal(0.0, 1.0, 100)
    wide = rng.normal(0.0, 4.0, 100)
    wide -= wide.mean()
    given = {
        "a": {f"u{i:03d}": float(v) for i, v in enumerate(base + 0.2)},
        "b": {f"u{i:03d}": float(v) for i, v in enumerate(base + 0.1 + wide)},
        "c": {f"u{i:03d}": float(v) for i, v in enumerate(base)},
    }
    assert rank_intervals(given, alone(given)) == {"a": (1, 2), "b": (1, 3), "c": (2, 3)}


def test_one_utterance_ranks_nothing() -> None:
    given = {"a": {"u": 1.0}, "b": {"u": 2.0}}
    assert rank_intervals(given, {"u": "s"}) == {"a": (1, 2), "b": (1, 2)}
    assert rank_intervals({"a": {"u": 1.0}}, {"u": "s"}) == {"a": (1, 1)}


def test_weights_of_each_row_count() -> None:
    """Word error rates: errors over words of each row's own."""
    values = {f"u{i:02d}": float(i % 2) for i in range(40)}
    heavy = {u: 9.0 if v else 1.0 for u, v in values.items()}
    given = {"light": values, "heavy": values}
    found = rank_intervals(given, alone(given), {"light": None, "heavy": heavy}, better="lower")
    assert found == {"light": (1, 1), "heavy": (2, 2)}


@pytest.mark.parametrize("how", ["mean", "median"])
def test_speakers_are_resampled_whole(how: Aggregate) -> None:
    """20 speakers with a difference each: 200 utterances that are 20 facts do not separate the rows."""
    rng = np.random.default_rng(1)
    own = rng.normal(0.0, 1.0, 20)
    own = (own - own.mean()) / own.std() + 0.3
    a = {f"s{s:02d}-{k}": 0.0 for s in range(20) for k in range(10)}
    given = {"a": a, "b": {u: float(own[int(u[1:3])]) for u in a}}
    assert rank_intervals(given, {u: u[:3] for u in a}, how=how, replicates=400) == {"a": (1, 2), "b": (1, 2)}
    assert rank_intervals(given, dict.fromkeys(a, "one voice"), replicates=400) == {"a": (2, 2), "b": (1, 1)}


def test_equal_rows_are_seldom_ranked() -> None:
    """The error holds for all ten pairs of five equal rows at once."""
    trials, kept = 300, 0
    for seed in range(trials):
        given = rows(dict.fromkeys("abcde", 1.0), n=25, noise=1.0, seed=seed)
        kept += set(rank_intervals(given, alone(given), replicates=300).values()) == {(1, 5)}
    assert kept / trials >= 0.95 - 4 * math.sqrt(0.05 * 0.95 / trials)


def test_true_ranks_are_inside() -> None:
    means = {"a": 0.0, "b": 0.1, "c": 0.2, "d": 0.6}
    trials, right, sharp = 200, 0, 0
    for seed in range(trials):
        given = rows(means, n=25, noise=0.5, seed=seed)
        found = rank_intervals(given, alone(given), replicates=300, better="lower")
        right += all(low <= rank <= high for rank, (low, high) in enumerate((found[n] for n in "abcd"), start=1))
        sharp += found["d"] == (4, 4)
    assert right / trials >= 0.95 - 4 * math.sqrt(0.05 * 0.95 / trials)
    assert sharp > 0.3 * trials


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no rows"),
        ({"a": {"u": 1.0}, "b": {"v": 1.0}}, "'b' and 'a' hold different utterances"),
        ({"a": {"u": 1.0}, "b": {"u": math.nan}}, "finite"),
    ],
)
def test_what_cannot_be_ranked_is_refused(given: Rows, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        rank_intervals(given, {"u": "s", "v": "s"})
