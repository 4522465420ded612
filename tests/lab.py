"""A laboratory for tasks and baselines: linear-Gaussian latents with closed forms, and a task's context.

x_t = a x_{t−1} + w, per dimension, unit stationary variance, seen through a fixed mixing matrix. One-step
error variance 1 − a², k-step 1 − a^{2k}: the gain of x_{t+k} from its past is −½ ln(1 − a^{2k}) per dimension.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench.calibration.lab import LabCodec, LabContext, fit_context
from bench.contract import LatentUtterance, Score
from bench.metrics.gaussian import log_normal
from bench.stats import Interval, interval

__all__ = ["LabCodec", "LabContext", "OracleAR", "ar1", "estimates", "fit_context", "gain"]


def ar1(
    a: float, dim: int, utterances: int, frames: int, seed: int, mixing: Tensor | None = None
) -> list[LatentUtterance]:
    """Independent stationary AR(1) utterances, two speakers."""
    rng = torch.Generator().manual_seed(seed)
    x = [torch.randn(utterances, dim, generator=rng)]
    for _ in range(frames - 1):
        x.append(a * x[-1] + math.sqrt(1 - a * a) * torch.randn(utterances, dim, generator=rng))
    every = torch.stack(x, 1) if mixing is None else torch.stack(x, 1) @ mixing.T
    return [LatentUtterance(f"{seed}-{i:04d}", f"speaker{i % 2}", one) for i, one in enumerate(every)]


def gain(a: float, dim: int, k: int) -> float:
    """Closed form, nats per frame."""
    return -0.5 * dim * math.log(1 - a ** (2 * k))


class OracleAR:
    """The true AR(1) process as a submission: exact density, exact samples."""

    likelihood = "exact"

    def __init__(self, a: float) -> None:
        self.a, self.scale = a, math.sqrt(1 - a * a)

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x

    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        past = torch.cat([torch.zeros_like(context[:, :1]), context[:, :-1]], 1)
        scale = torch.full_like(target, self.scale)
        scale[:, 0] = 1.0
        return log_normal(target, self.a * past, scale)

    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        x = prompt[:, None, -1].expand(-1, draws, -1)
        out = []
        for _ in range(frames):
            x = self.a * x
            if not mean:
                x = x + self.scale * torch.randn(x.shape, generator=generator)
            out.append(x)
        return torch.stack(out, 2)


def estimates(scores: Sequence[Any], utterances: Sequence[LatentUtterance]) -> dict[str, Interval]:
    """Column → aggregate with its interval, as a table computes it."""
    speakers = {u.id: u.speaker for u in utterances}
    return {s.column: interval(s.values, speakers, s.weights) for s in scores if isinstance(s, Score)}
