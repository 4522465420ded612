"""F9, two speakers with different means: x_t = ±m + y_t, y_t = a y_{t−1} + w of unit variance in each dimension.

Sequences take turns: 0, 2, … are of the first speaker, 1, 3, … of the second. The past is infinite, so that it tells
who speaks. Truths, nats per frame, with μ = ‖m‖ and g the entropy of a ± μ pair over its noise (ln 2 for large μ):

* `within_gain(k)` = −½ d ln (1 − a^{2k}): the marginal knows the speaker, as after normalising by speaker;
* `pooled_gain(k)` = `within_gain(k)` + g(μ): one marginal of both. It predicts who speaks, which every frame repeats;
* `gaussian_pooled_gain(k)` = `within_gain(k)` + ½ ln (1 + μ²): the same with a Gaussian for that marginal;
* `unseen_gain(k)` = `within_gain(k)` + 4 μ² a^k / (1 + a^k): marginal and autoregression are those of one speaker, the
  frames those of the other. The marginal is off by 2μ² nats, the autoregression by 2μ² (1 − a^k) / (1 + a^k): a split
  by speaker without normalisation invents gain without bound;
* `r2_pooled(k)` = 1 − d (1 − a^{2k}) / (d + μ²), `r2_within(k)` = a^{2k}, on traces;
* `marginal_excess` = 2μ²: what the other speaker's Gaussian marginal costs;
* `leaked` = g(μ): `pooled_gain` − `within_gain`.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from bench.calibration.bimodal import pair_entropy
from bench.calibration.oracles import normal
from bench.calibration.process import Truths, looked_up
from bench.calibration.var1 import simulated


class TwoSpeakers:
    """Process F9.

    Args:
        dim: D.
        coefficient: a.
        distance: 2μ, between the means, in standard deviations of a speaker's dimension.
        seed: of the direction of m.
    """

    name = "F9"

    def __init__(self, dim: int = 4, coefficient: float = 0.8, distance: float = 4.0, seed: int = 0) -> None:
        self.dim, self.coefficient, self.half = dim, coefficient, distance / 2
        direction = normal((dim,), torch.Generator().manual_seed(seed))
        self.mean = self.half * direction / direction.norm()

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """(n, frames, D), stationary from frame 0."""
        a, eye = self.coefficient, torch.eye(self.dim, dtype=torch.float64)
        y = simulated(a * eye, (1 - a * a) * eye, eye, n, frames, generator)
        sign = 1.0 - 2.0 * (torch.arange(n) % 2)
        return (y + sign[:, None, None] * self.mean).float()

    def truth(self, metric: str, **at: float) -> float:
        return looked_up(self.name, self.truths, metric, **at)

    @cached_property
    def truths(self) -> Truths:
        """Metric → its closed form, or quadrature for g."""
        a, mu2, d = self.coefficient, self.half**2, self.dim
        within = lambda k: -0.5 * d * math.log(1 - a ** (2 * k))  # noqa: E731
        leaked = pair_entropy(self.half)
        return {
            "within_gain": within,
            "pooled_gain": lambda k: within(k) + leaked,
            "gaussian_pooled_gain": lambda k: within(k) + 0.5 * math.log1p(mu2),
            "unseen_gain": lambda k: within(k) + 4 * mu2 * a**k / (1 + a**k),
            "marginal_excess": lambda: 2 * mu2,
            "leaked": lambda: leaked,
            "r2_within": lambda k: a ** (2 * k),
            "r2_pooled": lambda k: 1 - d * (1 - a ** (2 * k)) / (d + mu2),
        }
