"""Noise and margins against closed forms and simulation: size, power, and degrees of freedom."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from bench.stats import Interval
from leaderboard.gate.margins import FALSE_ALARMS, Error, Seeds, detectable, error, p_beyond, worsening
from tests.leaderboard.conftest import column

N = 40


def an_interval(value: float, of: float, n: int = N) -> Interval:
    return Interval(value, value - 2 * of, value + 2 * of, "utterances", n, of)


def test_without_seeds_the_error_is_the_bootstraps() -> None:
    for seeds in (None, Seeds(0.0, 3)):
        assert error(an_interval(1.0, 0.3), seeds) == Error(0.3, N - 1)


def test_each_source_has_its_own_t() -> None:
    """Alone each gives Student's threshold, together the root of the sum of squares."""
    of = error(an_interval(1.0, 0.3), Seeds(0.5, 3))
    parts = [stats.t.ppf(0.99, N - 1) * 0.3, stats.t.ppf(0.99, 3) * 0.5 * math.sqrt(2)]
    assert of.beyond(0.01) == pytest.approx(math.hypot(*parts))
    assert of.value == pytest.approx(math.hypot(0.3, 0.5 * math.sqrt(2)))
    assert error(an_interval(1.0, 0.0), Seeds(0.5, 3)).beyond(0.01) == pytest.approx(parts[1])


def test_numbers_whose_squares_overflow_have_an_error() -> None:
    of = error(an_interval(1e200, 1e200), Seeds(1e200, 4))
    assert of.value == pytest.approx(1e200 * math.sqrt(3))
    assert 0.0 < p_beyond(9e200, 1.0, of) < 0.05


@pytest.mark.parametrize("p", [0.4, 0.02, 1e-5, 1e-9])
def test_p_inverts_the_threshold(p: float) -> None:
    of = Error(0.3, 39, 0.4, 2)
    assert p_beyond(0.1 + of.beyond(p), 0.1, of) == pytest.approx(p, rel=1e-6)


def test_p_is_a_one_sided_t_test_against_the_margin() -> None:
    values = np.random.default_rng(0).normal(0.4, 1.0, 25)
    of = Error(float(values.std(ddof=1)) / 5, 24)
    expected = stats.ttest_1samp(values, 0.1, alternative="greater").pvalue
    assert p_beyond(float(values.mean()), 0.1, of) == pytest.approx(expected)


def test_without_noise_the_margin_decides() -> None:
    assert [p_beyond(x, 0.1, Error(0.0, 9)) for x in (0.09, 0.1, 0.11)] == [1.0, 1.0, 0.0]
    # beyond the margin by less than anybody means, and by more
    assert p_beyond(0.10009, 0.1, Error(0.0, 9)) == p_beyond(0.10009, 0.1, Error(1e-9, 9)) == 1.0
    assert p_beyond(0.10011, 0.1, Error(0.0, 9)) == p_beyond(1e-300, 0.0, Error(0.0, 9)) == 0.0


def test_worse_is_positive_in_every_direction() -> None:
    assert [worsening(column("c", "c", better=b), -0.3) for b in ("higher", "lower", "one")] == [0.3, -0.3, -0.3]


@pytest.mark.parametrize(("sigma", "df"), [(0.0, 3), (0.05, 3), (0.2, 3), (1.0, 3), (1.0, 1), (0.1, 1), (0.2, 8)])
def test_false_alarms_at_the_margin_are_what_was_asked_for(sigma: float, df: int) -> None:
    """The least favourable truth: worse by exactly the margin, under bootstrap and seed noise, calibrated from `df`
    replicates that moved as the change did. Exact where one source rules, on the safe side in between; Welch's and
    Satterthwaite's degrees of freedom fail the row of one replicate."""
    rng, draws, margin = np.random.default_rng(3), 10_000, 0.1
    boot = 0.16
    total = math.hypot(boot, math.sqrt(2) * sigma)
    v = boot**2 * rng.chisquare(N - 1, draws) / (N - 1)
    # the variance that replicates show holds the part that differs between utterances
    s2 = (total**2 / 2) * rng.chisquare(df, draws) / df
    amount = margin + rng.normal(0.0, total, draws)
    alarms = 0
    for x, one, two in zip(amount, v, s2, strict=True):
        of = error(an_interval(x, math.sqrt(one)), Seeds(math.sqrt(two), df))
        alarms += x - margin > of.beyond(FALSE_ALARMS)
    assert alarms <= stats.binom.ppf(0.999, draws, FALSE_ALARMS)
    if sigma == 1.0:
        assert alarms >= 0.6 * FALSE_ALARMS * draws, "so conservative that it sees nothing"


@pytest.mark.parametrize("power", [0.8, 0.95])
def test_a_detectable_worsening_is_found_so_often(power: float) -> None:
    """Simulated t tests at the level of the first of ten columns; the formula takes t for a noncentral t."""
    rng, draws, margin, judged = np.random.default_rng(5), 4_000, 0.1, 10
    of = Error(0.2, N - 1)
    amount = detectable(margin, of, judged, power) + rng.normal(0.0, of.sampling, draws)
    errors = of.sampling * np.sqrt(rng.chisquare(of.units, draws) / of.units)
    share = FALSE_ALARMS / judged
    found = [a - margin > Error(e, of.units).beyond(share) for a, e in zip(amount, errors, strict=True)]
    assert np.mean(found) == pytest.approx(power, abs=0.025)


def test_twice_the_detectable_is_more_than_what_is_surely_found() -> None:
    for df in (1, 2, 5, 40, 1e6):
        for judged, of in itertools.product((1, 40, 1000), (Error(1.0, df), Error(1.0, 187, 2.0, df))):
            assert detectable(0.0, of, judged, 0.95) <= 2 * detectable(0.0, of, judged, 0.8)
