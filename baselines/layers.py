"""What the families share: a causal recurrent backbone with explicit state, and MLPs.

Conventions: (B, T, C) throughout. "Shifted" features at t have seen the inputs before t only; the first are
those of the start state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from bench.contract import FitContext, LatentUtterance
from bench.fitting import FitConfig, FitReport, Frames, fit, initialised

M = TypeVar("M", bound=nn.Module)


def mlp(inputs: int, hidden: int, outputs: int, dropout: float = 0.0) -> nn.Sequential:
    """Two hidden layers of SiLU."""
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.SiLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Linear(hidden, outputs),
    )


class Recurrence(nn.Module):
    """A GRU over projected inputs, with a learned start state.

    References:
        Cho et al. 2014 (arXiv 1406.1078).
    """

    def __init__(self, inputs: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.project = nn.Linear(inputs, width)
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.start = nn.Parameter(torch.zeros(width))

    def initial(self, batch: int) -> Tensor:
        """The start state (B, width)."""
        return self.start.expand(batch, -1)

    def states(self, inputs: Tensor, initial: Tensor | None = None) -> Tensor:
        """States (B, T, width) after each input (B, T, C)."""
        state = self.initial(len(inputs)) if initial is None else initial
        out, _ = self.gru(self.dropout(self.project(inputs)), state.unsqueeze(0).contiguous())
        return cast(Tensor, out)

    def shifted(self, inputs: Tensor) -> Tensor:
        """States (B, T, width) before each input."""
        start = self.initial(len(inputs)).unsqueeze(1)
        if inputs.shape[1] == 1:
            return start
        return torch.cat([start, self.states(inputs[:, :-1])], dim=1)

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """One input (B, C) onto states (B, width)."""
        return self.states(inputs.unsqueeze(1), state)[:, 0]


def train(
    build: Callable[[], M],
    prepare: Callable[[M, Tensor], None],
    loss: Callable[[M, Tensor, Tensor, int], Tensor],
    held_out: Callable[[M, Tensor, Tensor], Tensor],
    config: FitConfig,
    train_set: Sequence[LatentUtterance],
    valid_set: Sequence[LatentUtterance],
    context: FitContext,
    what: str,
) -> tuple[M, FitReport]:
    """Fit a network on crops of latents.

    Args:
        build: makes the network; called under the fit's seed.
        prepare: (network, all training frames (n, D)): sets data-dependent constants such as whitening.
        loss: (network, x (B, T, D), mask (B, T), step) → scalar.
        held_out: (network, x, mask) → sum over real frames of the validation loss.

    Returns:
        The network, on `context.device`, in evaluation mode, and the report.
    """
    network = cast(M, initialised(build, context.seed))
    prepare(network, torch.cat([u.x for u in train_set]))
    network.to(context.device)
    frames = Frames([[u.x] for u in train_set])
    valid = Frames([[u.x] for u in valid_set])

    def batch_loss(step: int, generator: torch.Generator) -> Tensor:
        (x,), mask = frames.crops(config.batch, config.crop_frames, generator)
        return loss(network, x.to(context.device), mask.to(context.device), step)

    def validate() -> float:
        total, count = 0.0, 0
        for pick in torch.arange(len(valid_set)).split(32):
            (x,), mask = valid.whole(pick, config.crop_frames * 2)
            total += float(held_out(network, x.to(context.device), mask.to(context.device)))
            count += int(mask.sum())
        return total / count

    report = fit(network, batch_loss, validate, config, context.seed, context.checkpoint, context.progress, what)
    return network, report


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values (B, T) over real frames."""
    return (values * mask).sum() / mask.sum().clamp(min=1)
