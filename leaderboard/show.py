"""Boards chosen by name and written to a terminal of any encoding."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import typer

from leaderboard.formats import TableFormat

if TYPE_CHECKING:
    from leaderboard.board import Board
    from leaderboard.store import Fault

ASCII = {
    "−": "-",
    "–": "-",
    "≥": ">=",
    "≤": "<=",
    "†": "+",
    "‡": "#",
    "↑": "up",
    "↓": "down",
    "→": "to ",
    "·": "|",
    "×": "x",
    "…": "...",
    "±": "+-",
    "Δ": "d",
}


def only(
    found: list[Board], suite: str | None, dataset: str | None, codec: str | None, beside: bool = True
) -> list[Board]:
    """The boards of that suite, dataset and codec; None takes all. `beside`: and of suites that stand beside it.

    Raises:
        UnknownName: there is none of that name.
    """
    from bench.errors import UnknownName
    from leaderboard.headings import suites_beside

    for what, wanted in (("suite", suite), ("dataset", dataset), ("codec", codec)):
        names = {getattr(board, what) for board in found}
        if wanted is not None and wanted not in names:
            raise UnknownName(f"{what} among these records", wanted, sorted(names))
        also = suites_beside(wanted) if beside and what == "suite" and wanted is not None else set[str]()
        found = [board for board in found if wanted is None or getattr(board, what) in {wanted, *also}]
    return sorted(found, key=lambda board: board.suite != suite)


def tables_of(
    found: list[Board],
    form: TableFormat,
    wide: bool,
    brief: bool = False,
    columns: Sequence[str] = (),
    sort: str = "",
) -> str:
    """The boards with the titles and questions of the installed tasks; see `leaderboard.table.tables`."""
    from leaderboard.headings import installed_cards
    from leaderboard.references import read_references
    from leaderboard.table import tables

    names = {name for board in found for row in board.rows for name in row.record.tasks}
    return tables(found, form.value, wide, installed_cards(names), read_references(), brief, columns, sort)


def overview_of(found: list[Board], sort: str = "") -> str:
    """The boards at a glance."""
    from leaderboard.overview import overview

    return overview(found, sort)


def working(what: str) -> AbstractContextManager[Any]:
    """Say on a terminal's error stream that something takes its time; nothing elsewhere."""
    from rich.console import Console

    return Console(stderr=True).status(what)


def left_out(faults: Sequence[Fault]) -> None:
    """Say on the error stream which files of the folders are not shown, and why."""
    from leaderboard.text import plain

    for fault in faults:
        typer.echo(f"not shown: {plain(fault.file, 80)}: {plain(fault.reason)}", err=True)


def shown(text: str) -> None:
    """Print `text`, in ASCII where the terminal has no more."""
    encoding = sys.stdout.encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = "".join(ASCII.get(c, c) for c in text).encode(encoding, "replace").decode(encoding)
    typer.echo(text)
