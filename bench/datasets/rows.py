"""Rows of a dataset that is read once, in its own order, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Row:
    """One recording before it is checked.

    Attributes:
        name: its id, or its path, from which an id is made; "" for its place among the rows.
        speaker, text: None where they are not known.
        data: the bytes of its audio file; or
        path: where that file lies below the source's root.
    """

    name: str
    speaker: str | None = None
    text: str | None = None
    data: bytes | None = None
    path: str = ""


@dataclass(frozen=True)
class Described:
    """Split → how many rows it has, 0 where that is not known; and column by purpose."""

    splits: Mapping[str, int]
    columns: Mapping[str, str]


class Source(Protocol):
    """Where rows come from.

    Attributes:
        root: of rows with a path, else None.
    """

    root: Path | None

    def described(self) -> Described:
        """What there is, without reading it."""
        ...

    def rows(self, split: str, state: Any) -> Iterator[tuple[Row, Callable[[], Any]]]:
        """Each row, and what gives the JSON-able state after it; from the beginning where `state` is None."""
        ...


class Listed:
    """Files that are listed before the first one is read."""

    def __init__(self, root: Path, splits: Mapping[str, Sequence[Row]]) -> None:
        self.root: Path | None = root
        self._splits = splits

    def described(self) -> Described:
        """Splits with their sizes; there are no columns."""
        return Described({split: len(rows) for split, rows in self._splits.items()}, {})

    def rows(self, split: str, state: Any) -> Iterator[tuple[Row, Callable[[], Any]]]:
        """Rows in their order; the state is how many were read."""
        for done, row in enumerate(self._splits[split][state or 0 :], (state or 0) + 1):
            yield row, lambda done=done: done  # type: ignore[misc]
