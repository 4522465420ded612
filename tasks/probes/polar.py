"""The polar probe: p(u | c) p(ln m | c) of a vector Δ = m u, from a window of states, and its null-context twin.

Direction: a mixture of von Mises–Fisher densities, against the surface measure of the sphere. Magnitude: a mixture of
Gaussians of ln m, a *fitted regressor*: ‖E[Δ | c]‖ predicts no magnitude (it shrinks with the uncertainty of the
direction). Given c the two are independent, so that dependence of m and u that c does not explain is left out of both
probe and twin. p(Δ) = p(u) p(ln m) m^{−d}: the Jacobian cancels in a gain as the twin is polar too, and against any
other marginal it would not.

Both heads start from ridge regressions of u and ln m on the inputs, and are mixtures in the twin as well: a marginal
of a poorer family than the conditional invents gain. Inputs for each state z_t, in training standard deviations: the
last `window` states, the unit vectors of their steps, and logarithms of the norms of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bench.fitting import FitConfig, FitReport, NoCheckpoint, fit, initialised
from bench.metrics import vmf
from bench.metrics.gaussian import LinearGaussian

MOST_INPUTS = 1024
"""The window shrinks for wide states."""
STILL = 1e-3
"""Norm per root dimension, in standard deviations, below which a step of the state has no direction."""
MIN_SCALE = 0.05
"""Of a component of the magnitude, in standard deviations of ln m."""


@dataclass(frozen=True)
class PolarConfig:
    """The budget that a suite fixes for every row; `batch` of the fit counts frames."""

    width: Annotated[int, Field(ge=1)] = 64
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    components: Annotated[int, Field(ge=1)] = 4
    window: Annotated[int, Field(ge=1)] = 4
    fit: FitConfig = field(default_factory=FitConfig)


@dataclass(frozen=True)
class Rows:
    """Inputs c (n, C), directions u (n, d), ln m (n,)."""

    c: Tensor
    u: Tensor
    log_m: Tensor

    def __len__(self) -> int:
        return len(self.u)

    def blind(self) -> Rows:
        """The same targets without a context."""
        return Rows(self.c[:, :0], self.u, self.log_m)


class Inputs:
    """States (T, Dz) of one utterance → inputs (T − window + 1, C); standardised by training states."""

    def __init__(self, states: Mapping[str, Tensor], window: int) -> None:
        every = torch.cat(list(states.values()))
        spread = every.std(0)
        self.shift, self.scale = every.mean(0), torch.where(spread > 1e-6, spread, torch.ones_like(spread))
        width = every.shape[1]
        self.window = max(1, min(window, (MOST_INPUTS + width) // (2 * width + 2)))
        self.states = self.window * width
        """Leading inputs that are states, and nothing nonlinear of them."""

    def __call__(self, z: Tensor) -> Tensor:
        z = (z - self.shift) / self.scale
        window, floor = self.window, STILL * math.sqrt(z.shape[1])
        count = max(0, len(z) - window + 1)
        step = z[1:] - z[:-1]
        step_norm, norm = (v.norm(dim=1, keepdim=True).clamp(min=floor) for v in (step, z))
        last = [window - 1 - i for i in range(window)]
        parts = [z[i : i + count] for i in last]
        parts += [(math.sqrt(z.shape[1]) * step / step_norm)[i : i + count] for i in last[1:]]
        parts += [step_norm.log()[i : i + count] for i in last[1:]] + [norm.log()[i : i + count] for i in last]
        return torch.cat(parts, 1)


class PolarDensity(nn.Module):
    """Inputs (n, C) → log-densities of u and ln m.

    Args:
        inputs: C; 0 makes the null-context twin.
        dim: d ≥ 2.
    """

    def __init__(self, inputs: int, dim: int, config: PolarConfig) -> None:
        super().__init__()
        k, width = config.components, config.width
        self.dim, self.components, self.twin = dim, k, inputs == 0
        for name, shape in (("shift", (inputs,)), ("scale", (inputs,)), ("m_shift", ()), ("m_scale", ())):
            self.register_buffer(name, torch.ones(shape))
        self.weight_u, self.bias_u = nn.Parameter(torch.zeros(dim, inputs)), nn.Parameter(torch.zeros(dim))
        self.weight_m, self.bias_m = nn.Parameter(torch.zeros(1, inputs)), nn.Parameter(torch.zeros(1))
        if self.twin:
            self.constant = nn.Parameter(torch.randn(width))
        else:
            self.trunk = nn.Sequential(
                nn.Linear(inputs, width), nn.SiLU(), nn.Dropout(config.dropout), nn.Linear(width, width), nn.SiLU()
            )
        self.direction = nn.Linear(width, k * (1 + dim))
        self.magnitude = nn.Linear(width, 3 * k)
        # apart at first, so that components can part
        self.apart_u = nn.Parameter(0.1 * torch.randn(k, dim))
        self.apart_m = nn.Parameter(0.3 * torch.randn(k))
        self.stretch = nn.Parameter(torch.ones(k))
        with torch.no_grad():
            for head in (self.direction, self.magnitude):
                head.weight *= 0.1
                head.bias *= 0.1

    @torch.no_grad()
    def set_from(self, rows: Rows) -> None:
        """Standardise, and start from ridge regressions of u, at the κ of their mean length, and of ln m."""
        if not self.twin:
            self.shift.copy_(rows.c.mean(0))
            self.scale.copy_(rows.c.std(0).clamp(min=1e-6))
        self.m_shift.copy_(rows.log_m.mean())
        self.m_scale.copy_(rows.log_m.std().clamp(min=1e-6))
        c, m = self._standard(rows.c), (rows.log_m - self.m_shift) / self.m_scale
        linear = LinearGaussian(c, torch.cat([rows.u, m[:, None]], 1), ridge=1e-3)
        weights = (linear.weights / linear.c_scale[:, None]).T
        offset = linear.y_mean - weights @ linear.c_mean
        predicted = c.double() @ weights[:-1].T + offset[:-1]
        length = predicted.square().sum(1).mean().sqrt().clamp(max=0.999)
        natural = vmf.concentration(length, self.dim) / length.clamp(min=1e-9)
        self.weight_u.copy_(natural * weights[:-1])
        self.bias_u.copy_(natural * offset[:-1])
        self.weight_m.copy_(weights[-1:])
        self.bias_m.copy_(offset[-1:])

    def _standard(self, c: Tensor) -> Tensor:
        return ((c - self.shift) / self.scale).clamp(-8.0, 8.0)

    def _read(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised inputs and features."""
        c = self._standard(c)
        return c, self.constant.expand(len(c), -1) if self.twin else self.trunk(c)

    def _directions(self, c: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Log-weights (n, K) and natural vectors κμ (n, K, d)."""
        logits, bend = self.direction(h).split((self.components, self.components * self.dim), -1)
        bend = math.sqrt(self.dim) * (bend.unflatten(-1, (self.components, self.dim)) + self.apart_u)
        return F.log_softmax(logits, -1), self.stretch[:, None] * F.linear(c, self.weight_u, self.bias_u)[
            :, None
        ] + bend

    def _magnitudes(self, c: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, means and scales (n, K) of standardised ln m."""
        logits, means, scales = self.magnitude(h).chunk(3, -1)
        return (
            F.log_softmax(logits, -1),
            F.linear(c, self.weight_m, self.bias_m) + means + self.apart_m,
            MIN_SCALE + F.softplus(scales + 0.3),
        )

    def log_prob(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """ln p(u | c) and ln p(ln m | c), each (n,) in nats, float64."""
        c, h = self._read(rows.c)
        weights, natural = self._directions(c, h)
        direction = torch.logsumexp(weights + vmf.log_prob(rows.u[:, None], natural), -1)
        weights, means, scales = self._magnitudes(c, h)
        m = ((rows.log_m - self.m_shift) / self.m_scale)[:, None]
        normal = -0.5 * ((m - means) / scales).square() - scales.log() - 0.5 * math.log(2 * math.pi)
        return direction, torch.logsumexp(weights + normal, -1).double() - self.m_scale.double().log()

    def mean(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """The direction of E[u | c], (n, d), and E[ln m | c], (n,)."""
        c, h = self._read(c)
        weights, natural = self._directions(c, h)
        kappa = natural.double().norm(dim=-1, keepdim=True).clamp(min=1e-12)
        mean = (weights.exp()[..., None] * natural * vmf.mean_cosine(kappa, self.dim) / kappa).sum(1)
        weights, means, _ = self._magnitudes(c, h)
        return F.normalize(mean, dim=-1, eps=1e-30), (weights.exp() * means).sum(-1) * self.m_scale + self.m_shift


def fit_polar(
    train: Rows,
    valid: Rows,
    config: PolarConfig,
    seed: int,
    device: torch.device,
    progress: Callable[[str, int, int], None],
    what: str,
) -> tuple[PolarDensity, FitReport]:
    """A fitted density; the twin where the rows are blind."""
    model = cast(PolarDensity, initialised(lambda: PolarDensity(train.c.shape[1], train.u.shape[1], config), seed))
    model.set_from(train)
    model.to(device)
    pick = lambda rows, i: Rows(rows.c[i].to(device), rows.u[i].to(device), rows.log_m[i].to(device))  # noqa: E731

    def loss(step: int, generator: torch.Generator) -> Tensor:
        direction, magnitude = model.log_prob(
            pick(train, torch.randint(len(train), (config.fit.batch,), generator=generator))
        )
        return -(direction.mean() + magnitude.mean())

    def validate() -> float:
        parts = [sum(lp.sum() for lp in model.log_prob(pick(valid, i))) for i in torch.arange(len(valid)).split(4096)]
        return -float(sum(parts)) / len(valid)

    report = fit(model, loss, validate, config.fit, seed, NoCheckpoint(), progress, what)
    return model.cpu(), report


def note(model: PolarDensity, report: FitReport) -> dict[str, Any]:
    """What a record keeps of a fit."""
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "kept_step": report.kept_step,
        "stopped_early": report.stopped_early,
    }
