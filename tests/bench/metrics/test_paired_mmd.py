"""Against the closed form of two Gaussians, unbiased for dependent pairs, and with the spread that it says."""

import math

import numpy as np
import pytest

from bench.metrics.paired_mmd import bandwidth, contributions

WIDTH = 1.5


def shifted(mean: float, dim: int = 2) -> float:
    """MMD² of N(0, I) and N(mean · e_1, I): a Gaussian kernel's mean over a Gaussian difference of variance 2."""
    scale = (WIDTH**2 / (WIDTH**2 + 2)) ** (dim / 2)
    return 2 * scale * (1 - math.exp(-(mean**2) / (2 * (WIDTH**2 + 2))))


def draws(rng: np.random.Generator, n: int, mean: float, dependence: float) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=(n, 2))
    y = dependence * x + math.sqrt(1 - dependence**2) * rng.normal(size=(n, 2))
    y[:, 0] += mean
    return x, y


@pytest.mark.parametrize(("mean", "dependence"), [(0.0, 0.0), (0.0, 0.95), (1.0, 0.0), (1.0, 0.8)])
def test_it_is_unbiased_whatever_the_pairs_share(mean: float, dependence: float) -> None:
    rng = np.random.default_rng(0)
    found = [contributions(*draws(rng, 30, mean, dependence), WIDTH).mean() for _ in range(1500)]
    assert np.mean(found) == pytest.approx(shifted(mean), abs=4 * np.std(found) / math.sqrt(len(found)))


def test_contributions_have_the_spread_of_the_estimate() -> None:
    rng = np.random.default_rng(1)
    found, said = [], []
    for _ in range(800):
        values = contributions(*draws(rng, 60, 1.0, 0.5), WIDTH)
        found.append(values.mean())
        said.append(values.std(ddof=1) / math.sqrt(len(values)))
    assert np.mean(said) == pytest.approx(np.std(found), rel=0.12)


def test_the_bandwidth_is_the_median_distance() -> None:
    assert bandwidth([[0.0], [1.0], [3.0]]) == 2.0
    with pytest.raises(ValueError, match="differ"):
        bandwidth([[1.0], [1.0]])
    with pytest.raises(ValueError, match="contributions"):
        contributions(np.zeros((2, 3)), np.zeros((3, 3)), 1.0)
