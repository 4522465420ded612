"""The one training loop, for baselines and probes: AdamW, cosine, clipping, early stop, exact resume.

Every random number of a step comes from the seed and the step's index, inside a forked generator state, so
that a fit that was killed and resumed from its checkpoint ends with the same bytes on CPU, and nothing
outside sees a changed generator.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.contract import Checkpoint
from bench.errors import PluginError
from bench.seeding import derive_seed


@dataclass(frozen=True)
class FitConfig:
    """Budget and schedule. `patience` counts evaluations without improvement; 0 never stops early."""

    steps: Annotated[int, Field(ge=1)] = 1000
    batch: Annotated[int, Field(ge=1)] = 32
    crop_frames: Annotated[int, Field(ge=2)] = 96
    lr: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup: Annotated[int, Field(ge=1)] = 50
    clip: Annotated[float, Field(gt=0)] = 1.0
    evaluate_every: Annotated[int, Field(ge=1)] = 50
    patience: Annotated[int, Field(ge=0)] = 8

    def lr_at(self, step: int) -> float:
        """Linear warm-up, then cosine to 2 % of `lr`."""
        ramp = min(1.0, (step + 1) / self.warmup)
        return self.lr * ramp * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))


@dataclass(frozen=True)
class FitReport:
    """What happened: (step, training loss, validation loss) rows, and the step that was kept."""

    curve: list[tuple[int, float, float]]
    kept_step: int
    stopped_early: bool


class Frames:
    """Utterances side by side, for drawing batches of crops.

    Args:
        sequences: per utterance one tensor (T, D) or several of equal T to be cropped together.
    """

    def __init__(self, sequences: Sequence[Sequence[Tensor]]) -> None:
        self.parts = [torch.cat(list(part)) for part in zip(*sequences, strict=True)]
        lengths = [len(parts[0]) for parts in sequences]
        self.lengths = torch.tensor(lengths)
        self.starts = torch.tensor([0, *lengths[:-1]]).cumsum(0)

    def crops(self, batch: int, frames: int, generator: torch.Generator) -> tuple[list[Tensor], Tensor]:
        """Random crops, utterances drawn by their length.

        Returns:
            One (B, T, D) tensor per part, zero beyond an utterance's end, and the mask (B, T) of real frames;
            T is at most `frames`.
        """
        pick = torch.multinomial(self.lengths.float(), batch, replacement=True, generator=generator)
        room = (self.lengths[pick] - frames).clamp(min=0)
        offset = (torch.rand(batch, generator=generator) * (room + 1)).long()
        return self._gather(pick, offset, frames)

    def whole(self, pick: Tensor, frames: int) -> tuple[list[Tensor], Tensor]:
        """The first `frames` frames of the utterances `pick`, padded, with their mask."""
        return self._gather(pick, torch.zeros_like(pick), frames)

    def _gather(self, pick: Tensor, offset: Tensor, frames: int) -> tuple[list[Tensor], Tensor]:
        left = self.lengths[pick] - offset
        frames = min(frames, int(left.max()))
        time = torch.arange(frames)
        mask = time[None] < left[:, None]
        index = (self.starts[pick] + offset)[:, None] + torch.minimum(time[None], left[:, None] - 1)
        return [part[index] * mask[..., None] for part in self.parts], mask


def fit(
    model: nn.Module,
    loss: Callable[[int, torch.Generator], Tensor],
    validate: Callable[[], float],
    config: FitConfig,
    seed: int,
    checkpoint: Checkpoint,
    progress: Callable[[str, int, int], None],
    what: str,
) -> FitReport:
    """Train `model` in place and leave it at the weights with the lowest validation loss.

    Args:
        loss: (step, CPU generator of the step) → scalar to minimise.
        validate: → validation loss of the model as it stands, lower is better; called in eval mode.
        what: name for the progress bar and for errors.

    Raises:
        PluginError: a training or validation loss that is not finite; the last good checkpoint stays.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.lr, betas=(0.9, 0.95), weight_decay=config.weight_decay)
    curve: list[tuple[int, float, float]] = []
    best, best_step, stale, running, first = math.inf, 0, 0, 0.0, 0
    best_state = copy.deepcopy(model.state_dict())
    saved = checkpoint.load()
    if saved is not None:
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        best_state = saved["best_state"]
        curve = [tuple(row) for row in saved["curve"]]
        first, best, best_step, stale = saved["step"], saved["best"], saved["best_step"], saved["stale"]
    for step in range(first, config.steps):
        for group in optimiser.param_groups:
            group["lr"] = config.lr_at(step)
        value = _step(model, loss, optimiser, config.clip, step, seed, what)
        running += value
        progress(what, step + 1, config.steps)
        if (step + 1) % config.evaluate_every and step + 1 != config.steps:
            continue
        model.eval()
        with torch.no_grad(), _seeded(derive_seed(seed, what, "validate"), model):
            held_out = validate()
        if not math.isfinite(held_out):
            raise PluginError(f"{what}: the validation loss is {held_out} at step {step + 1}")
        count = (step % config.evaluate_every) + 1
        curve.append((step + 1, running / count, held_out))
        running = 0.0
        if held_out < best:
            best, best_step, stale = held_out, step + 1, 0
            best_state = copy.deepcopy(model.state_dict())
        else:
            stale += 1
        if config.patience and stale >= config.patience:
            break
        state: dict[str, Any] = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
        state |= {"best_state": best_state, "best": best, "best_step": best_step, "stale": stale}
        checkpoint.save({**state, "curve": [list(row) for row in curve]})
    model.load_state_dict(best_state)
    model.eval()
    last = curve[-1][0] if curve else 0
    return FitReport(curve, best_step, stopped_early=last < config.steps)


def _step(
    model: nn.Module,
    loss: Callable[[int, torch.Generator], Tensor],
    optimiser: torch.optim.Optimizer,
    clip: float,
    step: int,
    seed: int,
    what: str,
) -> float:
    step_seed = derive_seed(seed, what, step)
    generator = torch.Generator().manual_seed(step_seed)
    model.train()
    with _seeded(step_seed, model):
        value = loss(step, generator)
        if not torch.isfinite(value):
            raise PluginError(f"{what}: the loss is {float(value.detach())} at step {step + 1}")
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
    return float(value.detach())


def initialised(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """`build()` with weights drawn on the CPU from `seed`, leaving the global generator as it was."""
    with _seeded(seed, None):
        return build()


@contextmanager
def _seeded(seed: int, model: nn.Module | None) -> Iterator[None]:
    """Seed the global generators of the CPU and of the model's GPU, and put them back at the end."""
    on_gpu = [p.device for p in model.parameters() if p.device.type == "cuda"][:1] if model is not None else []
    with torch.random.fork_rng(devices=on_gpu):
        # not torch.manual_seed, which seeds every GPU for good
        torch.default_generator.manual_seed(seed)
        for device in on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


class NoCheckpoint:
    """A checkpoint that keeps nothing, for fits too short to resume."""

    def load(self) -> None:
        return None

    def save(self, state: Any) -> None:
        del state
