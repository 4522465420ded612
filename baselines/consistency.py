"""Heads that turn noise into a frame in one step, or in a few: LSD, sCM, and TrigFlow, whose steps are many.

All three learn a field F(x, t, ·) of an adaLN MLP on whitened latents u, which have unit variance (σ_data = 1).

* `lsd`, a flow map by Lagrangian self-distillation, on straight paths x_t = (1 − t) u + t ε: f(x, t, s) =
  x + (s − t) F(x, t, s) carries x from time t to s. Of the draws of a frame a share of `flow_share` learns the
  velocity, F(x_t, t, t) → ε − u, the rest ∂_s f(x_t, t, s) → sg F(f, s, s) at s ~ U(0, t). Sampling starts at t = 1.
* `trigflow`, on the circle x_t = cos t · u + sin t · ε: F → ẋ_t = cos t · ε − sin t · u. Sampling starts at
  t = π/2, where x_t is the noise alone, and turns: x_s = cos(t − s) x_t − sin(t − s) F.
* `scm`, a continuous-time consistency model there: f(x_t, t) = cos t · x_t − sin t · F is the same all along a path.
  In one step u = f(ε, π/2) = −F(ε, π/2); further steps put new noise on it.

Adaptive weights: a loss v becomes e^w v − w (`trigflow`, `scm`) or e^−w v + w (`lsd`), w learned of the times alone;
at its best it makes every time weigh the same.

References:
    Rouard et al. 2025 (CALM, arXiv 2509.06926); Lu and Song 2024 (TrigFlow and sCM, arXiv 2410.11081);
    Boffi et al. 2025 (LSD, arXiv 2505.18825); Karras et al. 2023 (learned weights, arXiv 2312.02696).
"""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import jvp

from baselines.heads import NoiseHead
from baselines.layers import AdaLNMLP

TIME_CHANNELS = 32
FASTEST = 16.0
"""Rate of the quickest of the times' sines: what is differentiated by time is multiplied by it."""
LOG_TAN_MEAN, LOG_TAN_STD = -1.0, 1.4
"""Of ln tan t on the circle."""
TANGENT_FLOOR = 0.1
"""g / (‖g‖ + floor)."""
STEPS = {"lsd": 1, "scm": 1, "trigflow": 20}


@dataclass(frozen=True)
class HeadConfig:
    """Which head, its sizes, and how it is taught.

    `steps` of sampling (0: one, and 20 for `trigflow`); `multiplier` draws of time and noise a frame in training;
    `adaptive`: learned weights of the times; `flow_share`: of LSD's draws, how many are flow matching; `warmup`:
    steps of the fit after which sCM's tangent is whole.
    """

    kind: Literal["lsd", "scm", "trigflow"] = "lsd"
    width: Annotated[int, Field(ge=1)] = 128
    layers: Annotated[int, Field(ge=1)] = 3
    steps: Annotated[int, Field(ge=0)] = 0
    multiplier: Annotated[int, Field(ge=1)] = 8
    adaptive: bool = True
    flow_share: Annotated[float, Field(gt=0, lt=1)] = 0.75
    warmup: Annotated[int, Field(ge=1)] = 10_000

    @property
    def flow_draws(self) -> int:
        """Of LSD's `multiplier` draws, those of flow matching."""
        return round(self.flow_share * self.multiplier)

    def problem(self) -> str:
        """What makes it impossible, beginning with the field; empty where nothing does."""
        if self.kind == "lsd" and not 0 < self.flow_draws < self.multiplier:
            return f"multiplier: {self.multiplier} draws cannot be split by a flow_share of {self.flow_share:g}"
        return ""


