"""Which columns a table shows and in which order its rows stand, where a reader asks for it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.errors import BenchError
from leaderboard.board import Board
from leaderboard.compare import order
from leaderboard.view import Column, TaskView, task_views

MOST_NAMED = 12
"""Columns that an error lists."""


def known_columns(boards: Iterable[Board]) -> list[str]:
    """Every column of these boards' records as TASK.COLUMN, once, in their order."""
    found: dict[str, None] = {}
    for board in boards:
        for row in board.rows:
            for task, entry in row.record.tasks.items():
                found |= dict.fromkeys(f"{task}.{column}" for column in (*entry.columns, *entry.skipped_columns))
    return list(found)


def require_columns(boards: Sequence[Board], names: Iterable[str]) -> None:
    """Refuse a column that no row has.

    Raises:
        BenchError: there is none of that name; says which are close.
    """
    whole = known_columns(boards)
    known = {*whole, *(name.partition(".")[2] for name in whole)}
    for name in names:
        if name in known:
            continue
        close = difflib.get_close_matches(name, sorted(known), n=5, cutoff=0.5)
        close += [k for k in sorted(known) if name and name in k and k not in close]
        listed = ", ".join(close[:MOST_NAMED]) or ", ".join(sorted(known)[:MOST_NAMED]) or "none"
        raise BenchError(f"no column {name!r} in these tables; {'near it are' if close else 'there are'}: {listed}")


def ordered(board: Board, views: Sequence[TaskView], sort: str) -> list[TaskView]:
    """The views with all rows in the order of one column, best first; without `sort` as they are.

    Rows without a value come after those with one, by name; controls stay last.
    """
    if not sort:
        return list(views)
    found = [(view, column) for view in task_views(board, chosen=(sort,)) for column in view.columns]
    if not found:
        return list(views)
    by, column = found[0]
    place = {name: at for at, name in enumerate(sorted(column.cells, key=lambda n: _place(by, column, n)))}
    last = len(place)
    return [
        replace(view, rows=tuple(sorted(view.rows, key=lambda r: (r.name in view.controls, place.get(r.name, last)))))
        for view in views
    ]


def _place(view: TaskView, column: Column, name: str) -> tuple[bool, float, str]:
    interval = column.cells[name].interval
    if interval is None:
        return True, 0.0, name
    # a distance from one is of a column without a shown unit of its own, so that the order is the record's
    return False, order(column.card, interval.value), name
