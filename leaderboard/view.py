"""What one task's table shows: aggregates with intervals in shown units, ranks and ties, and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bench.config import ColumnCard, Control
from bench.record import ColumnValues, TaskEntry
from bench.stats import Interval, interval
from leaderboard.across import place
from leaderboard.board import Board, Row, newest, preferred
from leaderboard.compare import covers_zero, order
from leaderboard.judged import Judged, judged
from leaderboard.shown import factor, scaled

Rank = Literal["best", "tied", "behind", ""]
Bound = Literal["lower", "upper", ""]


@dataclass(frozen=True)
class Cell:
    """One row in one column. Without an interval, `status` and `reason` say why there is none.

    `unscored` counts utterances without a value by reason: such a cell is partial and never ranked.
    """

    interval: Interval | None = None
    rank: Rank = ""
    bound: Bound = ""
    unscored: Mapping[str, int] = field(default_factory=dict)
    attempted: int = 0
    status: Literal["scored", "skipped", "failed", "absent"] = "scored"
    reason: str = ""


@dataclass(frozen=True)
class Column:
    """One column. `left_out`: reason → how many utterances no row could score; they count for none."""

    card: ColumnCard
    cells: Mapping[str, Cell]
    judged: Judged = field(default_factory=Judged)
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskView:
    """One task of a board. `controls`: row → what it is for, of the last rows; `other`: row → why it is not in
    this table; `skipped`: column without any value → row → reason."""

    name: str
    version: int
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    other: Mapping[str, str]
    skipped: Mapping[str, Mapping[str, str]]
    controls: Mapping[str, Control] = field(default_factory=dict)


def task_views(board: Board, wide: bool = False, chosen: Sequence[str] = ()) -> list[TaskView]:
    """One view per task, in the order of the newest row; with `wide` all columns, else the headline ones.

    Args:
        chosen: only these columns, as COLUMN or TASK.COLUMN, and only the tasks that have one of them.
    """
    names = list(board.newest.tasks)
    for row in board.rows:
        names += [name for name in row.record.tasks if name not in names]
    views = [_task_view(board, name, wide, chosen) for name in names]
    return [view for view in views if view.columns] if chosen else views


def _task_view(board: Board, name: str, wide: bool, chosen: Sequence[str]) -> TaskView:
    entries = {row.name: row.record.tasks[name] for row in board.rows if name in row.record.tasks}
    scored = [row for row in board.rows if row.name in entries and entries[row.name].status == "scored"]
    version = max(entries[row.name].version for row in scored) if scored else max(e.version for e in entries.values())
    current = [row for row in scored if entries[row.name].version == version]
    parameters = entries[newest(current).name].parameters if current else {}
    other = {n: why for n, entry in entries.items() if (why := _mismatch(entry, version, parameters))}
    rows = tuple(row for row in board.rows if row.name not in other)
    cards = _cards([entries[row.name] for row in _newest_first(rows) if row.name in entries])
    shown = [c for c in cards.values() if (is_chosen(chosen, name, c) if chosen else wide or c.headline)]
    columns = [_column(card, board, rows, entries) for card in shown]
    controls = {row.name: kind for row in rows if (kind := board.control(row))}
    skipped: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.name in entries:
            for column, reason in entries[row.name].skipped_columns.items():
                if column not in cards:
                    skipped.setdefault(column, {})[row.name] = reason
    if chosen:
        skipped = {}
    placed = by_predictability(rows, columns) if board.of_codecs else _sorted(rows, columns, controls)
    return TaskView(name, version, placed, tuple(columns), other, skipped, controls)


def is_chosen(chosen: Sequence[str], task: str, card: ColumnCard) -> bool:
    """Whether a column is among those named COLUMN or TASK.COLUMN."""
    return card.name in chosen or f"{task}.{card.name}" in chosen


def _mismatch(entry: TaskEntry, version: int, parameters: Mapping[str, Any]) -> str:
    if entry.version != version:
        age = "older" if entry.version < version else "newer"
        return f"{age} version {entry.version}" + (f", {entry.status}" if entry.status != "scored" else "")
    if entry.status == "scored" and entry.parameters != parameters:
        keys = sorted(k for k in entry.parameters.keys() | parameters if entry.parameters.get(k) != parameters.get(k))
        return f"other parameters ({', '.join(keys)})"
    return ""


def _newest_first(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=preferred, reverse=True)


def _cards(entries: Sequence[TaskEntry]) -> dict[str, ColumnCard]:
    """Column → card, of the newest record that has the column; in its order."""
    cards: dict[str, ColumnCard] = {}
    for entry in entries:
        for name, values in entry.columns.items():
            cards.setdefault(name, values.column)
    return cards


def _column(card: ColumnCard, board: Board, rows: Sequence[Row], entries: Mapping[str, TaskEntry]) -> Column:
    values = {n: e.columns[card.name] for n, e in entries.items() if e.status == "scored" and card.name in e.columns}
    shown = {row.name: row for row in rows}
    values = {n: v for n, v in values.items() if n in shown and _same_meaning(v.column, card)}
    unscorable = _unscorable(list(values.values()))
    whole = {u for v in values.values() for u in v.values.keys() | v.unscored.keys()} - unscorable.keys()
    cells = {n: _cell(card, row, entries.get(n), values.get(n), whole) for n, row in shown.items()}
    left_out = Counter(unscorable.values())
    if not card.ranked or card.better == "none":
        return Column(card, cells, left_out=left_out)
    full = [n for n, c in cells.items() if c.interval and not c.unscored and shown[n].trained]
    models = [n for n in full if not board.control(shown[n])]
    models.sort(key=lambda n: (order(card, _unscaled(card, cells[n], shown[n])), n))
    found = judged(card, board, values, models, full)
    for n, change in found.differences.items():
        cells[n] = replace(cells[n], rank="tied" if covers_zero(change) else "behind")
    if found.best:
        cells[found.best] = replace(cells[found.best], rank="best")
    return Column(card, cells, found, left_out)


def _unscorable(values: Sequence[ColumnValues]) -> dict[str, str]:
    """Utterances that every one of several rows left unscored for the same reason, with it.

    A row without any value says nothing of an utterance.
    """
    scored = [v for v in values if v.values]
    if len(scored) < 2:
        return {}
    first, *others = scored
    return {u: why for u, why in first.unscored.items() if all(v.unscored.get(u) == why for v in others)}


def _same_meaning(mine: ColumnCard, card: ColumnCard) -> bool:
    return (mine.unit, mine.better, mine.aggregate) == (card.unit, card.better, card.aggregate)


def _unscaled(card: ColumnCard, cell: Cell, row: Row) -> float:
    # only cells with an interval are ranked
    return cell.interval.value / factor(card, row.record.codec.frame_rate) if cell.interval else 0.0


def _cell(card: ColumnCard, row: Row, entry: TaskEntry | None, values: ColumnValues | None, whole: set[str]) -> Cell:
    if entry is None:
        return Cell(status="absent", reason="the task is not in this record")
    if entry.status != "scored":
        return Cell(status=entry.status, reason=entry.reason)
    if card.name in entry.skipped_columns:
        return Cell(status="skipped", reason=entry.skipped_columns[card.name])
    if values is None:
        known = entry.columns.get(card.name)
        return Cell(status="absent", reason=f"measured in {known.column.unit}" if known else "no such column")
    missing = Counter(values.unscored.get(u, "no value") for u in whole - values.values.keys())
    unscored = dict(sorted(missing.items(), key=lambda item: (-item[1], item[0])))
    if not values.values:
        reason = "; ".join(f"{count} × {why}" for why, count in unscored.items())
        return Cell(status="absent", reason=reason or "no utterances", attempted=len(whole))
    found = interval(values.values, row.speakers, values.weights, card.aggregate)
    in_table = scaled(found, factor(card, row.record.codec.frame_rate))
    return Cell(in_table, "", noted_bound(entry, card), unscored, len(whole))


def noted_bound(entry: TaskEntry, card: ColumnCard) -> Bound:
    """What the task noted about this row; a column that may hold bounds need not hold one in every row."""
    noted = entry.notes.get("bounds")
    found = noted.get(card.name) if isinstance(noted, dict) else None
    return found if found in ("lower", "upper") else ""


def by_predictability(rows: Sequence[Row], columns: Sequence[Column]) -> tuple[Row, ...]:
    """Codecs that compare with each other first, and among them the most predictable by the first column."""

    def at(row: Row) -> tuple[tuple[bool, bool, bool], float, str]:
        interval = columns[0].cells[row.name].interval if columns else None
        return place(row.record), -interval.value if interval else 0.0, row.name

    return tuple(sorted(rows, key=at))


def _sorted(rows: Sequence[Row], columns: Sequence[Column], controls: Mapping[str, str]) -> tuple[Row, ...]:
    """Best first by the first ranked column; unranked rows after them and controls last, by name."""
    first = next((c for c in columns if c.judged.best), None)

    def place(row: Row) -> tuple[bool, bool, float, str]:
        cell = first.cells[row.name] if first else Cell()
        if first is None or not cell.rank or cell.interval is None:
            return row.name in controls, True, 0.0, row.name
        return False, False, order(first.card, _unscaled(first.card, cell, row)), row.name

    return tuple(sorted(rows, key=place))
