"""One task's columns as a table of text, and as several where one is too wide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from rich.cells import cell_len
from tabulate import tabulate

from leaderboard.board import Row
from leaderboard.shown import SIGNS, arrow, bounds, number, unit
from leaderboard.styles import Style
from leaderboard.text import LONGEST_NAME, plain, widest, wrapped
from leaderboard.view import Cell, Column, TaskView
from leaderboard.words import UNBELIEVED

HEADER_WIDTH = 24
LONGEST_TITLE = 72


def stacked(view: TaskView, style: Style, named: Callable[[str], str]) -> str:
    """The table; where it is too wide, several that hold as many columns as fit."""
    draw = partial(table, view, style=style, named=named)
    groups: list[list[Column]] = []
    for column in view.columns:
        fits = groups and (style.width is None or widest(draw([*groups[-1], column])) <= style.width)
        if fits:
            groups[-1].append(column)
        else:
            groups.append([column])
    return "\n\n".join(draw(group) for group in groups)


def table(view: TaskView, columns: Sequence[Column], style: Style, named: Callable[[str], str]) -> str:
    body = [[_label(row, style, named), *(_cell(c, row, style) for c in columns)] for row in view.rows]
    if view.controls:
        body.insert(len(view.rows) - len(view.controls), ["controls:", *("" for _ in columns)])
    return tabulate(
        body,
        headers=["", *(_header(c, style) for c in columns)],
        tablefmt=style.tablefmt,
        disable_numparse=True,
        colalign=["left", *("right" for _ in columns)],
    )


def _label(row: Row, style: Style, named: Callable[[str], str]) -> str:
    label = style.escape(named(row.name) + ("" if row.believed else f" {UNBELIEVED}")) + (" (new)" if row.new else "")
    if row.trained:
        return label
    fits = style.width is None or cell_len(label) <= LONGEST_NAME - len("UNTRAINED ")
    return f"UNTRAINED{' ' if fits else style.line_break}{label}"


def _header(column: Column, style: Style) -> str:
    card = column.card
    title = plain(card.title, LONGEST_TITLE)
    if style.width:
        title = wrapped(title, HEADER_WIDTH)
    middle = "median" if card.aggregate == "median" else ""
    below = " ".join(part for part in (middle, plain(unit(card), HEADER_WIDTH), arrow(card)) if part)
    return style.line_break.join(style.escape(part) for part in (title, below) if part)


def _cell(column: Column, row: Row, style: Style) -> str:
    cell, places = column.cells[row.name], column.card.decimals
    if cell.interval is None:
        return "failed" if cell.status == "failed" else "–"
    value = style.escape(SIGNS[cell.bound] + number(cell.interval.value, places))
    text = f"{value} {style.escape(bounds(cell.interval, places))}"
    return _marked(cell, text, style)


def _marked(cell: Cell, text: str, style: Style) -> str:
    if cell.unscored:
        return f"{style.escape('†')} {text}"
    if cell.rank == "best":
        return style.best(text)
    return f"= {text}" if cell.rank == "tied" else text
