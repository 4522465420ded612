"""A task's context over a calibration process, in place of a codec, a dataset and a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from bench.config import TaskCard, merged
from bench.contract import CodecInfo, FitContext, LatentUtterance, Split
from bench.fitting import NoCheckpoint
from bench.seeding import generator

HOP = 1280
SAMPLE_RATE = 16_000
"""Of a frame rate of 12.5 Hz, as the built-in codec's: k = 1, 2, 4, 8 frames are 80, 160, 320, 640 ms."""


class LabCodec:
    """Stands for a codec whose latents come from a process.

    It has no encoder. `decode` makes each frame's first dimension the level of a noise: enough for a distance
    to move, and of no meaning beyond that.
    """

    def __init__(self, dim: int, lookahead: int = 0) -> None:
        self.info = CodecInfo("lab", SAMPLE_RATE, HOP, dim, lookahead=lookahead)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, T, D) → (B, 1, T · hop)."""
        rng = torch.Generator().manual_seed(0)
        noise = torch.randn(latents.shape[1] * HOP, generator=rng) * 0.05
        return (latents[:, :, 0].repeat_interleave(HOP, 1).sigmoid() * noise)[:, None]


class LabContext:
    """`bench.contract.Context` over given utterances; nothing is cached.

    Args:
        parameters: laid over the card's, unchecked.
    """

    def __init__(
        self,
        card: TaskCard,
        splits: Mapping[Split, Sequence[LatentUtterance]],
        codec: Any,
        parameters: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.codec, self.dataset, self.device = codec, None, torch.device("cpu")
        self.parameters = merged(card.parameters, parameters or {})
        self.notes: dict[str, Any] = {}
        self._splits, self._seed = splits, seed

    def latents(self, split: Split) -> Sequence[LatentUtterance]:
        return self._splits[split]

    def generator(self, *keys: str | int) -> torch.Generator:
        return generator(self._seed, *keys)

    def cached_json(self, key: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        del key
        return make()

    def cached_tensors(self, key: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        del key
        return make()

    @contextmanager
    def track(self, what: str, items: Sequence[Any]) -> Iterator[Iterator[Any]]:
        del what
        yield iter(items)

    def progress(self, what: str, done: int, total: int) -> None:
        pass

    def note(self, key: str, value: Any) -> None:
        self.notes[key] = value


def fit_context(dim: int, seed: int = 0) -> FitContext:
    """What a submission's `fit` is given over a process."""
    info = CodecInfo("lab", SAMPLE_RATE, HOP, dim)
    return FitContext(info, torch.device("cpu"), seed, NoCheckpoint(), lambda *_: None)
