"""F2, a fair choice of two directions along an announced axis: predictable, and no mean or variance shows it.

x_t = (Δ_t, y_t) with Δ_t = ± a u_{c(t)} + σ ε, u_1 and u_2 the axes of the plane, c fair, the sign fair, and
r = a / σ. y_t = ± 1 + τ ε announces c(t + 1). Frames further ahead than the next are independent of the past.

Conventions: σ = 1, so that a = r; nats per frame, natural logarithms. The density of y makes the announcement
noisy: its sign is wrong with probability Φ(−1/τ), 2.9e-7 at τ = 0.2. Truths hold for a perfect one and are above
the exact value by at most the entropy that is left of c, `left_open` nats (9e-7 at τ = 0.2).

Truths, with g(r) = r² − E ln cosh(r² + r Z), the entropy of a ± r pair over that of its noise:

* `gain(k)` = 2 g(r/√2) − g(r) at k = 1, and 0 beyond; it tends to ln 2 with r. Given c = 1 the density of Δ over the
  marginal is cosh(r Δ_1) / (cosh(r (Δ_1 + Δ_2) / 2) cosh(r (Δ_1 − Δ_2) / 2)), whose logarithm has this mean;
* `nll(k)`, `marginal_nll`: of all three dimensions;
* `gaussian_gain(k)` = ln(1 + r²/2) − ½ ln(1 + r²) at k = 1: of the best Gaussian that is given c over the best
  Gaussian that is not; it exceeds the truth for large r, and has no bound;
* `r2(k)` = 0 and `linear_gain(k)` = 0: E[Δ | c] = 0, and Δ is uncorrelated with everything before it;
* `left_open`: E H(c | y).
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.calibration.oracles import Oracle, normal
from bench.calibration.process import Truths, looked_up

NODES = np.linspace(-12.0, 12.0, 24_001)
"""Of the trapezoid rule under exp(−z²/2), which converges geometrically for analytic integrands."""


class Bimodal:
    """Process F2.

    Args:
        ratio: r = a / σ, above 0.
        announcement_noise: τ.
    """

    name = "F2"
    dim = 3

    def __init__(self, ratio: float = 3.0, announcement_noise: float = 0.2) -> None:
        self.ratio, self.announcement_noise = ratio, announcement_noise

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """(n, frames, 3), stationary from frame 0."""
        axis = torch.randint(2, (n, frames + 1), generator=generator)
        sign = 2.0 * torch.randint(2, (n, frames), generator=generator) - 1
        mean = self.ratio * sign[..., None] * F.one_hot(axis[:, :-1], 2)
        announced = (2.0 * axis[:, 1:] - 1)[..., None]
        noise = torch.randn(n, frames, 3, generator=generator)
        return torch.cat([mean + noise[..., :2], announced + self.announcement_noise * noise[..., 2:]], -1)

    def oracle(self) -> BimodalOracle:
        """The process as a submission; its state is the announcement, decoded."""
        return BimodalOracle(self.ratio, self.announcement_noise)

    def truth(self, metric: str, **at: float) -> float:
        return looked_up(self.name, self.truths, metric, **at)

    @cached_property
    def truths(self) -> Truths:
        """Metric → its closed form or quadrature."""
        r = self.ratio
        gain = 2 * pair_entropy(r / math.sqrt(2)) - pair_entropy(r)
        gaussian = math.log(1 + r * r / 2) - 0.5 * math.log(1 + r * r)
        unit = 0.5 * math.log(2 * math.pi * math.e)
        announcement = unit + math.log(self.announcement_noise) + pair_entropy(1 / self.announcement_noise)
        marginal = 2 * unit + 2 * pair_entropy(r / math.sqrt(2)) + announcement
        return {
            "gain": lambda k: gain if k == 1 else 0.0,
            "gaussian_gain": lambda k: gaussian if k == 1 else 0.0,
            "linear_gain": lambda k: 0.0,
            "r2": lambda k: 0.0,
            "nll": lambda k=1: marginal - gain if k == 1 else marginal,
            "marginal_nll": lambda: marginal,
            "left_open": self._left_open,
        }

    def _left_open(self) -> float:
        """E ln(1 + exp(−2 y / τ²)) over y = 1 + τ Z: the mean of −ln P(c | y)."""
        return _expected(np.logaddexp(0, -2 * (1 + self.announcement_noise * NODES) / self.announcement_noise**2))


class BimodalOracle(Oracle):
    """The exact density and samples of F2, the noise of the announcement included."""

    def __init__(self, ratio: float, announcement_noise: float) -> None:
        self.ratio, self.announcement_noise = ratio, announcement_noise

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """P(second axis is next | x_≤t): (B, T, 3) → (B, T, 1)."""
        del generator
        return (2 * x[..., 2:] / self.announcement_noise**2).sigmoid()

    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        """log p(target_t | context_<t): (B, T, 3) twice → (B, T)."""
        del generator
        heard = 2 * context[..., 2].double() / self.announcement_noise**2
        logit = F.pad(heard[:, :-1], (1, 0))
        delta, y = target[..., :2].double(), target[..., 2].double()
        axes = log_cosh(self.ratio * delta)
        mixed = torch.logaddexp(F.logsigmoid(-logit) + axes[..., 0], F.logsigmoid(logit) + axes[..., 1])
        plane = mixed - 0.5 * (delta.square().sum(-1) + self.ratio**2) - math.log(2 * math.pi)
        tau = self.announcement_noise
        announced = log_cosh(y / tau**2) - 0.5 * (y.square() + 1) / tau**2 - 0.5 * math.log(2 * math.pi * tau**2)
        return (plane + announced).to(target.dtype)

    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        """Continuations (B, S, frames, 3); with `mean`, the mean of every frame, which is 0."""
        out = torch.zeros(len(prompt), draws, frames, 3, dtype=torch.float64)
        if mean:
            return out.to(prompt)
        heard = prompt[:, None, -1, 2].cpu().double().expand(-1, draws)
        for k in range(frames):
            uniform = torch.rand(*heard.shape, 3, generator=generator, dtype=torch.float64)
            axis = (uniform[..., 0] < (2 * heard / self.announcement_noise**2).sigmoid()).long()
            sign, heard = (2.0 * (uniform[..., i] < 0.5) - 1 for i in (1, 2))
            out[:, :, k, :2] = self.ratio * sign[..., None] * F.one_hot(axis, 2)
            noise = normal((*heard.shape, 3), generator)
            heard = heard + self.announcement_noise * noise[..., 2]
            out[:, :, k, :2] += noise[..., :2]
            out[:, :, k, 2] = heard
        return out.to(prompt)


def pair_entropy(ratio: float) -> float:
    """g(r): entropy of ± r + Z, minus that of Z, in nats; 0 at r = 0, and ln 2 for large r."""
    u = np.abs(ratio**2 + ratio * NODES)
    return ratio**2 - _expected(u + np.log1p(np.exp(-2 * u)) - math.log(2))


def log_cosh(u: Tensor) -> Tensor:
    """ln cosh u without overflow."""
    return u.abs() + torch.log1p(torch.exp(-2 * u.abs())) - math.log(2)


def _expected(values: np.ndarray) -> float:
    """E f(Z), Z ~ N(0, 1), from f at NODES."""
    step = NODES[1] - NODES[0]
    return float((values * np.exp(-0.5 * NODES**2)).sum() * step / math.sqrt(2 * math.pi))
