"""Cards of measured noise: how much another seed moves each column of a suite. They lie with the suite, in `noise/`.

`bench calibrate-noise` writes them; nobody edits one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from bench.config import Card, read_card
from bench.errors import BenchError
from bench.record import ColumnValues, Record
from leaderboard.gate.margins import Seeds
from leaderboard.gate.moderated import moderated, prior
from leaderboard.headings import suite_folders
from leaderboard.text import plain

FOLDER = "noise"
"""Beside the suites' files; what looks for suites does not look into folders."""
DIGITS = 6


class ColumnNoise(Card):
    """What seeds move one column of one board by; `sd` and `bootstrap` are in `unit`.

    Attributes:
        sd: standard deviation of the column's value over seeds, pooled over recipes.
        df: its degrees of freedom: replicates that count.
        bootstrap: root mean square of the bootstrap errors of the paired differences that it was made from.
        same: replicates left out because their differences are those of one that counts.
        untouched: replicates left out because the other seed changed no value.
    """

    task: str
    version: int = Field(ge=1)
    column: str
    dataset: str
    codec: str
    unit: str
    sd: Annotated[float, Field(ge=0)]
    df: int = Field(ge=1)
    bootstrap: Annotated[float, Field(ge=0)]
    same: int = Field(0, ge=0)
    untouched: int = Field(0, ge=0)


class NoiseCard(Card):
    """The noise of one suite. `records`: digests of the rows that it was made from."""

    suite: str
    records: tuple[str, ...]
    columns: tuple[ColumnNoise, ...]


def file_of(suite: str) -> Path | None:
    """The card that lies with an installed suite, if there is one."""
    paths = (folder / FOLDER / f"{suite}.toml" for folder in suite_folders() if suite.isidentifier())
    return next((path for path in paths if path.is_file()), None)


def read(path: Path) -> NoiseCard:
    """Read a card.

    Raises:
        CardError: unreadable, or with missing, unknown or ill-typed keys.
        BenchError: the card is of another suite than its name says.
    """
    card = read_card(path, NoiseCard)
    if card.suite != path.stem:
        raise BenchError(f"{path}: expected noise of suite {path.stem}, got {card.suite}")
    return card


def steadied(card: NoiseCard) -> dict[tuple[str, str, str, str], Seeds]:
    """(dataset, codec, task, column) → its noise, each column's steadied by all of its board."""
    found = dict[tuple[str, str, str, str], Seeds]()
    for board in dict.fromkeys((c.dataset, c.codec) for c in card.columns):
        columns = [c for c in card.columns if (c.dataset, c.codec) == board]
        # a column that most seeds do not reach says nothing of the others
        telling = [c for c in columns if c.sd > 0 and c.bootstrap > 0 and c.df > c.untouched]
        of = prior([_ratio(c) for c in telling], [c.df for c in telling])
        for c in columns:
            sd, df = c.sd, float(c.df)
            if c.sd > 0 and c.bootstrap > 0:
                ratio, df = moderated(_ratio(c), c.df, of)
                sd = c.bootstrap * math.sqrt(ratio / 2)
            found[(*board, c.task, c.column)] = Seeds(sd, df)
    return found


def _ratio(column: ColumnNoise) -> float:
    return 2 * (column.sd / column.bootstrap) ** 2


class Measured:
    """The noise of installed suites, looked up when it is asked for."""

    def __init__(self, cards: Mapping[str, NoiseCard] | None = None) -> None:
        self._cards: dict[str, NoiseCard | None] = dict(cards or {})
        self._steadied: dict[str, dict[tuple[str, str, str, str], Seeds]] = {}

    def card(self, suite: str) -> NoiseCard | None:
        if suite not in self._cards:
            path = file_of(suite)
            self._cards[suite] = None if path is None else read(path)
        return self._cards[suite]

    def __call__(self, record: Record, task: str, values: ColumnValues) -> Seeds | str:
        """What seeds move a column by, in the record's unit, or why that is not known."""
        card = self.card(record.suite)
        if card is None:
            return f"no noise was measured for suite {record.suite}"
        board = (record.dataset.name, record.codec.name)
        mine = [c for c in card.columns if (c.dataset, c.codec) == board]
        if not mine:
            return f"no noise was measured for suite {record.suite} on {' and '.join(board)}"
        found = next((c for c in mine if (c.task, c.column) == (task, values.column.name)), None)
        if found is None:
            return f"{task} {values.column.name}: no row under a second seed has this column"
        version = record.tasks[task].version
        if found.version != version:
            return f"{task}: its noise was measured at version {found.version}, the rows have {version}: not used"
        if found.unit != values.column.unit:
            return f"{task} {found.column}: its noise is in {found.unit}, the rows in {values.column.unit}: not used"
        if record.suite not in self._steadied:
            self._steadied[record.suite] = steadied(card)
        return self._steadied[record.suite][found.dataset, found.codec, task, found.column]


def as_toml(card: NoiseCard) -> str:
    """The card as a file; the same card always gives the same bytes."""
    head = [
        f"# Made by `bench calibrate-noise --suite {card.suite}`; never edited by hand.",
        f"suite = {_value(card.suite)}",
        "records = [",
        *(f"    {_value(digest)}," for digest in card.records),
        "]",
    ]
    return "\n".join([*head, *(_block(column) for column in card.columns)]) + "\n"


def _block(column: ColumnNoise) -> str:
    lines = [f"{name} = {_value(value)}" for name, value in column.model_dump(exclude_defaults=True).items()]
    return "\n".join(["", "[[columns]]", *lines])


def _value(value: str | float | int) -> str:
    # a JSON string is a TOML basic string, but for the delete character
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else repr(value)


def rounded(value: float) -> float:
    """Six significant digits: more say nothing, and fewer files differ."""
    return float(f"{value:.{DIGITS}g}")


def summary(card: NoiseCard) -> Sequence[Sequence[str]]:
    """Rows of a table: task and column, unit, sd and df as measured and as used, bootstrap error."""
    used = steadied(card)
    rows = []
    for c in card.columns:
        seeds = used[c.dataset, c.codec, c.task, c.column]
        numbers = [f"{c.sd:.3g}\n{seeds.sd:.3g}", f"{c.df}\n{seeds.df:.1f}", f"{c.bootstrap:.3g}"]
        name = f"{plain(c.task, 40)}\n  {plain(c.column, 40)}"
        rows.append([name, "" if c.unit == "1" else plain(c.unit, 12), *numbers])
    return rows
