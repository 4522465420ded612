"""F0, white noise: x_t ~ N(0, 1), independent. Nothing can be predicted, and target x says so; Δx does not.

Truths (nats per frame, `k` frames after the last frame of the past):

* `gain(k)` = 0, `r2(k)` = 0, `energy_skill(k)` = 0, `rollout_gap(k)` = 0; `nll(k)` = `marginal_nll` = ½ d ln 2πe;
* `increment_gain(k)`, of x_{t+k} − x_t: x_t is known, so that half of the variance is: ½ d ln 2 at every k;
* `stale_gain(k)`, of x_{t+k} − x_{t+k−1}: ½ d ln 2 at k = 1, and 0 beyond, where neither frame is known;
* `direction_cosine`: E cos(x_t − x_{t−1}, −x_{t−1}), which tends to 1/√2 as d grows;
* `cluster_ratio(cells)`: variance of x_t − x_{t−1} within Lloyd–Max cells of x_{t−1} over its variance,
  ½ (1 + D_K), well below 1 for noise; `cluster_ratio_x(cells)`, the same of x_t, is 1.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from bench.calibration.oracles import KalmanOracle
from bench.calibration.process import Truths, looked_up
from bench.calibration.var1 import VAR1, expected_cosine, lloyd_max_distortion


class Iid:
    """Process F0, of `dim` dimensions."""

    name = "F0"

    def __init__(self, dim: int = 4) -> None:
        self.dim = dim

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """(n, frames, D)."""
        return torch.randn(n, frames, self.dim, generator=generator)

    def oracle(self) -> KalmanOracle:
        """The process as a submission: an autoregression with A = 0."""
        return VAR1.isotropic(0.0, self.dim).oracle()

    def truth(self, metric: str, **at: float) -> float:
        return looked_up(self.name, self.truths, metric, **at)

    @cached_property
    def truths(self) -> Truths:
        """Metric → its closed form."""
        known = 0.5 * self.dim * math.log(2)
        entropy = 0.5 * self.dim * math.log(2 * math.pi * math.e)
        return {
            "gain": lambda k: 0.0,
            "increment_gain": lambda k: known,
            "stale_gain": lambda k: known if k == 1 else 0.0,
            "nll": lambda k=1: entropy,
            "marginal_nll": lambda: entropy,
            "r2": lambda k: 0.0,
            "increment_r2": lambda k: 0.5,
            "energy_skill": lambda k: 0.0,
            "rollout_gap": lambda k: 0.0,
            "rollout_gap_mean": lambda k: 0.0,
            "direction_cosine": lambda: expected_cosine(math.sqrt(0.5), self.dim),
            "cluster_ratio": lambda cells: 0.5 * (1 + lloyd_max_distortion(int(cells))),
            "cluster_ratio_x": lambda cells: 1.0,
        }
