"""Many comparisons: Holm against its definition, p against intervals, power at the detectable difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from bench.stats import Interval, interval, paired_interval
from leaderboard.comparisons import detectable, holm, p_value


def sample(mean: float, n: int, seed: int) -> tuple[dict[str, float], dict[str, str]]:
    values = {f"u{i:03d}": float(v) for i, v in enumerate(np.random.default_rng(seed).normal(mean, 1.0, n))}
    return values, {u: u for u in values}


@pytest.mark.parametrize("seed", range(5))
def test_p_is_that_of_students_test(seed: int) -> None:
    values, speakers = sample(0.4, 30, seed)
    found = p_value(interval(values, speakers, replicates=40_000))
    assert found == pytest.approx(ttest_1samp(list(values.values()), 0.0).pvalue, rel=0.05, abs=0.002)


def test_p_of_what_has_no_error() -> None:
    certain = Interval(-3.1, -3.1, -3.1, "utterances", 40, 0.0)
    nothing = Interval(0.0, 0.0, 0.0, "utterances", 40, 0.0)
    single = Interval(5.0, 5.0, 5.0, "utterances", 1, math.inf)
    assert [p_value(i) for i in (certain, nothing, single)] == [0.0, 1.0, 1.0]


def test_holm_steps_down() -> None:
    """Sorted p times (m, m − 1, …), never falling and at most 1."""
    p = {"a": 0.001, "b": 0.02, "c": 0.021, "d": 0.6}
    assert holm(p) == pytest.approx({"a": 0.004, "b": 0.06, "c": 0.06, "d": 0.6})
    assert holm({"x": 0.04}) == {"x": 0.04}
    assert holm({"x": 0.6, "y": 0.7}) == {"x": 1.0, "y": 1.0}
    assert holm({}) == {}


def test_holm_keeps_the_family_wise_error() -> None:
    """Of 8 true null comparisons with one reference, any is called significant in at most 5 % of trials."""
    rng = np.random.default_rng(0)
    trials, naive, corrected = 300, 0, 0
    for _ in range(trials):
        rows = rng.normal(0.0, 1.0, (9, 30))
        best = {f"u{i}": float(v) for i, v in enumerate(rows[0])}
        speakers = {u: u for u in best}
        p = {
            str(r): p_value(
                paired_interval(best, dict(zip(best, map(float, rows[r]), strict=True)), speakers, replicates=300)
            )
            for r in range(1, 9)
        }
        naive += min(p.values()) < 0.05
        corrected += min(holm(p).values()) < 0.05
    # 4 standard errors of a binomial above 5 %
    assert corrected / trials <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / trials)
    assert naive / trials > 0.15


@pytest.mark.parametrize("n", [20, 60])
def test_the_detectable_difference_is_detected_in_80_percent(n: int) -> None:
    """With unit variance it is (t_.975 + t_.8)/√n; a true difference of that size is found in 4 of 5 samples."""
    values, speakers = sample(0.0, n, 0)
    scale = float(np.std(list(values.values()), ddof=1))
    size = detectable(interval(values, speakers, replicates=20_000)) / scale
    assert size == pytest.approx((1.96 + 0.84) / math.sqrt(n), rel=0.08)
    trials, found = 400, 0
    for seed in range(trials):
        shifted, _ = sample(size, n, 1000 + seed)
        found += interval(shifted, speakers, replicates=400).low > 0
    assert found / trials == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / trials))


def test_one_utterance_detects_nothing() -> None:
    assert detectable(interval({"a": 1.0}, {"a": "s"})) == math.inf
