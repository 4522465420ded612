"""Intervals against closed forms, simulated coverage, and the slow way of computing the same thing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import stdtrit

from bench import stats
from bench.errors import RecordError
from bench.stats import MIN_CLUSTERS, interval, paired_interval


def named(values: np.ndarray) -> dict[str, float]:
    return {f"u{i:04d}": float(v) for i, v in enumerate(values)}


def alone(values: dict[str, float]) -> dict[str, str]:
    """One voice for everything: utterances are resampled."""
    return dict.fromkeys(values, "one voice")


def own(values: dict[str, float]) -> dict[str, str]:
    """A voice for each utterance: speakers are resampled."""
    return {u: f"s{u}" for u in values}


@pytest.mark.parametrize("n", [8, 20, 50, 200])
def test_the_mean_of_normals_has_students_interval(n: int) -> None:
    """x̄ ± t_{n−1; .975} s/√n with s² over n − 1: what is exact for Gaussian values."""
    draws = np.random.default_rng(n).normal(3.0, 2.0, n)
    values = named(draws)
    found = interval(values, alone(values), replicates=30_000)
    error = draws.std(ddof=1) / math.sqrt(n)
    half = float(stdtrit(n - 1, 0.975)) * error
    assert found.value == pytest.approx(draws.mean(), abs=1e-12)
    assert found.error == pytest.approx(error, rel=0.01)
    # equal up to the skew of the draws, which the bootstrap follows, and Monte-Carlo error
    assert found.high - found.low == pytest.approx(2 * half, rel=0.08 if n == 8 else 0.03)
    assert found.low == pytest.approx(draws.mean() - half, abs=(0.3 if n == 8 else 0.08) * half)


def test_the_median_of_normals_has_the_asymptotic_interval() -> None:
    draws = np.random.default_rng(1).normal(0.0, 1.0, 1001)
    values = named(draws)
    found = interval(values, alone(values), how="median")
    half = 1.959964 * math.sqrt(math.pi / 2) / math.sqrt(1001)
    assert found.value == np.median(draws)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.25)


@pytest.mark.parametrize(("make_speakers", "over"), [(alone, "utterances"), (own, "speakers")])
def test_coverage_is_near_the_level(make_speakers: object, over: str) -> None:
    assert callable(make_speakers)
    rng = np.random.default_rng(0)
    trials, hits = 400, 0
    for _ in range(trials):
        values = named(rng.normal(0.0, 1.0, 60))
        found = interval(values, make_speakers(values), replicates=400)
        assert found.over == over
        hits += found.low <= 0.0 <= found.high
    # 4 standard errors of a binomial around 95 %
    assert 0.906 <= hits / trials <= 0.994


def test_speakers_are_resampled_whole() -> None:
    """With utterances of a speaker all alike, the interval is that of the speakers' means: √5 times wider."""
    rng = np.random.default_rng(2)
    means = rng.normal(0.0, 1.0, 30)
    values = {f"s{s:02d}-{k}": float(means[s]) for s in range(30) for k in range(5)}
    speakers = {u: u[:3] for u in values}
    clustered = interval(values, speakers, replicates=8000)
    naive = interval(values, alone(values), replicates=8000)
    assert (clustered.over, clustered.n) == ("speakers", 30)
    assert (naive.over, naive.n) == ("utterances", 150)
    ratio = (clustered.high - clustered.low) / (naive.high - naive.low)
    assert ratio == pytest.approx(math.sqrt(5), rel=0.06)
    half = float(stdtrit(29, 0.975)) * means.std(ddof=1) / math.sqrt(30)
    assert clustered.high - clustered.low == pytest.approx(2 * half, rel=0.06)


@pytest.mark.parametrize("count", [MIN_CLUSTERS - 1, MIN_CLUSTERS])
def test_the_label_says_what_was_resampled(count: int) -> None:
    values = named(np.arange(60.0))
    speakers = {u: f"s{i % count}" for i, u in enumerate(values)}
    label = interval(values, speakers).label
    if count < MIN_CLUSTERS:
        assert label == "95 % bootstrap over 60 utterances, conditional on these voices"
    else:
        assert label == "95 % bootstrap over 20 speakers"


