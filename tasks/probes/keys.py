"""A learned key: contexts whose next steps are distributed alike get the same embedding.

An MLP embeds the context and another the step Δ; they are trained by InfoNCE, whose best critic is ln p(Δ | c) / p(Δ)
up to a constant. Contexts with one embedding then have one distribution of next steps, whatever else differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.fitting import FitConfig, NoCheckpoint, fit, initialised
from bench.metrics import infonce


@dataclass(frozen=True)
class KeyConfig:
    """`width` of the hidden layers, `dim` of the key, `candidates` N that a true step is told from."""

    width: Annotated[int, Field(ge=1)] = 128
    dim: Annotated[int, Field(ge=1)] = 16
    candidates: Annotated[int, Field(ge=2)] = 256
    fit: FitConfig = field(default_factory=FitConfig)


class LearnedKey(nn.Module):
    """Contexts (n, C) → keys (n, dim)."""

    def __init__(self, context: int, step: int, config: KeyConfig) -> None:
        super().__init__()
        sizes = (("context", context), ("step", step))
        for name, size in sizes:
            self.register_buffer(f"{name}_shift", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))
        self.context, self.step = (
            nn.Sequential(nn.Linear(size, config.width), nn.SiLU(), nn.Linear(config.width, config.dim))
            for _, size in sizes
        )

    def standardise(self, context: Tensor, step: Tensor) -> None:
        """Set means and scales from training frames; a constant dimension stays constant."""
        for name, x in (("context", context), ("step", step)):
            spread = x.std(0)
            getattr(self, f"{name}_shift").copy_(x.mean(0))
            getattr(self, f"{name}_scale").copy_(torch.where(spread > 1e-6, spread, torch.ones_like(spread)))

    def forward(self, context: Tensor) -> Tensor:
        return cast(Tensor, self.context((context - self.context_shift) / self.context_scale))

    def scores(self, context: Tensor, step: Tensor) -> Tensor:
        """Critic of every pair: (N, C), (N, D) → (N, N)."""
        future = self.step((step - self.step_shift) / self.step_scale)
        return self(context) @ future.T / math.sqrt(future.shape[1])


def fit_key(
    train: tuple[Tensor, Tensor],
    valid: tuple[Tensor, Tensor],
    config: KeyConfig,
    seed: int,
    device: torch.device,
    progress: Callable[[str, int, int], None],
) -> tuple[LearnedKey, float]:
    """Train on pairs of contexts (n, C) and steps (n, D), early-stopped on the validation ones.

    Returns:
        The key, and ln N − loss on the validation pairs, in nats.
    """
    context, step = train
    key = cast(LearnedKey, initialised(lambda: LearnedKey(context.shape[1], step.shape[1], config), seed))
    key.standardise(context, step)
    key.to(device)
    n = min(config.candidates, len(context), len(valid[0]))

    def loss(pairs: tuple[Tensor, Tensor], pick: Tensor) -> Tensor:
        c, d = (part[pick].to(device) for part in pairs)
        return infonce.loss(key.scores(c, d), torch.arange(len(pick), device=device)).mean()

    order = torch.randperm(len(valid[0]), generator=torch.Generator().manual_seed(seed))
    groups = [g for g in order.split(n) if len(g) == n][:16]
    train_loss = lambda _, rng: loss(train, torch.randint(len(context), (n,), generator=rng))  # noqa: E731
    check = lambda: sum(float(loss(valid, g)) for g in groups) / len(groups)  # noqa: E731
    report = fit(key, train_loss, check, config.fit, seed, NoCheckpoint(), progress, "fit key")
    best = min(held_out for _, _, held_out in report.curve)
    return key.eval(), math.log(n) - best
