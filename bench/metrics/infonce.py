"""InfoNCE: which of N futures is the true one, and the bound on mutual information that follows.

Conventions: `scores` (n, N) hold the critic's value of each candidate, the true one in the column `truth`;
natural logarithms. I(context; future) ≥ ln N − loss for candidates drawn independently from the marginal, and the
bound cannot exceed ln N, however large I is: an accuracy near 1 says only that I is large. Negatives from other
speakers or recordings are told apart by what does not change in time; the bound then counts that too.

Metrics:
    loss, bound, accuracy: van den Oord, Li and Vinyals 2018, "Representation learning with contrastive predictive
        coding" (arXiv 1807.03748); Poole et al. 2019, "On variational bounds of mutual information"
        (arXiv 1905.06922).
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F


def loss(scores: Tensor, truth: Tensor) -> Tensor:
    """−log softmax of the true candidate: (n, N), (n,) int64 → (n,) nats, ln N for a critic that knows nothing."""
    return F.cross_entropy(scores, truth, reduction="none")


def bound(scores: Tensor, truth: Tensor) -> Tensor:
    """ln N − loss, whose mean is a lower bound of I in nats: (n, N), (n,) → (n,); at most ln N."""
    return math.log(scores.shape[-1]) - loss(scores, truth)


def accuracy(scores: Tensor, truth: Tensor) -> Tensor:
    """1 where the true candidate scores highest, 1 / m where it shares the highest score with m − 1 others, else 0.

    Without the share, a critic that gives every candidate the same score would be right always or never,
    depending on how ties are broken; with it, chance is exactly 1 / N.

    >>> import torch
    >>> accuracy(torch.zeros(2, 4), torch.tensor([0, 3])).tolist()
    [0.25, 0.25]
    """
    best = scores == scores.max(-1, keepdim=True).values
    hit = best.gather(-1, truth[..., None])[..., 0]
    return hit / best.sum(-1)
