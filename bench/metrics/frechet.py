"""Fréchet distance between sets of embeddings, each taken for a Gaussian; biased upwards by 1/N, and without that.

Conventions: embeddings (n, D), n > D; squared units of the embedding; 0 is best. The estimate from n samples exceeds
the distance of the laws by about c / n: compare at equal n, or extrapolate to 1/n → 0 (FAD∞). Two laws of the same mean
and covariance are at 0 whatever else differs.

References:
    Dowson and Landau 1982 (the distance); Heusel et al. 2017 (FID, arXiv 1706.08500); Kilgour et al. 2019 (FAD, arXiv
    1812.08466); Chong and Forsyth 2020 (the extrapolation, arXiv 1911.07023); Gui et al. 2024 (FAD∞, arXiv 2311.01616).
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray
SUBSETS = 8
"""Sizes that the extrapolation fits a line through, from half of the samples to all."""


def frechet(x: Array, y: Array) -> float:
    """‖μ_x − μ_y‖² + tr(Σ_x + Σ_y − 2 (Σ_x Σ_y)^½).

    Args:
        x, y: (n, D) and (m, D) embeddings, n and m above 1.

    Raises:
        ValueError: of other shapes, or not finite.
    """
    x, y = _checked(x), _checked(y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"frechet: expected embeddings of one dimension, got {x.shape[1]} and {y.shape[1]}")
    a, b = (np.atleast_2d(np.cov(z, rowvar=False)) for z in (x, y))
    # tr (AB)^½ by the symmetric A^½ B A^½, whose eigenvalues are real and not below zero
    root = _root(a)
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ b @ root), 0.0, None)).sum()
    moved = x.mean(0) - y.mean(0)
    return float(moved @ moved + np.trace(a) + np.trace(b) - 2 * cross)


def extrapolated(x: Array, reference: Array, rng: np.random.Generator) -> float:
    """The distance of x to a fixed reference as n → ∞: the intercept over 1/n, from random subsets of x.

    What the reference's own size adds stays. May be a little below zero where the laws are the same.

    Args:
        x: (n, D), n at least 2 (D + 1).
        reference: (m, D).
        rng: chooses the subsets.
    """
    x = _checked(x)
    if len(x) < 2 * (x.shape[1] + 1):
        raise ValueError(f"extrapolated: expected {2 * (x.shape[1] + 1)} embeddings of {x.shape[1]}-d, got {len(x)}")
    sizes = np.linspace(len(x) // 2, len(x), SUBSETS).astype(int)
    found = [frechet(x[rng.permutation(len(x))[:n]], reference) for n in sizes]
    return float(np.polyfit(1 / sizes, found, 1)[1])


def _root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T


def _checked(x: Array) -> Array:
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"frechet: expected embeddings (n, D) with n of at least 2, got {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("frechet: expected finite embeddings")
    return x
