"""What `bench score` found: stored outputs of a committed record, scored again by the code and on the machine of today.

It answers what two records alone cannot: of a model that was made again by a changed scorer, how the old outputs would
score now.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from bench.config import Card
from bench.errors import RecordError


class Column(Card):
    """One column: of how many utterances, how many score differently."""

    task: str
    column: str
    utterances: int = Field(ge=0)
    changed: int = Field(ge=0)


class Rescored(Card):
    """Columns of one record, which is named by its digest."""

    record: str
    columns: tuple[Column, ...]


Moved = Mapping[tuple[str, str, str], bool]
"""(digest of a record, task, column) → whether its stored outputs score differently now."""


def read(paths: Iterable[Path]) -> Moved:
    """The outcomes that `bench score --write` wrote.

    Raises:
        RecordError: a file that cannot be read, or is something else.
    """
    out = dict[tuple[str, str, str], bool]()
    for path in paths:
        try:
            found = Rescored.model_validate_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RecordError(f"--rescored: {path}: {error.strerror or error}") from error
        except (ValidationError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise RecordError(f"--rescored: {path}: not what `bench score --write` writes") from error
        out |= {(found.record, c.task, c.column): c.changed > 0 for c in found.columns}
    return out
