"""The first screen's figure: the ranked rows of one column with their intervals, best first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.stats import Interval
from leaderboard.board import Board
from leaderboard.report.tables import row_page
from leaderboard.shown import arrow, bounds, number, unit
from leaderboard.text import plain
from leaderboard.view import TaskView

MOST_ROWS = 12
MARGIN = 0.04
"""Of the width, left free at either end."""


@dataclass(frozen=True)
class Bar:
    """One row: where its interval and value lie, in percent of the width."""

    name: str
    page: str
    low: str
    at: str
    high: str
    text: str
    rank: str


@dataclass(frozen=True)
class Forest:
    """One column's bars. `more`: ranked rows that are not among them."""

    title: str
    task: str
    bars: Sequence[Bar]
    more: int


def forest(board: Board, views: Sequence[TaskView]) -> Forest | None:
    """The first ranked headline column of a board, or None where no row of it is ranked."""
    for view in views:
        for column in view.columns:
            if not (column.card.headline and column.judged.best):
                continue
            pages = {row.name: row_page(row) for row in board.rows}
            ranked = [n for row in view.rows if column.cells[n := row.name].rank]
            shown = {n: i for n in ranked[:MOST_ROWS] if (i := column.cells[n].interval) is not None}
            scale = _scale(list(shown.values()))
            bars = [
                Bar(
                    name=name,
                    page=pages[name],
                    low=scale(i.low),
                    at=scale(i.value),
                    high=scale(i.high),
                    text=f"{number(i.value, column.card.decimals)} {bounds(i, column.card.decimals)}",
                    rank=column.cells[name].rank,
                )
                for name, i in shown.items()
            ]
            title = " ".join(p for p in (plain(column.card.title), unit(column.card), arrow(column.card)) if p)
            return Forest(title, view.name, bars, len(ranked) - len(bars))
    return None


def _scale(shown: Sequence[Interval]) -> Callable[[float], str]:
    """From a value to percent of the width."""
    low, high = min(i.low for i in shown), max(i.high for i in shown)
    width = (high - low) or 1.0
    start, wide = low - MARGIN * width, width * (1 + 2 * MARGIN)
    return lambda value: f"{100 * (value - start) / wide:.2f}"
