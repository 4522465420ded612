"""MCD against its closed form: a known movement of the cepstrum, and what it must not see."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.metrics.cepstral import cepstra, distortion, mcd
from bench.metrics.distortion import Unscorable


def speechlike(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.convolve(rng.normal(size=int(16_000 * seconds)), np.exp(-np.arange(40) / 6), "same") * 0.05


def test_it_does_not_see_the_level() -> None:
    x = speechlike()
    assert mcd(x, x) == 0.0
    assert mcd(x, 3.0 * x) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("order", [1, 5, 13])
def test_one_cepstral_coefficient_moved_by_a(order: int) -> None:
    """a along the d-th basis vector, in nepers: (10 / ln 10) √2 a; along the 14th, which is not read, nothing."""
    mels, a = 80, 0.7
    basis = math.sqrt(2 / mels) * np.cos(math.pi * order * (2 * np.arange(mels) + 1) / (2 * mels))
    x = np.random.default_rng(0).normal(size=(20, mels))
    assert distortion(x, x + a * basis / math.log(10)) == pytest.approx(10 / math.log(10) * math.sqrt(2) * a)
    beyond = math.sqrt(2 / mels) * np.cos(math.pi * 14 * (2 * np.arange(mels) + 1) / (2 * mels))
    assert distortion(x, x + beyond) == pytest.approx(0.0, abs=1e-9)


def test_cepstra_are_an_orthonormal_transform() -> None:
    x = np.random.default_rng(1).normal(size=(7, 80))
    np.testing.assert_allclose(np.square(cepstra(x)).sum(), np.square(x * math.log(10)).sum())


def test_more_noise_is_farther() -> None:
    x, noise = speechlike(), np.random.default_rng(5).normal(size=16_000)
    found = [mcd(x, x + level * noise) for level in (1e-4, 1e-3, 1e-2, 1e-1)]
    assert found == sorted(found) and found[0] > 0


def test_what_is_too_short_is_refused() -> None:
    with pytest.raises(Unscorable, match="MCD: needs at least 0.064 s, got 0.050 s"):
        mcd(np.ones(800), np.ones(16_000))
