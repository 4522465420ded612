"""What stands between encoder and decoder, and how many nats it lets through.

Conventions: the encoder gives a mean and a log-variance, each (B, T, D). `latents` is what the codec exposes,
without randomness; `channel` is what the decoder receives in training, with what it costs in nats per frame.
`nats` is the rate of the channel by the estimator that `estimator` names.

References:
    KL: Kingma and Welling 2014 (arXiv 1312.6114). FSQ: Mentzer, Minnen, Agustsson and Tschannen 2023
    (arXiv 2309.15505). Straight-through gradients: Bengio, Léonard and Courville 2013 (arXiv 1308.3432). Capacity:
    Cover and Thomas 2006, section 9.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor


class Bottleneck(Protocol):
    """One way to press."""

    family: ClassVar[str]
    estimator: ClassVar[str]

    def latents(self, mean: Tensor) -> Tensor:
        """What the codec exposes, (B, T, D) → (B, T, D)."""
        ...

    def channel(self, mean: Tensor, log_var: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """What the decoder receives (B, T, D), and the loss added for it, a scalar."""
        ...

    def nats(self, mean: Tensor, log_var: Tensor) -> Tensor | None:
        """Rate of frames (n, D) by dimension, (D,), nats per frame; None where nothing limits it."""
        ...


@dataclass(frozen=True)
class Plain:
    """No pressure but the number of dimensions: an autoencoder."""

    family: ClassVar[str] = "autoencoder"
    estimator: ClassVar[str] = "none: the rate of a real vector without noise is infinite"

    def latents(self, mean: Tensor) -> Tensor:
        return mean

    def channel(self, mean: Tensor, log_var: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        del log_var, generator
        return mean, mean.new_zeros(())

    def nats(self, mean: Tensor, log_var: Tensor) -> Tensor | None:
        del mean, log_var
        return None


@dataclass(frozen=True)
class KL:
    """A Gaussian posterior that pays `weight` for each nat of KL to N(0, I); the codec exposes its mean."""

    weight: float
    family: ClassVar[str] = "KL"
    estimator: ClassVar[str] = "mean KL of the posterior from N(0, I)"

    def latents(self, mean: Tensor) -> Tensor:
        return mean

    def channel(self, mean: Tensor, log_var: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        cost = gaussian_kl(mean, log_var).sum(-1).mean()
        return mean + torch.exp(0.5 * log_var) * _noise(mean, generator), self.weight * cost

    def nats(self, mean: Tensor, log_var: Tensor) -> Tensor | None:
        return gaussian_kl(mean, log_var).flatten(0, -2).mean(0)


@dataclass(frozen=True)
class FSQ:
    """Every dimension bounded by tanh and rounded to one of `levels` values in [−1, 1], an odd number."""

    levels: int
    family: ClassVar[str] = "FSQ"
    estimator: ClassVar[str] = "ln(levels) a dimension, as sent"

    def __post_init__(self) -> None:
        if self.levels < 3 or self.levels % 2 == 0:
            raise ValueError(f"FSQ: expected an odd number of levels from 3 up, got {self.levels}")

    def latents(self, mean: Tensor) -> Tensor:
        half = self.levels // 2
        return torch.round(half * torch.tanh(mean)) / half

    def channel(self, mean: Tensor, log_var: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        del log_var, generator
        bounded = torch.tanh(mean)
        # straight through: rounded values, the gradient of the bound
        return bounded + (self.latents(mean) - bounded).detach(), mean.new_zeros(())

    def nats(self, mean: Tensor, log_var: Tensor) -> Tensor | None:
        del log_var
        return mean.new_full((mean.shape[-1],), math.log(self.levels))

    def codes(self, latents: Tensor) -> Tensor:
        """Latents (…, D) → level of each dimension, 0 … levels − 1."""
        half = self.levels // 2
        return torch.round(half * latents).long() + half

    def from_codes(self, codes: Tensor) -> Tensor:
        """The inverse of `codes`."""
        half = self.levels // 2
        return (codes - half).float() / half


@dataclass(frozen=True)
class Noise:
    """Every dimension bounded by tanh, as FSQ's are, and Gaussian noise of fixed σ in place of its rounding."""

    sigma: float
    family: ClassVar[str] = "noise"
    estimator: ClassVar[str] = "capacity ½ ln(1 + S / σ²) a dimension at its own power S: an upper bound"

    def latents(self, mean: Tensor) -> Tensor:
        return torch.tanh(mean)

    def channel(self, mean: Tensor, log_var: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        del log_var
        return torch.tanh(mean) + self.sigma * _noise(mean, generator), mean.new_zeros(())

    def nats(self, mean: Tensor, log_var: Tensor) -> Tensor | None:
        del log_var
        return capacity(torch.tanh(mean).flatten(0, -2).var(0, unbiased=False), self.sigma)


def rounding_sigma(levels: int) -> float:
    """Standard deviation of the rounding error of `FSQ(levels)` where it is uniform: its step over √12.

    >>> round(rounding_sigma(3), 4)
    0.2887
    """
    return 1.0 / (levels // 2) / math.sqrt(12.0)


def gaussian_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL of N(mean, exp(log_var)) from N(0, 1) by dimension, nats, of the shape of `mean`."""
    return 0.5 * (mean.square() + log_var.exp() - 1.0 - log_var)


def capacity(power: Tensor, sigma: float) -> Tensor:
    """½ ln(1 + S / σ²) of the Gaussian channel, nats.

    >>> capacity(torch.tensor([3.0]), 1.0) / math.log(2)
    tensor([1.])
    """
    return 0.5 * torch.log1p(power / sigma**2)


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator).to(like)
