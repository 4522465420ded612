"""The compare page's data: of every column the rows' values, and of every pair the difference as text.

A difference is one string, VALUE;LOW;HIGH;P;VERDICT, of second − first. Turning a pair around changes signs, swaps the
ends and turns the verdict: the page does that on the text, so that it shows what the tables' own functions wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.config import ColumnCard, TaskCard
from bench.stats import Interval
from leaderboard.board import Board
from leaderboard.compare import covers_zero, surely_worse
from leaderboard.comparisons import p_value
from leaderboard.report.explained import horizon
from leaderboard.report.pairs import chosen, comparable, differences
from leaderboard.shown import SIGNS, arrow, bounds, number, unit
from leaderboard.text import plain
from leaderboard.view import Cell, Column, TaskView


def data(
    board: Board,
    views: Sequence[TaskView],
    cards: dict[str, TaskCard],
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """What the page needs, as JSON.

    Args:
        advance: called after every column.
    """
    order = ordered(views, board)
    pairs = chosen(len(order))
    controls = {name: kind for view in views for name, kind in view.controls.items()}
    tasks = []
    for view in views:
        known = cards.get(view.name)
        title = plain(known.title) if known is not None and known.version == view.version else view.name
        columns = []
        for column in _by_horizon(view.columns):
            columns.append(_column(view, column, order, pairs))
            advance()
        if columns:
            tasks.append({"name": view.name, "title": title, "version": view.version, "columns": columns})
    return {
        "rows": [{"name": plain(n, 60) or "?", "kind": controls.get(n, "")} for n in order],
        "pairs": pairs,
        "tasks": tasks,
    }


def ordered(views: Sequence[TaskView], board: Board) -> list[str]:
    """The board's rows in the order of its first table, then those that are not in it."""
    names = [row.name for row in views[0].rows] if views else []
    return names + [row.name for row in board.rows if row.name not in names]


def _by_horizon(columns: Sequence[Column]) -> list[Column]:
    """Columns as they come, those of one quantity together and their horizons in order."""
    first: dict[str, int] = {}
    for place, column in enumerate(columns):
        first.setdefault(horizon(column.card.name)[0], place)

    def at(column: Column) -> tuple[int, int]:
        base, ms = horizon(column.card.name)
        return first[base], ms or 0

    return sorted(columns, key=at)


def _column(view: TaskView, column: Column, order: Sequence[str], pairs: Sequence[tuple[int, int]]) -> dict[str, Any]:
    card = column.card
    found = dict(differences(view, column, order, pairs))
    able = comparable(view, column)
    said = "distance from 1" if card.better == "one" else "median of differences" if card.aggregate == "median" else ""
    return {
        "name": card.name,
        "title": plain(card.title),
        "unit": unit(card),
        "arrow": arrow(card),
        "better": card.better,
        "headline": card.headline,
        "said": said,
        "help": plain(card.help, 2000),
        "values": [_value(card, column.cells.get(n)) for n in order],
        "why": {str(k): _why(view, column.cells.get(n), n) for k, n in enumerate(order) if n not in able},
        "pairs": [as_text(card, found[pair]) if pair in found else "" for pair in pairs],
    }


def _value(card: ColumnCard, cell: Cell | None) -> str:
    if cell is None or cell.interval is None:
        return ""
    return f"{SIGNS[cell.bound]}{number(cell.interval.value, card.decimals)} {bounds(cell.interval, card.decimals)}"


def _why(view: TaskView, cell: Cell | None, name: str) -> str:
    if cell is None:
        return plain(view.other.get(name, "not in this table"))
    if cell.interval is not None:
        return f"{sum(cell.unscored.values())} of {cell.attempted} utterances have no value"
    return plain(f"{cell.status}: {cell.reason}" if cell.status in ("failed", "skipped") else cell.reason)


def as_text(card: ColumnCard, change: Interval) -> str:
    """A difference in the shown unit, as the page reads it."""
    places = card.decimals
    ends = (number(change.low, places), number(change.high, places)) if change.n > 1 else ("", "")
    return ";".join((number(change.value, places), *ends, f"{p_value(change):.4g}", _verdict(card, change)))


def _verdict(card: ColumnCard, change: Interval) -> str:
    """b: the second is better, w: worse, d: different where nothing is better; "" where the utterances cannot tell."""
    if covers_zero(change):
        return ""
    if card.better == "none":
        return "d"
    return "w" if surely_worse(card, change) else "b"