class ConsistencyHead(NoiseHead):
    """A field over x (..., D) under features (..., H) and `times` times."""

    times = 1

    def __init__(self, features: int, dim: int, config: HeadConfig) -> None:
        super().__init__()
        _forward_derivatives()
        self.dim, self.config = dim, config
        self.steps = config.steps or STEPS[config.kind]
        self.net = AdaLNMLP(dim, features + self.times * TIME_CHANNELS, config.width, config.layers)
        self.log_weight = nn.Linear(self.times * TIME_CHANNELS, 1) if config.adaptive else None
        if self.log_weight is not None:
            nn.init.zeros_(self.log_weight.weight)
            nn.init.zeros_(self.log_weight.bias)

    @abstractmethod
    def loss(self, features: Tensor, u: Tensor, step: int) -> Tensor:
        """Of frames (n, H), (n, D) at a step of the fit: (`multiplier`, n)."""

    def field(self, x: Tensor, features: Tensor, *times: Tensor) -> Tensor:
        """F (..., D) at times (...)."""
        return self.net(x, torch.cat([features, *map(encoded, times)], -1))

    def weighted(self, value: Tensor, sign: int, *times: Tensor) -> Tensor:
        """e^(sign w) v − sign w."""
        if self.log_weight is None:
            return value
        w = sign * self.log_weight(torch.cat([encoded(t) for t in times], -1)).squeeze(-1)
        return w.exp() * value - w


