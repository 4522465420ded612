"""Moments of latent frames in one pass and constant memory, in float64.

Means, central sums up to the fourth power and the co-moment matrix are merged chunk by chunk, so that neither a
large mean nor many frames cost digits: the sums are about the mean of what was seen so far.

References:
    Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", Am. Stat. 37; Pébay 2008,
    "Formulas for robust, one-pass parallel computation of covariances and arbitrary-order statistical moments",
    Sandia SAND2008-6212.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Moments:
    """Running moments of (n, D) frames that come in chunks, an utterance a chunk.

    Attributes:
        count, utterances: frames n and chunks seen.
        mean: (D,).
        scatter: (D, D), Σ (x − mean)(x − mean)ᵀ.
        third, fourth: (D,), Σ (x − mean)³ and ⁴.
        low, high: (D,), the least and largest values.
    """

    def __init__(self, dim: int) -> None:
        zeros = torch.zeros(dim, dtype=torch.float64)
        self.count, self.utterances, self.pairs = 0, 0, 0
        self.mean, self.third, self.fourth = zeros.clone(), zeros.clone(), zeros.clone()
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64)
        self.low, self.high = zeros + torch.inf, zeros - torch.inf
        # of neighbours, about the first chunk's mean: any fixed point near the mean keeps the digits
        self._about = zeros.clone()
        self._products, self._before, self._after = zeros.clone(), zeros.clone(), zeros.clone()

    def add(self, frames: Tensor) -> None:
        """Take in the frames (n, D) of one utterance.

        Raises:
            ValueError: another shape, or no frames.
        """
        if frames.ndim != 2 or frames.shape[1] != len(self.mean) or not len(frames):
            raise ValueError(f"moments: expected (n ≥ 1, {len(self.mean)}), got {tuple(frames.shape)}")
        x = frames.double()
        if not self.count:
            self._about = x.mean(0)
        self._neighbours(x - self._about)
        m, total = len(x), self.count + len(x)
        old, new = self.count / total, m / total  # shares: powers of counts would overflow after some millions
        mean = x.mean(0)
        off = x - mean
        squares = off.square()
        second, third, fourth = squares.sum(0), (squares * off).sum(0), squares.square().sum(0)
        d, before = mean - self.mean, self.scatter.diagonal().clone()
        self.fourth += (
            fourth
            + d**4 * m * old * (old * old - old * new + new * new)
            + 6 * d**2 * (old * old * second + new * new * before)
            + 4 * d * (old * third - new * self.third)
        )
        self.third += third + d**3 * m * old * (old - new) + 3 * d * (old * second - new * before)
        self.scatter += off.T @ off + torch.outer(d, d) * m * old
        self.mean = self.mean + d * new
        self.low, self.high = torch.minimum(self.low, x.amin(0)), torch.maximum(self.high, x.amax(0))
        self.count, self.utterances = total, self.utterances + 1

    def _neighbours(self, y: Tensor) -> None:
        self._products += (y[:-1] * y[1:]).sum(0)
        self._before += y[:-1].sum(0)
        self._after += y[1:].sum(0)
        self.pairs += len(y) - 1

    def variance(self) -> Tensor:
        """(D,), with n in the denominator; exactly 0 for a dimension of one value."""
        return torch.where(self.low < self.high, self.scatter.diagonal() / self.count, torch.zeros_like(self.mean))

    def covariance(self) -> Tensor:
        """(D, D), with n in the denominator."""
        return self.scatter / self.count

    def correlation(self) -> Tensor:
        """(D, D); rows and columns of constant dimensions are 0."""
        spread = self.variance().sqrt()
        inverse = torch.where(spread > 0, 1 / spread.clamp(min=1e-300), torch.zeros_like(spread))
        return self.covariance() * inverse * inverse[:, None]

    def excess_kurtosis(self) -> Tensor:
        """(D,), n Σ(x − mean)⁴ / (Σ(x − mean)²)² − 3: Gaussian 0, uniform −1.2, Laplace 3; NaN for constant ones.

        Biased towards 0 for few frames: of n independent Gaussian ones it expects −6 / (n + 1).
        """
        second = self.scatter.diagonal()
        return torch.where(self.variance() > 0, self.count * self.fourth / second.square() - 3, torch.nan)

    def lag_one(self) -> Tensor:
        """(D,), correlation of a frame with the next of its utterance; NaN for constant ones or without pairs.

        About the mean and over the variance of all frames, so that what an utterance keeps for its whole length
        counts. For few frames biased towards 0, by about −(1 + 3 ρ) / n.
        """
        if not self.pairs:
            return torch.full_like(self.mean, torch.nan)
        m, variance = self.mean - self._about, self.variance()
        products = self._products - m * (self._before + self._after) + self.pairs * m.square()
        return torch.where(variance > 0, products / self.pairs / variance, torch.nan)
