"""A laboratory for tasks and baselines: linear-Gaussian latents with closed forms, and a task's context.

x_t = a x_{t−1} + w, per dimension, unit stationary variance, seen through a fixed mixing matrix. One-step
error variance 1 − a², k-step 1 − a^{2k}: the gain of x_{t+k} from its past is −½ ln(1 − a^{2k}) per dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from bench.config import TaskCard, merged
from bench.contract import CodecInfo, FitContext, LatentUtterance, Score
from bench.fitting import NoCheckpoint
from bench.metrics.gaussian import log_normal
from bench.seeding import generator
from bench.stats import Interval, interval

FRAME_RATE = 12.5


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


class LabCodec:
    """Stands for a codec whose latents come from a process."""

    def __init__(self, dim: int, lookahead: int = 0) -> None:
        self.info = CodecInfo("lab", 16_000, 1280, dim, lookahead=lookahead)

    def decode(self, latents: Tensor) -> Tensor:
        """Each frame's first dimension as a level of noise; enough for a distance to move."""
        rng = torch.Generator().manual_seed(0)
        noise = torch.randn(latents.shape[1] * 1280, generator=rng) * 0.05
        return (latents[:, :, 0].repeat_interleave(1280, 1).sigmoid() * noise)[:, None]


class LabContext:
    """`bench.contract.Context` over given utterances; nothing is cached."""

    def __init__(
        self,
        card: TaskCard,
        splits: Mapping[str, Sequence[LatentUtterance]],
        codec: Any,
        parameters: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.codec, self.dataset, self.device = codec, None, torch.device("cpu")
        self.parameters = merged(card.parameters, parameters or {})
        self.notes: dict[str, Any] = {}
        self._splits, self._seed = splits, seed

    def latents(self, split: str) -> Sequence[LatentUtterance]:
        return self._splits[split]

    def generator(self, *keys: str | int) -> torch.Generator:
        return generator(self._seed, *keys)

    def cached_json(self, key: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        return make()

    def cached_tensors(self, key: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        return make()

    @contextmanager
    def track(self, what: str, items: Sequence[Any]) -> Iterator[Iterator[Any]]:
        yield iter(items)

    def progress(self, what: str, done: int, total: int) -> None:
        pass

    def note(self, key: str, value: Any) -> None:
        self.notes[key] = value


def fit_context(dim: int, seed: int = 0) -> FitContext:
    return FitContext(CodecInfo("lab", 16_000, 1280, dim), torch.device("cpu"), seed, NoCheckpoint(), lambda *_: None)


def estimates(scores: Sequence[Any], utterances: Sequence[LatentUtterance]) -> dict[str, Interval]:
    """Column → aggregate with its interval, as a table computes it."""
    speakers = {u.id: u.speaker for u in utterances}
    return {s.column: interval(s.values, speakers, s.weights) for s in scores if isinstance(s, Score)}
