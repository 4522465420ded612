"""Two rows held against each other, measure by measure: paired differences in numbers and in words.

Only rows of one board are compared, on the utterances that both have a value for. p is of Student's t of the paired
difference; Holm's correction is for all ranked columns of the comparison at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.config import ColumnCard
from bench.errors import BenchError
from bench.record import ColumnValues
from bench.stats import Interval, interval
from leaderboard.board import Board, Row
from leaderboard.compare import difference
from leaderboard.comparisons import detectable, holm, p_value
from leaderboard.shown import factor, scaled
from leaderboard.view import Bound, is_chosen, noted_bound

ALPHA = 0.05
Verdict = Literal["first", "second", "not told apart", "not ranked"]


@dataclass(frozen=True)
class Measure:
    """One column of two rows, in the shown unit; `change` is second − first.

    Attributes:
        utterances: how many both have a value for.
        only_one: how many only one of them has a value for; those are left out.
        p: of the difference alone; `adjusted`: after Holm's correction, of ranked columns.
        detectable: the true difference that 80 % of such comparisons would find.
        seed_noise: largest |replicate − original| of the two rows, where the board has one.
        bounds: whether each row's value is a bound, as its task noted.
    """

    task: str
    card: ColumnCard
    first: Interval
    second: Interval
    change: Interval
    utterances: int
    only_one: int
    p: float
    adjusted: float | None
    detectable: float
    seed_noise: float | None
    bounds: tuple[Bound, Bound]

    @property
    def verdict(self) -> Verdict:
        """Which row is better, after Holm's correction. A row behind by a bound that may hide more is not behind."""
        if self.adjusted is None:
            return "not ranked"
        if self.adjusted >= ALPHA:
            return "not told apart"
        gained = self.change.value > 0 if self.card.better == "higher" else self.change.value < 0
        hides = {"higher": "lower", "lower": "upper"}.get(self.card.better)
        if hides is not None and self.bounds[0 if gained else 1] == hides:
            return "not told apart"
        return "second" if gained else "first"


@dataclass(frozen=True)
class Versus:
    """Two rows of one board. `missing`: TASK.COLUMN → why there is no comparison."""

    board: Board
    first: Row
    second: Row
    measures: Sequence[Measure]
    missing: dict[str, str]


def versus(board: Board, first: str, second: str, wide: bool = False, chosen: Sequence[str] = ()) -> Versus:
    """Every headline column of two rows, or every column with `wide`, or the `chosen` ones.

    Raises:
        BenchError: a name that is no row of the board, or the same row twice.
    """
    rows = {row.name: row for row in board.rows}
    for name in (first, second):
        if name not in rows:
            why = f": {board.left_out[name]}" if name in board.left_out else f"; there are: {', '.join(sorted(rows))}"
            raise BenchError(f"compare: {board.suite} · {board.dataset} · {board.codec} has no row {name!r}{why}")
    if first == second:
        raise BenchError(f"compare: expected two rows, got {first!r} twice")
    a, b = rows[first], rows[second]
    measures: list[Measure] = []
    missing: dict[str, str] = {}
    for task in dict.fromkeys([*a.record.tasks, *b.record.tasks]):
        if why := _incomparable(a, b, task):
            missing[task] = why
            continue
        theirs = b.record.tasks[task].columns
        for name, mine in a.record.tasks[task].columns.items():
            if not (is_chosen(chosen, task, mine.column) if chosen else wide or mine.column.headline):
                continue
            if why := _no_pair(mine, theirs.get(name), a, b, task):
                missing[f"{task}.{name}"] = why
                continue
            measures.append(_measure(board, a, b, task, mine, theirs[name]))
    return Versus(board, a, b, _corrected(measures), missing)


def _incomparable(a: Row, b: Row, task: str) -> str:
    for row in (a, b):
        entry = row.record.tasks.get(task)
        if entry is None:
            return f"{row.name} has no such task"
        if entry.status != "scored":
            return f"{row.name} {entry.status}: {entry.reason}"
    mine, theirs = a.record.tasks[task], b.record.tasks[task]
    if mine.version != theirs.version:
        return f"versions {mine.version} and {theirs.version}"
    if mine.parameters != theirs.parameters:
        return "other parameters"
    return ""


def _no_pair(mine: ColumnValues, theirs: ColumnValues | None, a: Row, b: Row, task: str) -> str:
    if theirs is None:
        reason = b.record.tasks[task].skipped_columns.get(mine.column.name)
        return f"{b.name} has no such column" if reason is None else f"{b.name} skipped: {reason}"
    if (mine.column.unit, mine.column.better, mine.column.aggregate) != (
        theirs.column.unit,
        theirs.column.better,
        theirs.column.aggregate,
    ):
        return "other units or directions"
    if factor(mine.column, a.record.codec.frame_rate) != factor(mine.column, b.record.codec.frame_rate):
        return "other frame rates"
    return "" if mine.values.keys() & theirs.values.keys() else "no utterance has a value in both"


def _on(values: ColumnValues, ids: set[str]) -> ColumnValues:
    weights = None if values.weights is None else {u: values.weights[u] for u in ids}
    return values.model_copy(update={"values": {u: values.values[u] for u in ids}, "weights": weights})


def _measure(board: Board, a: Row, b: Row, task: str, mine: ColumnValues, theirs: ColumnValues) -> Measure:
    card, by = mine.column, factor(mine.column, a.record.codec.frame_rate)
    both = mine.values.keys() & theirs.values.keys()
    first, second = _on(mine, both), _on(theirs, both)
    change = scaled(difference(card, first, second, a.speakers), by)
    sides = [scaled(interval(v.values, a.speakers, v.weights, card.aggregate), by) for v in (first, second)]
    return Measure(
        task=task,
        card=card,
        first=sides[0],
        second=sides[1],
        change=change,
        utterances=len(both),
        only_one=len(mine.values.keys() ^ theirs.values.keys()),
        p=p_value(change),
        adjusted=None,
        detectable=detectable(change),
        seed_noise=_seed_noise(board, (a, b), task, card, by),
        bounds=(noted_bound(a.record.tasks[task], card), noted_bound(b.record.tasks[task], card)),
    )


def _seed_noise(board: Board, rows: Sequence[Row], task: str, card: ColumnCard, by: float) -> float | None:
    """How far another seed has moved either row in this column."""
    moved = []
    for replicate in board.rows:
        original = board.original(replicate)
        if original is None or original.name not in {row.name for row in rows}:
            continue
        sides = [_values(row, task, card.name) for row in (original, replicate)]
        if sides[0] is not None and sides[1] is not None and sides[0].values.keys() == sides[1].values.keys():
            moved.append(abs(difference(card, sides[0], sides[1], original.speakers).value) * by)
    return max(moved, default=None)


def _values(row: Row, task: str, column: str) -> ColumnValues | None:
    entry = row.record.tasks.get(task)
    return None if entry is None or entry.status != "scored" else entry.columns.get(column)


def _corrected(measures: Sequence[Measure]) -> list[Measure]:
    """The measures with p after Holm's correction, where better means something."""
    ranked = {str(i): m.p for i, m in enumerate(measures) if m.card.ranked and m.card.better != "none"}
    adjusted = holm(ranked)
    return [replace(m, adjusted=adjusted.get(str(i))) for i, m in enumerate(measures)]
