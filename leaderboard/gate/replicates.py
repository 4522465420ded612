"""How much another seed moves a column, measured from rows of one recipe under several seeds.

For every recipe the original's value is 0 and a replicate's is its paired difference to the original, on the same
utterances. The variance over seeds is pooled within recipes,

    s² = Σ_g Σ_i (x_gi − x̄_g)² / Σ_g (k_g − 1),

for one replicate a recipe the mean of (b − a)² / 2. Nothing is subtracted: it is the variance of a value *on these
utterances*, with the part that differs between utterances. Of a common shift alone it is too large, by half the
bootstrap variance of the paired difference; and the gate, which adds that variance once more, errs on the side of
fewer alarms. Subtracting would be unbiased and could fall below 0, with degrees of freedom that nobody knows. As it
stands df · s² / σ² is χ² with df = Σ (k_g − 1), for values that are Gaussian over seeds.

Two rows may not be independent draws. Rows that expose the same state are read by the same probe, so that a target
column moves alike in all of them: differences equal to those of another replicate count once. And a seed may not reach
a column at all: differences that are 0 everywhere count only where no replicate shows another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bench.config import ColumnCard
from bench.errors import RecordError
from bench.record import ColumnValues, Record
from leaderboard.board import Board, Row, boards
from leaderboard.compare import difference
from leaderboard.gate.ground import mixed_versions
from leaderboard.gate.judge import kept
from leaderboard.gate.noise import ColumnNoise, NoiseCard, rounded

ALIKE = 0.01
"""Two replicates are one where their differences differ by less than this share of their spread over utterances."""


def calibrate(records: Iterable[Record], suite: str) -> NoiseCard:
    """The noise of every column of a suite that has a direction.

    Raises:
        RecordError: no replicates of rows of the suite, or tasks in several versions.
    """
    rows = [record for record in records if record.suite == suite]
    if mixed := mixed_versions(rows, "the"):
        raise RecordError("; ".join(mixed))
    columns: list[ColumnNoise] = []
    used: set[str] = set()
    for board in boards(rows):
        groups = _groups(board)
        used |= {row.record.digest for original, again in groups for row in (original, *again)}
        for task, name in dict.fromkeys(_columns(groups)):
            if found := _measured(board, groups, task, name):
                columns.append(found)
    if not columns:
        raise RecordError(
            f"calibrate-noise: suite {suite} has no row under a second seed; expected rows NAME and NAME@seedN, "
            'or one with control = "replicate": `bench run --submission NAME --seed N` makes one'
        )
    return NoiseCard(suite=suite, records=tuple(sorted(used)), columns=tuple(columns))


def _groups(board: Board) -> list[tuple[Row, list[Row]]]:
    """Original → its replicates, by name."""
    found: dict[str, tuple[Row, list[Row]]] = {}
    for row in board.rows:
        original = board.original(row) if board.control(row) == "replicate" else None
        if original is not None:
            found.setdefault(original.name, (original, []))[1].append(row)
    return [found[name] for name in sorted(found)]


def _columns(groups: Sequence[tuple[Row, list[Row]]]) -> list[tuple[str, str]]:
    return [
        (task, name)
        for original, _ in groups
        for task, entry in original.record.tasks.items()
        for name, values in entry.columns.items()
        if values.column.better != "none" and values.values
    ]


def _measured(board: Board, groups: Sequence[tuple[Row, list[Row]]], task: str, name: str) -> ColumnNoise | None:
    counted: list[np.ndarray] = []
    squares, df, same, untouched, errors = 0.0, 0, 0, 0, list[float]()
    card: ColumnCard | None = None
    version = 0
    for original, replicates in groups:
        shifts = [0.0]
        for row in replicates:
            pair = _pair(original, row, task, name)
            if pair is None:
                continue
            a, b = pair
            change, moved = difference(a.column, a, b, original.speakers), _differences(a, b)
            if change.n < 2:
                continue
            card, version = a.column, original.record.tasks[task].version
            if not moved.any():
                untouched += 1
            elif any(_alike(moved, other) for other in counted):
                same += 1
            else:
                counted.append(moved)
                shifts.append(change.value)
                errors.append(change.error)
        squares += float(np.sum((np.array(shifts) - np.mean(shifts)) ** 2))
        df += len(shifts) - 1
    if card is None:
        return None
    if not df:
        # no replicate shows a difference: the seed does not reach this column
        df, untouched = untouched, 0
    return ColumnNoise(
        task=task,
        version=version,
        column=name,
        dataset=board.dataset,
        codec=board.codec,
        unit=card.unit,
        sd=rounded(float(np.sqrt(squares / df))),
        df=df,
        bootstrap=rounded(float(np.sqrt(np.mean(np.square(errors)))) if errors else 0.0),
        same=same,
        untouched=untouched,
    )


def _pair(original: Row, row: Row, task: str, name: str) -> tuple[ColumnValues, ColumnValues] | None:
    """The column of both, on the utterances that both have."""
    a, b = (_of(r, task).get(name) for r in (original, row))
    both = a.values.keys() & b.values.keys() if a and b else set()
    return (kept(a, both), kept(b, both)) if a and b and both else None


def _of(row: Row, task: str) -> Mapping[str, ColumnValues]:
    return row.record.tasks[task].columns if task in row.record.tasks else {}


def _differences(a: ColumnValues, b: ColumnValues) -> np.ndarray:
    return np.array([b.values[u] - a.values[u] for u in sorted(a.values)])


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the pattern over utterances is the same; a mere shift has no pattern to know it by."""
    if len(one) != len(other):
        return False
    pattern = max(one.std(), other.std())
    return bool(np.sqrt(np.mean((one - other) ** 2)) < ALIKE * pattern)
