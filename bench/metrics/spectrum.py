"""How many directions latents really use."""

from __future__ import annotations

import torch
from torch import Tensor


def effective_rank(frames: Tensor) -> float:
    """exp H(λ / Σλ), λ the eigenvalues of the covariance of frames (n, D): from 1 to D (Roy and Vetterli 2007).

    D for isotropic frames, 1 for frames on a line; two directions of equal variance count as 2 whatever the rest is
    near 0. Sampling spreads the eigenvalues of n frames, so that it is biased downwards, for isotropic Gaussian frames
    by about a factor exp(−D / 2n). It changes with the scale of single dimensions: it is of the latents as they are.

    Raises:
        ValueError: fewer than two frames, or no variance at all.
    """
    if len(frames) < 2:
        raise ValueError(f"expected at least 2 frames, got {len(frames)}")
    values = torch.linalg.eigvalsh(torch.cov(frames.double().T).reshape(frames.shape[1], -1)).clamp(min=0.0)
    if not bool(values.sum() > 0):
        raise ValueError("expected frames that differ, got constant ones")
    share = values / values.sum()
    return float(torch.special.entr(share).sum().exp())