def encoded(t: Tensor) -> Tensor:
    """Sines and cosines (..., TIME_CHANNELS) of times (...) in [0, π/2], at rates of 1 to FASTEST."""
    rates = torch.exp(torch.linspace(0.0, math.log(FASTEST), TIME_CHANNELS // 2, device=t.device)).to(t.dtype)
    angles = t.unsqueeze(-1) * rates
    return torch.cat([angles.cos(), angles.sin()], -1)


class LSD(ConsistencyHead):
    """Flow map by Lagrangian self-distillation.

    Both parts share one learned weight of (t, s): with one each, MMD² on F2 after 400 steps was .026 and .041 at two
    seeds instead of .007 and .005.
    """

    times = 2

    def flow_map(self, x: Tensor, features: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """f(x, t, s): from time t to time s."""
        return x + (s - t).unsqueeze(-1) * self.field(x, features, t, s)

    def loss(self, features: Tensor, u: Tensor, step: int) -> Tensor:
        del step
        flow = self.config.flow_draws
        distilled = self._distillation(*_draws(features, u, self.config.multiplier - flow))
        return torch.cat([self._flow_matching(*_draws(features, u, flow)), distilled])

    def _flow_matching(self, features: Tensor, u: Tensor, noise: Tensor) -> Tensor:
        t = torch.rand_like(u[..., 0])
        x = torch.lerp(u, noise, t.unsqueeze(-1))
        value = (self.field(x, features, t, t) - (noise - u)).square().mean(-1)
        return self.weighted(value, -1, t, t)

    def _distillation(self, features: Tensor, u: Tensor, noise: Tensor) -> Tensor:
        t = torch.rand_like(u[..., 0])
        s = t * torch.rand_like(t)
        x = torch.lerp(u, noise, t.unsqueeze(-1))
        there, slope = jvp(lambda s: self.flow_map(x, features, t, s), (s,), (torch.ones_like(s),))
        with torch.no_grad():
            velocity = self.field(there, features, s, s)
        return self.weighted((slope - velocity).square().mean(-1), -1, t, s)

    def draw(self, features: Tensor, noise: Tensor) -> Tensor:
        x = noise
        for t, s in pairwise(torch.linspace(1.0, 0.0, self.steps + 1).tolist()):
            x = self.flow_map(x, features, torch.full_like(x[..., 0], t), torch.full_like(x[..., 0], s))
        return x


class TrigFlow(ConsistencyHead):
    """Flow matching on the circle."""

    def loss(self, features: Tensor, u: Tensor, step: int) -> Tensor:
        del step
        features, u, noise = _draws(features, u, self.config.multiplier)
        x, velocity, t = on_circle(u, noise)
        value = (self.field(x, features, t) - velocity).square().mean(-1)
        return self.weighted(value, 1, t)

    def draw(self, features: Tensor, noise: Tensor) -> Tensor:
        x = noise
        for t, s in pairwise(self.angles()):
            x = math.cos(t - s) * x - math.sin(t - s) * self.field(x, features, torch.full_like(x[..., 0], t))
        return x

    def angles(self) -> list[float]:
        """From π/2 to 0."""
        return torch.linspace(math.pi / 2, 0.0, self.steps + 1).tolist()


class SCM(TrigFlow):
    """Continuous-time consistency model, trained from scratch with normalised tangents."""

    def __init__(self, features: int, dim: int, config: HeadConfig) -> None:
        super().__init__(features, dim, config)
        # every further step draws noise of its own
        self.dim = dim * self.steps

    def loss(self, features: Tensor, u: Tensor, step: int) -> Tensor:
        features, u, noise = _draws(features, u, self.config.multiplier)
        x, velocity, t = on_circle(u, noise)
        with torch.no_grad():
            before, tangent = self.tangent(x, velocity, features, t, min(1.0, step / self.config.warmup))
            tangent = tangent / (tangent.norm(dim=-1, keepdim=True) + TANGENT_FLOOR)
        value = (self.field(x, features, t) - before - tangent).square().mean(-1)
        return self.weighted(value, 1, t)

    def consistency(self, x: Tensor, features: Tensor, t: Tensor) -> Tensor:
        """f(x, t): the end of the path through x at t."""
        return t.cos().unsqueeze(-1) * x - t.sin().unsqueeze(-1) * self.field(x, features, t)

    def tangent(self, x: Tensor, velocity: Tensor, features: Tensor, t: Tensor, warmed: float) -> tuple[Tensor, Tensor]:
        """F, and −cos² t (F − ẋ) − r cos t sin t (x + dF/dt): cos t · df/dt along the path where r = `warmed` = 1.

        The derivative is taken of cos t sin t · t, so that nothing in it grows where tan t does.
        """
        cos, sin = t.cos().unsqueeze(-1), t.sin().unsqueeze(-1)
        speed = cos * sin
        field, change = jvp(lambda x, t: self.field(x, features, t), (x, t), (speed * velocity, speed.squeeze(-1)))
        return field, -cos.square() * (field - velocity) - warmed * (speed * x + change)

    def draw(self, features: Tensor, noise: Tensor) -> Tensor:
        first, *later = noise.chunk(self.steps, -1)
        start, *angles = self.angles()[:-1]
        u = self.consistency(first, features, torch.full_like(first[..., 0], start))
        for t, again in zip(angles, later, strict=True):
            x = math.cos(t) * u + math.sin(t) * again
            u = self.consistency(x, features, torch.full_like(x[..., 0], t))
        return u


def on_circle(u: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x_t, ẋ_t and t, drawn with ln tan t normal."""
    t = torch.atan(torch.exp(LOG_TAN_MEAN + LOG_TAN_STD * torch.randn_like(u[..., 0])))
    cos, sin = t.cos().unsqueeze(-1), t.sin().unsqueeze(-1)
    return cos * u + sin * noise, cos * noise - sin * u, t


def head(features: int, dim: int, config: HeadConfig) -> ConsistencyHead:
    """The head of a configuration."""
    kinds: dict[str, type[ConsistencyHead]] = {"lsd": LSD, "scm": SCM, "trigflow": TrigFlow}
    return kinds[config.kind](features, dim, config)


@cache
def _forward_derivatives() -> None:
    """Let torch compile its own rules of them, which it does at their first use and with a warning of itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        jvp(torch.sin, (torch.zeros((), device="cpu"),), (torch.ones((), device="cpu"),))


def _draws(features: Tensor, u: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """(n, H), (n, D) → (count, n, H), (count, n, D) and noise."""
    u = u.expand(count, *u.shape)
    return features.expand(count, *features.shape), u, torch.randn_like(u)
