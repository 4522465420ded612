"""Squared maximum mean discrepancy of paired samples, and what each pair contributes to it.

MMD² = E k(x, x') + E k(y, y') − 2 E k(x, y) with k(a, b) = exp(−‖a − b‖² / (2 h²)), 0 for equal laws and below 2. The
estimate is the U-statistic over pairs (x_i, y_i) and (x_j, y_j), i ≠ j. It is unbiased although x_i and y_i depend on
each other, as a continuation and the recording of the same voice do, since no term holds both; and it may be below
zero. A pair's contribution is the mean of its terms; their mean is the estimate, and a bootstrap over twice their
deviations from it has the estimate's spread, as each pair stands in two places of every term.

References:
    Gretton et al. 2012, "A kernel two-sample test", JMLR 13, lemma 6 and equation 4 (MMD_u² with m = n); Chung et al.
    2025 (KAD, arXiv 2502.15602), for a bandwidth that is the median distance within the reference.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist, pdist

Array = npt.NDArray[np.float64]


def bandwidth(reference: npt.ArrayLike) -> float:
    """Median distance between two of the reference embeddings (n, D), n at least 2.

    Raises:
        ValueError: they are all alike.
    """
    found = float(np.median(pdist(np.asarray(reference, dtype=np.float64))))
    if not found > 0:
        raise ValueError("bandwidth: expected reference embeddings that differ")
    return found


def contributions(x: npt.ArrayLike, y: npt.ArrayLike, width: float) -> Array:
    """What each pair of x, y (n, D) contributes to MMD²: (n,), their mean the estimate.

    Linearised: an estimate plus twice a pair's deviation from it, so that the spread of the values is that of the
    estimate itself.

    Raises:
        ValueError: fewer than two pairs, or of different shapes.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or len(a) < 2:
        raise ValueError(f"contributions: expected (n ≥ 2, D) twice, got {a.shape} and {b.shape}")

    def kernel(one: Array, other: Array) -> Array:
        return np.asarray(np.exp(-cdist(one, other, "sqeuclidean") / (2 * width**2)))

    cross = kernel(a, b)
    terms = kernel(a, a) + kernel(b, b) - cross - cross.T
    np.fill_diagonal(terms, 0.0)
    each = terms.sum(1) / (len(a) - 1)
    return np.asarray(each.mean() + 2 * (each - each.mean()))
