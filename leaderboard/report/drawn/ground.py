"""What every figure of a board stands on: its rows, their names and looks, and their numbers in the table's units."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.config import ColumnCard
from bench.record import TaskEntry
from bench.stats import Interval
from leaderboard.board import Board, Row
from leaderboard.report.drawn.ink import Look, looks
from leaderboard.report.drawn.lines import Point
from leaderboard.shown import bounds, number
from leaderboard.text import shortened
from leaderboard.view import Column, TaskView

MOST = 20
"""Rows that a figure can hold and be read; the others are in its table alone."""
MOST_CONTROLS = 6
NOTHING = "–"


@dataclass(frozen=True)
class Ground:
    """A board to draw. `names`: row → what it is called; `looks`: by that name."""

    board: Board
    views: Mapping[str, TaskView]
    names: Mapping[str, str]
    looks: Mapping[str, Look]
    prefix: str

    @staticmethod
    def of(board: Board, views: Sequence[TaskView], prefix: str) -> Ground:
        """Looks go by name, so that a row's does not depend on how well it does."""
        rows = sorted(board.rows, key=lambda row: row.name)
        names = shortened(row.name for row in rows)
        names |= {row.name: f"{names[row.name]} (untrained)" for row in rows if not row.trained}
        models = [names[row.name] for row in rows if not board.control(row)]
        controls = [names[row.name] for row in rows if board.control(row)]
        return Ground(board, {view.name: view for view in views}, names, looks(models, controls), prefix)

    def first(self, *tasks: str) -> TaskView | None:
        """The first of these tasks that the board has."""
        return next((self.views[task] for task in tasks if task in self.views), None)

    def chosen(self, rows: Iterable[Row]) -> list[Row]:
        """Of rows in the table's order those that are drawn: the first models, and controls beside them."""
        every = list(rows)
        if len(every) <= MOST:
            return every
        controls = [row for row in every if self.board.control(row)][:MOST_CONTROLS]
        models = [row for row in every if not self.board.control(row)][: MOST - len(controls)]
        return [row for row in every if row in models or row in controls]

    def left_out(self, rows: Sequence[Row]) -> str:
        """A sentence about the rows that are not drawn, if there are."""
        missing = len(rows) - len(self.chosen(rows))
        return f" {missing} further rows are in the table below alone." if missing else ""

    def controls_said(self, rows: Iterable[Row]) -> str:
        """A sentence about how controls look, where there are any."""
        return " Controls are dashed." if any(self.board.control(row) for row in rows) else ""


def entry(row: Row, task: str) -> TaskEntry | None:
    """What the task gave the row, where it scored it."""
    found = row.record.tasks.get(task)
    return found if found is not None and found.status == "scored" else None


def numbered(view: TaskView, pattern: str) -> dict[int, Column]:
    """Number → the column whose name is `pattern` with it in place of `#`, ascending."""
    shape = re.compile(re.escape(pattern).replace(r"\#", "#").replace("#", r"(\d{1,9})") + r"\Z")
    found = {int(match[1]): column for column in view.columns if (match := shape.match(column.card.name))}
    return dict(sorted(found.items()))


def interval_of(column: Column | None, row: Row) -> Interval | None:
    """The row's value there, in the table's units."""
    cell = column.cells.get(row.name) if column is not None else None
    return cell.interval if cell is not None else None


def point(x: float, found: Interval) -> Point:
    """A value over `x`; without an interval its bounds are itself."""
    return Point(x, found.value, *((found.low, found.high) if found.n > 1 else (found.value, found.value)))


def said(card: ColumnCard, found: Interval | None) -> str:
    """A value with its interval as the table has it."""
    return NOTHING if found is None else f"{number(found.value, card.decimals)} {bounds(found, card.decimals)}"


def range_said(values: Mapping[str, float], unit: str) -> str:
    """From which row to which, for the alternative text."""
    low, high = min(values, key=lambda n: values[n]), max(values, key=lambda n: values[n])
    return f"from {values[low]:.4g} ({low}) to {values[high]:.4g} ({high}) {unit}".rstrip()
