"""Interpolated rates against curves that are known, and reverse water-filling against closed forms."""

import math

import numpy as np
import pytest

from bench.metrics.rate_distortion import Matched, NotReached, gaussian_rate, rate_at, same_support

ONE = np.ones(1)


def ar1_spectrum(a: float, grid: int = 4096) -> np.ndarray:
    """Of unit variance: (1 − a²) / |1 − a e^{iω}|²."""
    omega = 2 * np.pi * (np.arange(grid) + 0.5) / grid
    return ((1 - a * a) / (1 - 2 * a * np.cos(omega) + a * a))[:, None]


@pytest.mark.parametrize("a", [0.0, 0.5, 0.9])
def test_an_ar1_costs_half_the_log_of_innovation_over_distortion(a: float) -> None:
    """While θ = D lies below the spectrum's least value (1 − a) / (1 + a)."""
    distortion = 0.9 * (1 - a) / (1 + a)
    truth = 0.5 * math.log((1 - a * a) / distortion)
    assert gaussian_rate(ar1_spectrum(a), distortion) == pytest.approx(truth, abs=1e-6)


def test_water_filling_drops_small_components() -> None:
    """Variances 4, 1, ¼ at a level of ½: distortion (½ + ½ + ¼) / 3, rate ½ ln 8 + ½ ln 2."""
    rate = gaussian_rate(np.array([[4.0, 1.0, 0.25]]), 1.25 / 3)
    assert rate == pytest.approx(0.5 * math.log(8) + 0.5 * math.log(2))


def test_water_filling_agrees_with_a_search_for_the_level() -> None:
    rng = np.random.default_rng(0)
    spectrum = rng.gamma(0.5, size=(7, 5))
    for level in (0.01, 0.3, 1.0):
        distortion = float(np.minimum(spectrum, level).mean())
        rate = 0.5 * np.log(np.maximum(spectrum / level, 1)).sum(1).mean()
        assert gaussian_rate(spectrum, distortion) == pytest.approx(rate)


def test_nothing_is_paid_for_the_variance_itself() -> None:
    assert gaussian_rate(np.array([[2.0, 1.0]]), 1.5) == 0.0 < gaussian_rate(np.array([[2.0, 1.0]]), 1.49)


@pytest.mark.parametrize("distortion", [0.0, -1.0])
def test_a_distortion_that_is_none_is_refused(distortion: float) -> None:
    with pytest.raises(ValueError, match="gaussian_rate"):
        gaussian_rate(np.ones((1, 2)), distortion)


def test_a_gaussian_curve_is_matched_exactly_between_its_budgets() -> None:
    distortions = np.array([[0.5, 0.2, 0.1, 0.02]])
    found = rate_at(-0.5 * np.log(distortions), distortions, ONE, 0.07)
    assert found.rate == pytest.approx(-0.5 * math.log(0.07))
    assert found.slope == pytest.approx(-0.5 / 0.07)


def test_the_order_of_budgets_does_not_matter() -> None:
    distortions = np.array([[0.1, 0.5, 0.02, 0.2]])
    assert rate_at(-np.log(distortions), distortions, ONE, 0.15).rate == pytest.approx(-math.log(0.15))


def test_contributions_average_to_the_rate_and_spread_as_it_does_under_resampling() -> None:
    rng = np.random.default_rng(0)
    n = 500
    distortions = np.array([0.5, 0.25, 0.12, 0.06]) * rng.gamma(20, 1 / 20, size=(n, 1))
    rates = np.array([1.0, 2.0, 3.5, 4.0]) + 0.3 * rng.normal(size=(n, 1))
    weights = rng.integers(1, 5, n).astype(float)
    found = rate_at(rates, distortions, weights, 0.2)
    assert np.average(found.values, weights=weights) == pytest.approx(found.rate)
    again = []
    for _ in range(400):
        pick = rng.integers(0, n, n)
        again.append(rate_at(rates[pick], distortions[pick], weights[pick], 0.2).rate)
    spread = math.sqrt((weights**2 * (found.values - found.rate) ** 2).sum()) / weights.sum()
    assert spread == pytest.approx(np.std(again), rel=0.15)


@pytest.mark.parametrize(
    ("budgets", "target", "reason"),
    [
        ([0.5], 0.5, "one budget, target not bracketed"),
        ([0.5, 0.2, 0.1], 0.15, "3 budgets of the 4 needed"),
        ([0.5, 0.2, 0.1, 0.05], 0.01, "0.01 is not bracketed by 0.05 … 0.5"),
        ([0.5, 0.2, 0.1, 0.05], 0.6, "not bracketed"),
    ],
)
def test_what_is_not_bracketed_is_not_reached(budgets, target: float, reason: str) -> None:
    distortions = np.array([budgets])
    found = rate_at(-np.log(distortions), distortions, ONE, target)
    assert isinstance(found, NotReached) and reason in found.reason


def test_a_curve_with_a_bump_is_reached_where_it_first_is() -> None:
    found = rate_at(np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[0.8, 0.4, 0.6, 0.1]]), ONE, 0.5)
    assert isinstance(found, Matched) and 1 < found.rate < 2


def test_a_density_is_ranked_against_a_pmf_only_by_a_declared_conversion() -> None:
    same_support(["pmf", "pmf"])
    same_support(["pmf", "density"], conversion="one-shot coding of the KL, with its overhead")
    with pytest.raises(ValueError, match="declared conversion"):
        same_support(["pmf", "density"])