def test_weights_make_a_ratio_of_sums() -> None:
    """Word error rate: errors over words, not the mean of the utterances' rates."""
    words = {"a": 10.0, "b": 30.0, "c": 60.0}
    rates = {"a": 0.5, "b": 0.1, "c": 0.0}
    found = interval(rates, alone(rates), weights=words)
    assert found.value == pytest.approx((5 + 3 + 0) / 100)
    assert 0.0 <= found.low <= found.value <= found.high <= 0.5


def test_an_utterance_without_weight_changes_nothing() -> None:
    values = {"a": 1.0, "b": 2.0, "c": 3.0}
    weights = dict.fromkeys(values, 1.0)
    silent = values | {"d": 1e9, "e": -1e9}
    found = interval(silent, alone(silent), weights=weights | {"d": 0.0, "e": 0.0})
    assert found == interval(values, alone(values), weights=weights)


def test_one_utterance_has_no_interval() -> None:
    found = interval({"a": 3.0}, {"a": "s"})
    assert (found.value, found.low, found.high, found.n, found.error) == (3.0, 3.0, 3.0, 1, math.inf)
    change = paired_interval({"a": 3.0}, {"a": 5.0}, {"a": "s"}, target=1.0)
    assert (change.value, change.n, change.error) == (2.0, 1, math.inf)


def test_one_speaker_of_many_utterances_is_conditional_on_that_voice() -> None:
    values = named(np.arange(30.0))
    found = interval(values, alone(values))
    assert (found.over, found.n) == ("utterances", 30)
    assert "conditional on these voices" in found.label
    # resampling the one speaker that there is says nothing
    assert interval(values, alone(values), over="speakers").error == math.inf


def test_what_is_resampled_can_be_said() -> None:
    values = named(np.arange(60.0))
    speakers = {u: f"s{i % 6}" for i, u in enumerate(values)}
    assert [interval(values, speakers, over=o).n for o in (None, "speakers", "utterances")] == [60, 6, 60]


def test_huge_values_have_a_finite_error() -> None:
    values = named(np.random.default_rng(0).normal(0, 1e300, 30))
    assert 0 < interval(values, alone(values)).error < 1e301


def test_constant_values_have_no_width() -> None:
    values = dict.fromkeys([f"u{i}" for i in range(7)], 4.2)
    found = interval(values, alone(values))
    assert (found.value, found.low, found.high) == pytest.approx((4.2, 4.2, 4.2))


@pytest.mark.parametrize("how", ["mean", "median"])
def test_order_and_units_do_not_matter(how: stats.Aggregate) -> None:
    values = named(np.random.default_rng(3).normal(0, 1, 40))
    backwards = dict(reversed(values.items()))
    speakers = own(values)
    assert interval(values, speakers, how=how) == interval(backwards, speakers, how=how)
    moved = interval({u: 5 + 2 * v for u, v in values.items()}, speakers, how=how)
    first = interval(values, speakers, how=how)
    assert (moved.low, moved.high) == pytest.approx((5 + 2 * first.low, 5 + 2 * first.high))


@pytest.mark.parametrize("speakers", [alone, own], ids=["utterances", "speakers"])
def test_the_quick_median_is_the_slow_one(speakers: object) -> None:
    assert callable(speakers)
    values = named(np.random.default_rng(4).exponential(1, 31))
    found = interval(values, speakers(values), how="median", replicates=500)
    v = np.array(list(values.values()))
    picks = np.random.default_rng(0).integers(31, size=(500, 31))
    slow = [float(np.median(np.concatenate([v[[j]] for j in row]))) for row in picks]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(slow, [2.5, 97.5])), abs=0)


def test_the_median_of_clusters_resamples_speakers() -> None:
    values = {f"s{s:02d}-{k}": float(s) for s in range(21) for k in range(4)}
    found = interval(values, {u: u[:3] for u in values}, how="median")
    assert found.value == 10.0
    assert found.over == "speakers"
    # the median of 21 distinct speakers: ranks 6 to 16 hold it in 97 % of samples
    assert 5 <= found.low < 10 < found.high <= 15


# --- paired differences ------------------------------------------------------------------------------------


