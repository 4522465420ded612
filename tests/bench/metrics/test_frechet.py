"""The distance against closed forms and scipy's matrix root, and the extrapolation against its bias."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from bench.metrics.frechet import extrapolated, frechet


def exact(n: int, mean: np.ndarray, covariance: np.ndarray, seed: int) -> np.ndarray:
    """Samples whose mean and covariance are those given, not only on average."""
    z = np.random.default_rng(seed).normal(size=(n, len(mean)))
    z = z - z.mean(0)
    z = np.linalg.solve(np.linalg.cholesky(np.atleast_2d(np.cov(z, rowvar=False))), z.T).T
    return z @ np.linalg.cholesky(covariance).T + mean


def test_one_dimension_is_means_and_deviations() -> None:
    x, y = exact(50, np.array([1.0]), np.array([[4.0]]), 0), exact(70, np.array([-2.0]), np.array([[0.25]]), 1)
    assert frechet(x, y) == pytest.approx(3.0**2 + (2.0 - 0.5) ** 2)


def test_it_is_the_formula_with_scipys_root() -> None:
    rng = np.random.default_rng(0)
    a, b = (m @ m.T + np.eye(5) for m in rng.normal(size=(2, 5, 5)))
    mean = rng.normal(size=5)
    x, y = exact(100, np.zeros(5), a, 1), exact(200, mean, b, 2)
    expected = mean @ mean + np.trace(a + b - 2 * np.real(scipy.linalg.sqrtm(a @ b)))
    assert frechet(x, y) == pytest.approx(expected, rel=1e-6)
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    assert frechet(x @ rotation, y @ rotation) == pytest.approx(frechet(x, y))
    assert frechet(y, x) == pytest.approx(frechet(x, y))
    assert frechet(x, x) == pytest.approx(0.0, abs=1e-8)


def test_extrapolation_takes_most_of_the_bias_away() -> None:
    """Two samples of one law: the plain estimate is well above 0, and grows as 1/n; the reference is exact."""
    dim, reference = 8, exact(4000, np.zeros(8), np.eye(8), 9)
    plain, far = [], []
    for seed in range(12):
        x = np.random.default_rng(seed).normal(size=(200, dim))
        plain.append(frechet(x, reference))
        far.append(extrapolated(x, reference, np.random.default_rng(100 + seed)))
    assert np.mean(plain) > 0.1
    assert abs(np.mean(far)) < 0.35 * np.mean(plain)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.ones((1, 2)), np.ones((3, 2)), "at least 2"),
        (np.ones((3, 2)), np.ones((3, 4)), "one dimension, got 2 and 4"),
        (np.full((3, 2), np.nan), np.ones((3, 2)), "finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(x: np.ndarray, y: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        frechet(x, y)


def test_too_few_to_extrapolate() -> None:
    with pytest.raises(ValueError, match="expected 10 embeddings of 4-d, got 9"):
        extrapolated(np.ones((9, 4)), np.ones((9, 4)), np.random.default_rng(0))
