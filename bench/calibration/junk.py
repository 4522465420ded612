"""F7, decoder junk: x = (s, n), s predictable and quiet, n iid and loud, and a decoder D with D (0, n) = 0.

s_t = a s_{t−1} + w in every one of its dimensions, of stationary variance v; n ~ N(0, σ² I). Raw numbers see n
alone, a decoder's ear only s.

Truths, for Δ = x_t − x_{t−1} and the clustering of s_{t−1} into K Lloyd–Max cells in each of its dimensions, of
distortion D_K, with c = 1 − ½ (1 − a) (1 − D_K):

* `variance_ratio(cells)`: trace of Cov Δ within cells over that of Cov Δ, (S (1 − a) v c + J σ²) / (S (1 − a) v + J σ²)
  for S dimensions of s and J of n: 1 for loud junk;
* `decoder_variance_ratio(cells)`: the same of D Δ. Cov Δs is isotropic, in cells on average too, so that it is c
  whatever D does to s; `variance_ratio_x`, `decoder_variance_ratio_x`: of x_t itself, c = 1 − a² (1 − D_K);
* `gain(k)` = −½ S ln (1 − a^{2k}); `r2(k)` and `decoder_r2(k)` = a^{2k}, of x and of D x, on traces.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from bench.calibration.oracles import normal
from bench.calibration.process import Truths, looked_up
from bench.calibration.var1 import lloyd_max_distortion, simulated


class DecoderJunk:
    """Process F7.

    Args:
        predictable: S, dimensions of s.
        junk: J, dimensions of n.
        coefficient: a.
        signal_variance: v, of a dimension of s.
        junk_variance: σ², of a dimension of n.
        out: rows of the decoder, at least S.
        seed: of the decoder.

    Attributes:
        predictable: the dimensions of x that are s.
        decoder: D (out, dim), float32; orthonormal columns on s, zero on n.
    """

    name = "F7"

    def __init__(
        self,
        predictable: int = 4,
        junk: int = 12,
        coefficient: float = 0.8,
        signal_variance: float = 0.01,
        junk_variance: float = 1.0,
        out: int = 6,
        seed: int = 0,
    ) -> None:
        if out < predictable:
            raise ValueError(f"F7: expected a decoder of at least {predictable} rows, got {out}")
        self.dim, self.predictable, self.junk = predictable + junk, slice(0, predictable), slice(predictable, None)
        self.sizes = (predictable, junk)
        self.coefficient, self.variances = coefficient, (signal_variance, junk_variance)
        square = normal((out, predictable), torch.Generator().manual_seed(seed))
        self.decoder = torch.cat([torch.linalg.qr(square).Q, torch.zeros(out, junk, dtype=torch.float64)], 1).float()

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """(n, frames, D), stationary from frame 0."""
        (size, junk), (v, loud), a = self.sizes, self.variances, self.coefficient
        eye = torch.eye(size, dtype=torch.float64)
        s = simulated(a * eye, (1 - a * a) * v * eye, v * eye, n, frames, generator)
        noise = math.sqrt(loud) * normal((n, frames, junk), generator)
        return torch.cat([s, noise], -1).float()

    def truth(self, metric: str, **at: float) -> float:
        return looked_up(self.name, self.truths, metric, **at)

    @cached_property
    def truths(self) -> Truths:
        """Metric → its closed form."""
        a, (size, junk), (v, loud) = self.coefficient, self.sizes, self.variances
        delta = lambda cells: 1 - 0.5 * (1 - a) * (1 - lloyd_max_distortion(int(cells)))  # noqa: E731
        level = lambda cells: 1 - a * a * (1 - lloyd_max_distortion(int(cells)))  # noqa: E731

        def raw(quiet: float, ratio: float) -> float:
            """Over all dimensions, where s has `quiet` of variance in a dimension and `ratio` of it within cells."""
            return (size * quiet * ratio + junk * loud) / (size * quiet + junk * loud)

        return {
            "variance_ratio": lambda cells: raw((1 - a) * v, delta(cells)),
            "variance_ratio_x": lambda cells: raw(v, level(cells)),
            "decoder_variance_ratio": delta,
            "decoder_variance_ratio_x": level,
            "gain": lambda k: -0.5 * size * math.log(1 - a ** (2 * k)),
            "r2": lambda k: 1 - raw(v, 1 - a ** (2 * k)),
            "decoder_r2": lambda k: a ** (2 * k),
        }