def pair(shift: float, n: int = 80, seed: int = 0) -> tuple[dict[str, float], dict[str, float]]:
    rng = np.random.default_rng(seed)
    hard = rng.normal(10.0, 5.0, n)
    return named(hard), named(hard + shift + rng.normal(0, 0.2, n))


@pytest.mark.parametrize("how", ["mean", "median"])
def test_a_paired_interval_is_the_interval_of_the_difference(how: stats.Aggregate) -> None:
    a, b = pair(0.5)
    speakers = alone(a)
    assert paired_interval(a, b, speakers, how=how) == interval({u: b[u] - a[u] for u in a}, speakers, how=how)


def test_pairing_removes_what_the_utterances_share() -> None:
    a, b = pair(0.5)
    found = paired_interval(a, b, alone(a))
    assert 0 < found.low < 0.5 < found.high
    single = interval(a, alone(a))
    assert found.high - found.low < 0.1 * (single.high - single.low)


def test_weights_of_both_sides_are_used() -> None:
    a, b = {"x": 1.0, "y": 3.0}, {"x": 1.0, "y": 3.0}
    found = paired_interval(a, b, alone(a), {"x": 1.0, "y": 1.0}, weights_b={"x": 1.0, "y": 3.0})
    assert found.value == pytest.approx(10 / 4 - 4 / 2)


def test_equal_weights_on_both_sides_are_one_set_of_weights() -> None:
    a, b = pair(0.5)
    weights = {u: 1.0 + i % 3 for i, u in enumerate(a)}
    joint = paired_interval(a, b, alone(a), None, weights_b=dict.fromkeys(a, 1.0))
    simple = paired_interval(a, b, alone(a))
    assert (joint.low, joint.high) == pytest.approx((simple.low, simple.high))
    both = paired_interval(a, b, alone(a), weights, weights_b=dict(weights))
    assert both == paired_interval(a, b, alone(a), weights)


def test_a_target_compares_distances_of_aggregates() -> None:
    """.8 and 1.2 are equally far from one; 1.2 → 1.3 is .1 farther; .8 → .9 is .1 nearer."""
    low, high = named(np.full(50, 0.8)), named(np.full(50, 1.2))
    speakers = alone(low)
    assert paired_interval(low, high, speakers, target=1.0).value == pytest.approx(0.0)
    farther = paired_interval(high, named(np.full(50, 1.3)), speakers, target=1.0)
    assert (farther.value, farther.low, farther.high) == pytest.approx((0.1, 0.1, 0.1))
    assert paired_interval(low, named(np.full(50, 0.9)), speakers, target=1.0).value == pytest.approx(-0.1)


@pytest.mark.parametrize("how", ["mean", "median"])
def test_a_target_far_below_is_an_ordinary_difference(how: stats.Aggregate) -> None:
    a, b = pair(0.5)
    found = paired_interval(a, b, alone(a), how=how, target=-1e3)
    va, vb = (getattr(np, how)(list(v.values())) for v in (a, b))
    assert found.value == pytest.approx(vb - va)
    if how == "mean":
        plain = paired_interval(a, b, alone(a))
        assert (found.low, found.high) == pytest.approx((plain.low, plain.high))


def test_other_utterances_are_refused() -> None:
    a, b = pair(0.5, n=5)
    del b["u0003"]
    with pytest.raises(RecordError, match=r"1 utterances are in one only, first 'u0003'"):
        paired_interval(a, b, alone(a))


@pytest.mark.parametrize(
    ("values", "weights", "message"),
    [
        ({}, None, "no values"),
        ({"a": math.nan}, None, "finite"),
        ({"a": 1.0}, {"a": math.inf}, "finite"),
        ({"a": 1.0, "b": 1.0}, {"a": 2.0, "b": -1.0}, "not negative"),
        ({"a": 1.0}, {"a": 0.0}, "all zero"),
        ({"a": 1.0}, {"b": 1.0}, "no weight, first 'a'"),
        ({"stranger": 1.0}, None, "no speaker, first 'stranger'"),
    ],
)
def test_what_cannot_be_aggregated_is_refused(
    values: dict[str, float], weights: dict[str, float] | None, message: str
) -> None:
    with pytest.raises(RecordError, match=message):
        interval(values, {"a": "s", "b": "s"}, weights)
