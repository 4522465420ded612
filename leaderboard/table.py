"""Boards as text: for a terminal of 80 columns, Markdown or LaTeX. One small table for each task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from rich.cells import cell_len
from tabulate import tabulate

from bench.config import TaskCard
from leaderboard import cited
from leaderboard.board import Board, Row
from leaderboard.machine import as_csv, as_json
from leaderboard.references import References
from leaderboard.shown import arrow, bounds, number, unit
from leaderboard.text import LONGEST_NAME, latex, markdown, plain, shortened, widest, wrapped
from leaderboard.view import Cell, Column, TaskView, task_views
from leaderboard.words import UNBELIEVED, differences, footnotes, interval_label, legend, provenance

Format = Literal["terminal", "md", "csv", "json", "latex"]
WIDTH = 80
HEADER_WIDTH = 24
LONGEST_TITLE = 72
MOST_ROWS = 12
"""Of a brief table."""


@dataclass(frozen=True)
class Style:
    """How one text format writes. `width`: columns to stay within, or None."""

    tablefmt: str
    width: int | None
    line_break: str
    escape: Callable[[str], str]
    best: Callable[[str], str]
    best_mark: str
    heading: Callable[[int, str], str]
    item: Callable[[str], str]


def _terminal_heading(level: int, text: str) -> str:
    text = wrapped(text, WIDTH)
    return f"{text}\n{'=' * widest(text)}" if level == 1 else text


STYLES: Mapping[str, Style] = {
    "terminal": Style(
        tablefmt="simple",
        width=WIDTH,
        line_break="\n",
        escape=str,
        best="* {}".format,
        best_mark="*",
        heading=_terminal_heading,
        item=lambda text: wrapped(text, WIDTH, indent="  "),
    ),
    "md": Style(
        tablefmt="pipe",
        width=None,
        line_break="<br>",
        escape=markdown,
        best="**{}**".format,
        best_mark="bold:",
        heading=lambda level, text: f"{'#' * (level + 2)} {text}",
        item="- {}".format,
    ),
    "latex": Style(
        tablefmt="latex_raw",
        width=None,
        line_break=" ",
        escape=latex,
        best=r"\textbf{{{}}}".format,
        best_mark="bold:",
        heading=lambda level, text: rf"\{'sub' * (level - 1)}section*{{{text}}}",
        item=lambda text: text + r"\\",
    ),
}


def tables(
    boards: Iterable[Board],
    form: Format = "terminal",
    wide: bool = False,
    cards: Mapping[str, TaskCard] | None = None,
    references: References | None = None,
    brief: bool = False,
) -> str:
    """All boards in one format.

    Args:
        wide: every column, not the headline ones alone.
        brief: of each board the first task alone, its best rows without controls, and what is needed to read them.
        cards: task → card, for titles and questions; used where its version is the table's.
        references: published figures, to stand under the tables of text that they concern.
    """
    viewed = [(board, task_views(board, wide)) for board in boards]
    known = cards or {}
    if form == "json":
        return as_json(viewed, known)
    if form == "csv":
        return as_csv(viewed)

    def below(task: str, codec: str) -> list[str]:
        return cited.under(references, task, codec, wide) if references else []

    draw = _brief if brief else _board
    return "\n\n".join(draw(board, views, STYLES[form], known, below) for board, views in viewed)


def _board(
    board: Board,
    views: Sequence[TaskView],
    style: Style,
    cards: Mapping[str, TaskCard],
    below: Callable[[str, str], list[str]],
) -> str:
    named = _names(board, style)
    parts = [_title(board, style)]
    parts += [_task(view, style, named, cards.get(view.name), below(view.name, board.codec)) for view in views]
    if paired := differences(views, named):
        lines = [style.item(style.escape(line)) for line in paired]
        parts.append("\n".join([style.heading(2, "Paired differences to the best row"), _gap(style), *lines]))
    about = [*legend(views, style.best_mark, named), interval_label(board, views), *provenance(board, named)]
    parts.append("\n".join(style.item(style.escape(line)) for line in about if line))
    return "\n\n".join(parts)


def _brief(
    board: Board,
    views: Sequence[TaskView],
    style: Style,
    cards: Mapping[str, TaskCard],
    below: Callable[[str, str], list[str]],
) -> str:
    del below
    named, (view, *_) = _names(board, style), views
    models = [row for row in view.rows if row.name not in view.controls]
    # joint ranks and detectable differences stand with the paired differences, which a brief table leaves out
    columns = tuple(
        replace(
            column,
            cells={row.name: column.cells[row.name] for row in models[:MOST_ROWS]},
            judged=replace(column.judged, ranks={}),
        )
        for column in view.columns
    )
    view = replace(view, rows=tuple(models[:MOST_ROWS]), columns=columns, controls={}, skipped={})
    parts = [_title(board, style), _task(view, style, named, cards.get(view.name), ())]
    about = [*legend([view], style.best_mark, named), interval_label(board, [view]), *provenance(board, named)]
    if len(models) > MOST_ROWS:
        about.insert(0, f"{len(models) - MOST_ROWS} more rows are in the whole table")
    parts.append("\n".join(style.item(style.escape(line)) for line in about if line))
    return "\n\n".join(parts)


def _names(board: Board, style: Style) -> Callable[[str], str]:
    names = [row.name for row in board.rows] + list(board.left_out)
    return (shortened(names) if style.width else {name: plain(name) for name in names}).__getitem__


def _title(board: Board, style: Style) -> str:
    title = " · ".join(plain(part) for part in (board.suite, board.dataset, board.codec))
    return style.heading(1, style.escape(title))


def _gap(style: Style) -> str:
    """What lies between a heading and a list: Markdown needs an empty line there."""
    return "" if style.width is None else "-" * WIDTH


def _task(
    view: TaskView, style: Style, named: Callable[[str], str], card: TaskCard | None, published: Sequence[str]
) -> str:
    known = card is not None and card.version == view.version
    title = f"{card.title} ({view.name}, version {view.version})" if card and known else view.name
    if not known:
        title += f" (version {view.version})"
    parts = [style.heading(2, style.escape(plain(title)))]
    if card and known:
        question = style.escape(plain(card.question))
        parts.append(wrapped(question, style.width) if style.width else question)
    if view.columns and view.rows:
        parts += ["", _stacked(view, style, named)]
    if notes := footnotes(view, named):
        parts += ["", *(style.item(style.escape(note)) for note in notes)]
    if published:
        heading = wrapped(cited.HEADING, style.width) if style.width else style.escape(cited.HEADING)
        parts += ["", heading, "", *(style.item(style.escape(line)) for line in published)]
    return "\n".join(parts)


def _stacked(view: TaskView, style: Style, named: Callable[[str], str]) -> str:
    """The table; where it is too wide, several that hold as many columns as fit."""
    draw = partial(_table, view, style=style, named=named)
    groups: list[list[Column]] = []
    for column in view.columns:
        fits = groups and (style.width is None or widest(draw([*groups[-1], column])) <= style.width)
        if fits:
            groups[-1].append(column)
        else:
            groups.append([column])
    return "\n\n".join(draw(group) for group in groups)


def _table(view: TaskView, columns: Sequence[Column], style: Style, named: Callable[[str], str]) -> str:
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
    sign = {"lower": "≥", "upper": "≤", "": ""}[cell.bound]
    value = style.escape(sign + number(cell.interval.value, places))
    text = f"{value} {style.escape(bounds(cell.interval, places))}"
    return _marked(cell, text, style)


def _marked(cell: Cell, text: str, style: Style) -> str:
    if cell.unscored:
        return f"{style.escape('†')} {text}"
    if cell.rank == "best":
        return style.best(text)
    return f"= {text}" if cell.rank == "tied" else text
