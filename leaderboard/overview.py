"""A board at a glance: one table of 80 columns, with as many of its measures as fit and a value ± for each.

The tasks take turns: the first headline column of each, then the second of each; columns that rank before those that
do not. What did not fit is named, with the command that shows it. Seed replicates are left to the wide tables.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from tabulate import tabulate

from leaderboard.board import Board
from leaderboard.pick import ordered
from leaderboard.shown import SIGNS, arrow, number, unit
from leaderboard.styles import STYLES, WIDTH
from leaderboard.table import names, title
from leaderboard.text import plain, widest, wrapped
from leaderboard.view import Cell, Column, TaskView, task_views
from leaderboard.words import UNBELIEVED, empty_cells, interval_label, legend

TITLE_WIDTH = 12
MOST_NAMED = 6
"""Columns that did not fit, by name."""


HOW = (
    "with intervals and reasons: bench leaderboard --columns NAME,NAME, or --wide",
    "one row: bench show ROW; two of them, paired: bench compare ROW ROW",
)


@dataclass(frozen=True)
class Picked:
    """A column of a board and the task that it is of."""

    view: TaskView
    column: Column

    @property
    def name(self) -> str:
        return f"{self.view.name}.{self.column.card.name}"


def overview(boards: Iterable[Board], sort: str = "") -> str:
    """Every board at a glance."""
    return "\n\n".join(_board(board, sort) for board in boards)


def _board(board: Board, sort: str) -> str:
    views = [_without_replicates(view) for view in ordered(board, task_views(board), sort)]
    named = names(board, STYLES["terminal"])
    picked = _turns(views)
    if not picked:
        about = [line for view in views for line in empty_cells(view, named)]
        return "\n\n".join([title(board, STYLES["terminal"]), _lines([*about, *_left_out(board, named)])])
    lead = picked[0].view
    used = [picked[0]]
    text = _table(lead, used, named)
    for one in picked[1:]:
        wider = _table(lead, [*used, one], named)
        if widest(wider) > WIDTH:
            break
        used, text = [*used, one], wider
    return "\n\n".join([title(board, STYLES["terminal"]), text, _lines(_about(board, views, used, picked, named))])


def _without_replicates(view: TaskView) -> TaskView:
    left = {name: kind for name, kind in view.controls.items() if kind != "replicate"}
    rows = tuple(row for row in view.rows if row.name not in view.controls or row.name in left)
    return replace(view, rows=rows, controls=left)


def _turns(views: Sequence[TaskView]) -> list[Picked]:
    """The headline columns that any row has a value in: the first of every task, the second of every task, …"""
    lists = [[Picked(v, c) for c in v.columns if any(cell.interval for cell in c.cells.values())] for v in views]
    for picked in lists:
        picked.sort(key=_unranked)
    taken = [one for turn in itertools.zip_longest(*lists) for one in turn if one is not None]
    return sorted(taken, key=_unranked)


def _unranked(one: Picked) -> bool:
    return not one.column.judged.best


def _table(lead: TaskView, used: Sequence[Picked], named: Callable[[str], str]) -> str:
    body = [
        [
            named(row.name)
            + ("" if row.believed else f" {UNBELIEVED}")
            + (" (new)" if row.new else "")
            + ("" if row.trained else " UNTRAINED"),
            *(_cell(one.column, one.column.cells.get(row.name, Cell(status="absent"))) for one in used),
        ]
        for row in lead.rows
    ]
    if lead.controls:
        body.insert(len(lead.rows) - len(lead.controls), ["controls:", *("" for _ in used)])
    return tabulate(
        body,
        headers=["", *(_header(one.column) for one in used)],
        tablefmt="simple",
        disable_numparse=True,
        colalign=["left", *("right" for _ in used)],
    )


def _header(column: Column) -> str:
    card = column.card
    below = " ".join(part for part in (plain(unit(card), 10), arrow(card)) if part)
    return "\n".join(part for part in (wrapped(plain(card.title, 40), TITLE_WIDTH), below) if part)


def _cell(column: Column, cell: Cell) -> str:
    if cell.interval is None:
        return "failed" if cell.status == "failed" else "–"
    places, found = column.card.decimals, cell.interval
    mark = "† " if cell.unscored else {"best": "* ", "tied": "= "}.get(cell.rank, "")
    half = max(found.high - found.value, found.value - found.low)
    spread = f"±{number(half, places)}" if found.n > 1 else ""
    return f"{mark}{SIGNS[cell.bound]}{number(found.value, places)}{spread}"


def _about(
    board: Board,
    views: Sequence[TaskView],
    used: Sequence[Picked],
    picked: Sequence[Picked],
    named: Callable[[str], str],
) -> list[str]:
    shown = [TaskView(p.view.name, p.view.version, p.view.rows, (p.column,), {}, {}) for p in used]
    lines = [*legend(shown, "*", named, brief=True)]
    label = interval_label(board, shown)
    lines += [label.replace("[low, high]:", "±: the larger side of the interval,")] if label else []
    lines += _failures(views, named)
    for one in used:
        losers = sorted({named(pair.second) for pair in one.column.judged.beaten})
        lines += [f"! a floor beats, in {plain(one.column.card.title)}: {', '.join(losers)}"] if losers else []
    for view in views:
        lines += [f"not in {view.name}: {named(name)} ({plain(why)})" for name, why in view.other.items()]
    lines += _left_out(board, named)
    more = [one.name for one in picked[len(used) :]]
    named_more = ", ".join(more[:MOST_NAMED]) + (", …" if len(more) > MOST_NAMED else "")
    lines += [f"{len(more)} more headline columns: {named_more}"] if more else []
    return [*lines, *HOW]


def _failures(views: Sequence[TaskView], named: Callable[[str], str]) -> list[str]:
    """What failed is always said, and of new rows why anything is missing; what others skipped has its dash."""
    lines: dict[str, None] = {}
    for view in views:
        new = {row.name for row in view.rows if row.new}
        lines |= dict.fromkeys(line for line in empty_cells(view, named) if line.startswith(("failed", "†")))
        if new:
            mine = {c: {n: w for n, w in why.items() if n in new} for c, why in view.skipped.items()}
            rows = tuple(row for row in view.rows if row.new)
            lines |= dict.fromkeys(empty_cells(replace(view, rows=rows, skipped=mine), named))
    return list(lines)


def _left_out(board: Board, named: Callable[[str], str]) -> list[str]:
    return [f"{named(name)} is not shown: {plain(why)}" for name, why in board.left_out.items()]


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(wrapped(line, WIDTH, indent="  ") for line in lines)
