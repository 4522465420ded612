"""How many dimensions a set of vectors uses, from the eigenvalues of its covariance.

Both counts lie between 1 and D, are D for an isotropic covariance and 1 for one direction alone, and do not change
when all values are scaled. From n independent frames both come out too small, since sampling spreads the
eigenvalues: the participation ratio of n isotropic Gaussian frames is about D / (1 + D / n). Frames that follow
each other count as fewer.

References:
    Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality", EUSIPCO; Gao et al. 2017,
    "A theory of multineuronal dimensionality, dynamics and measurement", bioRxiv 214262 (participation ratio).
"""

from __future__ import annotations

import torch
from torch import Tensor


def effective_rank(eigenvalues: Tensor) -> float:
    """exp of the entropy of the eigenvalues' shares of their sum.

    Roy and Vetterli take the singular values of the data; these are the eigenvalues of the covariance, so that
    shares are shares of variance.

    Args:
        eigenvalues: (D,), at least 0; rounding below 0 counts as 0.

    Raises:
        ValueError: none is above 0.

    >>> round(effective_rank(torch.ones(8)), 6), round(effective_rank(torch.tensor([3.0, 0.0])), 6)
    (8.0, 1.0)
    """
    p = _shares(eigenvalues)
    return float(torch.special.entr(p).sum().exp())


def participation_ratio(eigenvalues: Tensor) -> float:
    """(Σ λ)² / Σ λ².

    Args:
        eigenvalues: (D,), at least 0; rounding below 0 counts as 0.

    Raises:
        ValueError: none is above 0.
    """
    return float(1 / _shares(eigenvalues).square().sum())


def _shares(eigenvalues: Tensor) -> Tensor:
    values = eigenvalues.double().clamp(min=0.0)
    if not float(values.sum()) > 0:
        raise ValueError("spectrum: expected an eigenvalue above 0, got none")
    return values / values.sum()
