"""What in a set of latent frames would make a density mean nothing: before anything is fitted.

A density exists only for continuous vectors that fill their space. Frames from a finite set (dequantised RVQ,
FSQ) have none: the likelihood of a good enough model grows without bound. Constant and duplicated dimensions
lie on a flat subspace: a density over that subspace exists, and a gain there equals the gain of the whole, since
what was left out is a function of what was kept.

Conventions: frames (n, D). Redundancy is judged on the correlation matrix, so that the scale of a dimension does
not matter; `thin` counts what is small in the covariance itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

FLAT = 1e-6
"""Eigenvalues below this share of the largest are directions without extent."""
REPEATED = 0.1
"""Share of frames that have an exact twin, the commonest frame (silence) aside, above which frames are atoms."""
DISTINCT = 0.05
"""Share of distinct values in a dimension below which it takes a finite number of them."""


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        frames, dim: n and D.
        not_finite: frames with NaN or infinity.
        constant: dimensions of one value.
        duplicated: pairs (i, j), i < j, with |correlation| above 1 − FLAT.
        rank: directions with extent, of the correlation matrix of the dimensions that are not constant.
        thin: directions of the covariance below FLAT of the largest, constant ones included.
        repeated_share: share of frames with an exact twin, the commonest frame aside.
        silent_share: share of the commonest frame.
        discrete: dimensions, not constant, with fewer than DISTINCT · n distinct values.
    """

    frames: int
    dim: int
    not_finite: int
    constant: tuple[int, ...]
    duplicated: tuple[tuple[int, int], ...]
    rank: int
    thin: int
    repeated_share: float
    silent_share: float
    discrete: tuple[int, ...]

    @property
    def finite_support(self) -> bool:
        """Whether the frames look drawn from a finite set, so that no density exists."""
        return self.repeated_share > REPEATED or bool(self.discrete)

    @property
    def full_rank(self) -> bool:
        """Whether the frames fill all D dimensions."""
        return self.rank == self.dim

    def note(self) -> dict[str, Any]:
        """As JSON, for a record."""
        return {**asdict(self), "finite_support": self.finite_support}


def report(frames: Tensor) -> Report:
    """Look at training frames (n, D), n ≥ 2.

    Raises:
        ValueError: fewer than two frames, or another shape.
    """
    if frames.ndim != 2 or len(frames) < 2:
        raise ValueError(f"report: expected (n, D) with n ≥ 2, got {tuple(frames.shape)}")
    n, dim = frames.shape
    good = frames[torch.isfinite(frames).all(1)]
    if len(good) < 2:
        return Report(n, dim, n - len(good), (), (), 0, 0, 0.0, 0.0, ())
    _, counts = torch.unique(good, dim=0, return_counts=True)
    commonest = int(counts.max())
    twins = int(counts[counts > 1].sum()) - (commonest if commonest > 1 else 0)
    values, _ = _spectrum(good, standardised=True)
    constant = _constant(good)
    distinct = [len(torch.unique(column)) for column in good.T]
    found = [j for j, count in enumerate(distinct) if count < DISTINCT * len(good) and j not in constant]
    # with few frames every dimension has few values, and the share says nothing
    discrete = tuple(found) if DISTINCT * len(good) >= 2 else ()
    covariance, _ = _spectrum(good, standardised=False)
    return Report(
        frames=n,
        dim=dim,
        not_finite=n - len(good),
        constant=constant,
        duplicated=_duplicated(good),
        rank=int((values > FLAT * values.max()).sum()) if values.max() > 0 else 0,
        thin=int((covariance <= FLAT * covariance.max()).sum()),
        repeated_share=twins / len(good),
        silent_share=commonest / len(good),
        discrete=discrete,
    )


def support(frames: Tensor) -> Tensor:
    """An orthonormal basis of the directions with extent in standardised dimensions, back in the units of x.

    Args:
        frames: (n, D) training frames.

    Returns:
        (D, rank): x ↦ x P is then a vector that fills its space; the rest of x is an affine function of it.
    """
    values, vectors = _spectrum(frames, standardised=True)
    spread = _spread(frames)
    keep = values > FLAT * values.max()
    inverse = torch.where(spread > 0, 1 / spread.clamp(min=1e-300), torch.zeros_like(spread))
    return (inverse[:, None] * vectors[:, keep]).to(frames.dtype)


def _spread(frames: Tensor) -> Tensor:
    """Standard deviation per dimension, exactly 0 for a dimension of one value, whose rounding would be noise."""
    spread = frames.double().std(0, unbiased=False)
    spread[list(_constant(frames))] = 0.0
    return spread


def _constant(frames: Tensor) -> tuple[int, ...]:
    same = (frames == frames[:1]).all(0)
    return tuple(int(j) for j in same.nonzero()[:, 0])


def _correlation(frames: Tensor) -> Tensor:
    x = frames.double()
    spread = _spread(frames)
    z = (x - x.mean(0)) / torch.where(spread > 0, spread, torch.ones_like(spread))
    z = z * (spread > 0)
    return z.T @ z / len(z)


def _spectrum(frames: Tensor, standardised: bool) -> tuple[Tensor, Tensor]:
    """Eigenvalues (ascending) and eigenvectors of the correlation or the covariance matrix."""
    x = frames.double()
    matrix = _correlation(frames) if standardised else (x - x.mean(0)).T @ (x - x.mean(0)) / len(x)
    values, vectors = torch.linalg.eigh(matrix)
    return values, vectors


def _duplicated(frames: Tensor) -> tuple[tuple[int, int], ...]:
    near = _correlation(frames).abs() > 1 - FLAT
    rows, columns = near.triu(1).nonzero(as_tuple=True)
    return tuple((int(i), int(j)) for i, j in zip(rows, columns, strict=True))
