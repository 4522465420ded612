"""One task inside another: its card's parameters, seeds and cache of its own, and notes to hand on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from bench.config import TaskCard, merged
from bench.contract import Codec, Context, Dataset, LatentUtterance, Score, Skipped, Split


class Part:
    """`bench.contract.Context` for the task `card` where another task asks it.

    Args:
        context: the other task's.
        over: laid over the card's parameters.

    Attributes:
        notes: what the task noted.
    """

    def __init__(self, context: Context, card: TaskCard, over: Mapping[str, Any]) -> None:
        self.codec: Codec = context.codec
        self.dataset: Dataset = context.dataset
        self.device: torch.device = context.device
        self.parameters: Mapping[str, Any] = merged(card.parameters, over)
        self.notes: dict[str, Any] = {}
        self._context, self._name = context, card.name

    def latents(self, split: Split) -> Sequence[LatentUtterance]:
        return self._context.latents(split)

    def generator(self, *keys: str | int) -> torch.Generator:
        return self._context.generator(self._name, *keys)

    def cached_json(self, key: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        return self._context.cached_json({"part": self._name, **key}, make)

    def cached_tensors(self, key: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        return self._context.cached_tensors({"part": self._name, **key}, make)

    def track(self, what: str, items: Sequence[Any]) -> AbstractContextManager[Iterator[Any]]:
        return self._context.track(what, items)

    def progress(self, what: str, done: int, total: int) -> None:
        self._context.progress(what, done, total)

    def note(self, key: str, value: Any) -> None:
        self.notes[key] = value


def chosen(scores: Sequence[Score | Skipped], columns: Sequence[str]) -> list[Score | Skipped]:
    """Those of a task's results that are for `columns`, in their order.

    A result without a column speaks for all of them.
    """
    by_column = {score.column: score for score in scores}
    if None in by_column and isinstance(whole := by_column[None], Skipped):
        return [Skipped(whole.reason, column) for column in columns]
    return [by_column[column] for column in columns]
