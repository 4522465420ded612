"""Reverse water-filling against its closed form for equal eigenvalues, and against the rate it is defined by."""

import math

import numpy as np
import pytest

from bench.metrics.water_filling import distortion_ratio, reference_ratio


@pytest.mark.parametrize(("cells", "dim", "truth"), [(64, 512, 0.984), (256, 512, 0.979), (4, 1, 1 / 16)])
def test_a_white_gaussian_has_its_closed_form(cells: int, dim: int, truth: float) -> None:
    found = distortion_ratio(np.full(dim, 2.5), math.log(cells))
    assert found == pytest.approx(cells ** (-2 / dim), abs=1e-12) and found == pytest.approx(truth, abs=5e-4)


@pytest.mark.parametrize("nats", [0.1, 1.0, 3.0, 12.0])
def test_the_level_spends_the_whole_rate(nats: float) -> None:
    spectrum = np.array([9.0, 4.0, 4.0, 1.0, 0.01, 0.0])
    low, high = 0.0, 9.0
    for _ in range(200):
        level = (low + high) / 2
        spent = sum(0.5 * math.log(v / min(level, v)) for v in spectrum if v > 0)
        low, high = (level, high) if spent > nats else (low, level)
    assert distortion_ratio(spectrum, nats) == pytest.approx(np.minimum(level, spectrum).sum() / 18.01, rel=1e-9)


def test_no_rate_leaves_all_of_it_and_order_or_scale_change_nothing() -> None:
    spectrum = np.array([0.2, 3.0, 1.0])
    assert distortion_ratio(spectrum, 0.0) == pytest.approx(1.0)
    assert distortion_ratio(7 * spectrum[::-1], 1.3) == pytest.approx(distortion_ratio(spectrum, 1.3))


def test_the_spectrum_is_that_of_the_vectors() -> None:
    x = np.random.default_rng(0).standard_normal((50_000, 3)) @ np.diag([3.0, 1.0, 0.1]) + 5.0
    assert reference_ratio(x, 16) == pytest.approx(distortion_ratio([9.0, 1.0, 0.01], math.log(16)), rel=0.02)


def test_it_refuses_what_has_no_answer() -> None:
    with pytest.raises(ValueError, match="positive sum"):
        distortion_ratio(np.zeros(3), 1.0)
    with pytest.raises(ValueError, match="at least 0 nats"):
        distortion_ratio(np.ones(3), -1.0)
