"""Laws of the RSSM's latents, diagonal Gaussians and mixtures of them, and the KL between a Gaussian and either.

Units: nats. Leading axes (...) are of any shape. Draws are reparameterised, but for a mixture's choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.heads import SMALLEST_TEMPERATURE
from bench.metrics.gaussian import kl_diagonal, log_normal

MIN_SCALE = 0.05


@dataclass(frozen=True)
class Normal:
    """A diagonal Gaussian: `mean` and `scale`, each (..., D)."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, raw: Tensor) -> Normal:
        """From a network's outputs (..., 2D)."""
        mean, scale = raw.chunk(2, dim=-1)
        return cls(mean, MIN_SCALE + F.softplus(scale + 0.5))

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw (..., D) under a CPU generator; None: the global one, on the device."""
        return self.mean + self.scale * _noise(self.mean, generator)

    def tempered(self, temperature: float) -> Normal:
        """√τ times as wide."""
        return self if temperature == 1.0 else Normal(self.mean, self.scale * math.sqrt(temperature))

    def log_prob(self, x: Tensor) -> Tensor:
        """(..., D) → (...)."""
        return log_normal(x, self.mean, self.scale)

    def detach(self) -> Normal:
        return Normal(self.mean.detach(), self.scale.detach())


@dataclass(frozen=True)
class Mixed:
    """A mixture of diagonal Gaussians: log-weights (..., K), `means` and `scales` (..., K, D)."""

    log_weights: Tensor
    means: Tensor
    scales: Tensor

    @property
    def mean(self) -> Tensor:
        return (self.log_weights.exp().unsqueeze(-1) * self.means).sum(-2)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw (..., D); the gradient goes through the chosen component, not through the choice."""
        weights = self.log_weights.detach().exp()
        flat = weights.flatten(0, -2)
        pick = torch.multinomial(flat if generator is None else flat.cpu(), 1, generator=generator)
        index = pick.to(weights.device).reshape(*weights.shape[:-1], 1, 1).expand_as(self.means[..., :1, :])
        mean, scale = (part.gather(-2, index).squeeze(-2) for part in (self.means, self.scales))
        return mean + scale * _noise(mean, generator)

    def tempered(self, temperature: float) -> Mixed:
        """Components √τ times as wide, chosen by their weights to the power 1/τ."""
        if temperature == 1.0:
            return self
        weights = F.log_softmax(self.log_weights / max(temperature, SMALLEST_TEMPERATURE), -1)
        return Mixed(weights, self.means, self.scales * math.sqrt(temperature))

    def log_prob(self, x: Tensor) -> Tensor:
        """(..., D) → (...)."""
        return torch.logsumexp(self.log_weights + log_normal(x.unsqueeze(-2), self.means, self.scales), -1)

    def detach(self) -> Mixed:
        return Mixed(self.log_weights.detach(), self.means.detach(), self.scales.detach())


Law = Normal | Mixed


def divergence(q: Normal, p: Law, z: Tensor) -> Tensor:
    """KL(q ‖ p) (...): exact for a Gaussian; for a mixture its Monte-Carlo estimate at one draw z (..., D) of q."""
    if isinstance(p, Normal):
        return kl_diagonal(q.mean, q.scale, p.mean, p.scale).sum(-1)
    return q.log_prob(z) - p.log_prob(z)


def _noise(like: Tensor, generator: torch.Generator | None) -> Tensor:
    if generator is None:
        return torch.randn_like(like)
    return torch.randn(like.shape, generator=generator).to(like)
