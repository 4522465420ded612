"""Maximum mean discrepancy: how far two samples are from being of one law, without a density of either.

MMD² = E k(x, x') + E k(y, y') − 2 E k(x, y), 0 for equal laws and only for them. The kernel is the mean over
bandwidths h of exp(−‖a − b‖² / (2 h²)), so that MMD² is at most 2, and near 1 for a point against a wide law.
Lower is better; the estimate is unbiased and may be negative.

References:
    Gretton et al. 2012, "A kernel two-sample test", JMLR 13, equation 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0)
"""In the units of the samples; meant for those of about unit variance."""
ROWS = 2048
"""Of the kernel matrix that are held at once."""


def mmd2(x: Tensor, y: Tensor, bandwidths: Sequence[float] = BANDWIDTHS) -> float:
    """Unbiased MMD² of x (n, D) and y (m, D), n and m at least 2, in float64.

    Raises:
        ValueError: too few samples, or of other dimensions.
    """
    if min(len(x), len(y)) < 2 or x.shape[1:] != y.shape[1:]:
        raise ValueError(f"mmd2: expected (n ≥ 2, D) and (m ≥ 2, D), got {tuple(x.shape)} and {tuple(y.shape)}")
    x, y = x.double(), y.double()
    n, m = len(x), len(y)
    # the diagonal, k(a, a) = 1, is no pair
    same = (_sum(x, x, bandwidths) - n) / (n * (n - 1)) + (_sum(y, y, bandwidths) - m) / (m * (m - 1))
    return same - 2 * _sum(x, y, bandwidths) / (n * m)


def _sum(a: Tensor, b: Tensor, bandwidths: Sequence[float]) -> float:
    """Sum of the kernel over all pairs."""
    total = 0.0
    for rows in a.split(ROWS):
        squared = torch.cdist(rows, b, compute_mode="donot_use_mm_for_euclid_dist").square()
        total += math.fsum(float(torch.exp(squared / (-2 * h * h)).sum()) for h in bandwidths) / len(bandwidths)
    return total
