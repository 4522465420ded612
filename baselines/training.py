"""The training loop of the models: that of `bench.fitting` and what larger networks ask for.

AdamW with cosine decay, gradient clipping and accumulation, an exponential moving average of the weights, bfloat16
autocast, `torch.compile`, early stop on validation, exact resume, and a history of losses and gradient norms.

Every random number of a step comes from the seed and the step's index, inside a forked generator state: a fit that
was killed and resumed ends with the same bytes on CPU, and nothing outside sees a changed generator.

References:
    Loshchilov and Hutter 2019 (AdamW, arXiv 1711.05101); Polyak and Juditsky 1992 (averaging).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.contract import FitContext, TrainingHistory
from bench.errors import Diverged
from bench.fitting import FitConfig
from bench.seeding import derive_seed

Loss = Callable[[int, torch.Generator], Tensor]


@dataclass(frozen=True)
class TrainConfig(FitConfig):
    """Budget, schedule and precision.

    `ema` is the decay of the averaged weights, which are then the ones that are validated and kept; 0: none.
    `accumulate` batches make one step. `precision` is that of matrix products; weights stay in float32.
    """

    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    accumulate: Annotated[int, Field(ge=1)] = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False


class _History:
    """Grows by a step; tensors in the end and in checkpoints."""

    def __init__(self, saved: dict[str, Tensor] | None = None) -> None:
        self.columns: dict[str, list[float]] = {
            name: saved[name].tolist() if saved else [] for name in ("loss", "grad_norm", "valid_step", "valid_loss")
        }

    def add(self, **values: float) -> None:
        for name, value in values.items():
            self.columns[name].append(value)

    def tensors(self) -> dict[str, Tensor]:
        return {name: torch.tensor(column, dtype=torch.float32) for name, column in self.columns.items()}


class Average:
    """Exponential moving average of a model's parameters; with decay 0 the parameters themselves."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.parameters, self.decay = list(model.parameters()), decay
        self.shadow = [p.detach().clone() for p in self.parameters] if decay else []

    @torch.no_grad()
    def update(self, step: int) -> None:
        """One step on; young averages forget faster, so that the start does not linger."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for shadow, parameter in zip(self.shadow, self.parameters, strict=False):
            shadow.lerp_(parameter, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model with the averaged weights."""
        if not self.shadow:
            yield
            return
        raw = [p.detach().clone() for p in self.parameters]
        self._put(self.shadow)
        yield
        self._put(raw)

    @torch.no_grad()
    def _put(self, values: Sequence[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)


def train(
    model: nn.Module,
    loss: Loss,
    validate: Callable[[], float],
    config: TrainConfig,
    context: FitContext,
    what: str,
    groups: Sequence[dict[str, Any]] | None = None,
) -> TrainingHistory:
    """Train `model` in place and leave it, in evaluation mode, at the weights with the lowest validation loss.

    Args:
        loss: (step, CPU generator of the step) → scalar to minimise; one batch.
        validate: → validation loss of the model as it stands, lower is better.
        what: name for the progress bar and for errors.
        groups: parameter groups of the optimiser; `lr_times` in one multiplies the learning rate.

    Raises:
        Diverged: a loss that is not finite; the last good checkpoint stays.
    """
    groups = [dict(group) for group in groups or [{"params": list(model.parameters())}]]
    times = [group.pop("lr_times", 1.0) for group in groups]
    optimiser = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95), weight_decay=config.weight_decay)
    average, best_state = Average(model, config.ema), copy.deepcopy(model.state_dict())
    best, best_step, stale, first, history = math.inf, 0, 0, 0, _History()
    saved = context.checkpoint.load()
    if saved is not None:
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        average.shadow = [s.to(p.device) for s, p in zip(saved["shadow"], average.parameters, strict=False)]
        best_state, history = saved["best_state"], _History(saved["history"])
        first, best, best_step, stale = saved["step"], saved["best"], saved["best_step"], saved["stale"]
    if config.compile:
        loss = torch.compile(loss)
    for step in range(first, config.steps):
        for group, factor in zip(optimiser.param_groups, times, strict=True):
            group["lr"] = config.lr_at(step) * factor
        value, norm = _step(model, loss, optimiser, config, step, context, what)
        average.update(step)
        history.add(loss=value, grad_norm=norm)
        context.scalars(step + 1, {"loss": value, "gradient norm": norm, "learning rate": config.lr_at(step)})
        context.progress(what, step + 1, config.steps)
        if (step + 1) % config.evaluate_every and step + 1 != config.steps:
            continue
        model.eval()
        with average.in_place():
            with torch.no_grad(), forked(derive_seed(context.seed, what, "validate"), context.device):
                held_out = validate()
            if not math.isfinite(held_out):
                raise Diverged(f"{what}: the validation loss is {held_out} at step {step + 1}; see fit.lr, fit.clip")
            if held_out < best:
                best, best_step, stale = held_out, step + 1, 0
                best_state = copy.deepcopy(model.state_dict())
            else:
                stale += 1
        history.add(valid_step=step + 1, valid_loss=held_out)
        context.scalars(step + 1, {"validation loss": held_out})
        if config.patience and stale >= config.patience:
            break
        state: dict[str, Any] = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
        state |= {"best_state": best_state, "best": best, "best_step": best_step, "stale": stale}
        context.checkpoint.save({**state, "shadow": average.shadow, "history": history.tensors()})
    model.load_state_dict(best_state)
    model.eval()
    return TrainingHistory(**history.tensors())


def _step(
    model: nn.Module,
    loss: Loss,
    optimiser: torch.optim.Optimizer,
    config: TrainConfig,
    step: int,
    context: FitContext,
    what: str,
) -> tuple[float, float]:
    """One step of the optimiser: its loss and the gradient's norm before clipping."""
    seed = derive_seed(context.seed, what, step)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    optimiser.zero_grad(set_to_none=True)
    total = 0.0
    with forked(seed, context.device):
        for _ in range(config.accumulate):
            with torch.autocast(context.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
                value = loss(step, generator)
            if not torch.isfinite(value):
                said = f"{what}: the loss is {float(value.detach())} at step {step + 1}; see fit.lr, fit.clip"
                raise Diverged(said)
            (value / config.accumulate).backward()
            total += float(value.detach()) / config.accumulate
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimiser.step()
    return total, float(norm)


@contextmanager
def forked(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators of the CPU and of `device`, and put them back at the end."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
