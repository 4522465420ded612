"""Boards as text: for a terminal of 80 columns, Markdown or LaTeX. One small table for each task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from bench.config import TaskCard
from leaderboard import cited
from leaderboard.board import Board
from leaderboard.grid import stacked
from leaderboard.machine import as_csv, as_json
from leaderboard.pick import ordered
from leaderboard.references import References
from leaderboard.styles import STYLES, WIDTH, Style
from leaderboard.text import plain, shortened, wrapped
from leaderboard.view import TaskView, task_views
from leaderboard.words import differences, footnotes, interval_label, legend, provenance

Format = Literal["terminal", "md", "csv", "json", "latex"]
MOST_ROWS = 12
"""Of a brief table."""


def tables(
    boards: Iterable[Board],
    form: Format = "terminal",
    wide: bool = False,
    cards: Mapping[str, TaskCard] | None = None,
    references: References | None = None,
    brief: bool = False,
    columns: Sequence[str] = (),
    sort: str = "",
) -> str:
    """All boards in one format.

    Args:
        wide: every column, not the headline ones alone.
        brief: of each board the first task alone, its best rows without controls, and what is needed to read them.
        cards: task → card, for titles and questions; used where its version is the table's.
        references: published figures, to stand under the tables of text that they concern.
        columns: only these, as COLUMN or TASK.COLUMN, headline or not.
        sort: the column by whose values all rows are ordered, best first.
    """
    viewed = [(board, ordered(board, task_views(board, wide, columns), sort)) for board in boards]
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
    named = names(board, style)
    parts = [title(board, style)]
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
    named, (view, *_) = names(board, style), views
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
    # only what is in the table has its date, commit and machine under it
    shown = replace(board, rows=view.rows or board.rows)
    parts = [title(board, style), _task(view, style, named, cards.get(view.name), ())]
    about = [*legend([view], style.best_mark, named), interval_label(board, [view]), *provenance(shown, named)]
    if len(models) > MOST_ROWS:
        about.insert(0, f"{len(models) - MOST_ROWS} more rows are in the whole table")
    parts.append("\n".join(style.item(style.escape(line)) for line in about if line))
    return "\n\n".join(parts)


def names(board: Board, style: Style) -> Callable[[str], str]:
    """How each row of a board is called in a style."""
    known = [row.name for row in board.rows] + list(board.left_out)
    return (shortened(known) if style.width else {name: plain(name) for name in known}).__getitem__


def title(board: Board, style: Style) -> str:
    """The heading of a board."""
    words = " · ".join(plain(part) for part in (board.suite, board.dataset, board.codec))
    return style.heading(1, style.escape(words))


def _gap(style: Style) -> str:
    """What lies between a heading and a list: Markdown needs an empty line there."""
    return "" if style.width is None else "-" * WIDTH


def _task(
    view: TaskView, style: Style, named: Callable[[str], str], card: TaskCard | None, published: Sequence[str]
) -> str:
    known = card is not None and card.version == view.version
    words = f"{card.title} ({view.name}, version {view.version})" if card and known else view.name
    if not known:
        words += f" (version {view.version})"
    parts = [style.heading(2, style.escape(plain(words)))]
    if card and known:
        question = style.escape(plain(card.question))
        parts.append(wrapped(question, style.width) if style.width else question)
    if view.columns and view.rows:
        parts += ["", stacked(view, style, named)]
    if notes := footnotes(view, named):
        parts += ["", *(style.item(style.escape(note)) for note in notes)]
    if published:
        heading = wrapped(cited.HEADING, style.width) if style.width else style.escape(cited.HEADING)
        parts += ["", heading, "", *(style.item(style.escape(line)) for line in published)]
    return "\n".join(parts)
