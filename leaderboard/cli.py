"""The commands `leaderboard`, `references` and `check`, and the table that `bench run` prints when it is done.

What is heavy is imported when a command runs, so that `bench --help` stays fast.
"""

from __future__ import annotations

import logging
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bench.record import Record
    from leaderboard.board import Board

log = logging.getLogger(__name__)

FRESH = Path("records")
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
}


class TableFormat(str, Enum):
    """What `bench leaderboard` writes."""

    terminal = "terminal"
    md = "md"
    csv = "csv"
    json = "json"
    latex = "latex"


class CheckFormat(str, Enum):
    """What `bench check` writes."""

    terminal = "terminal"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add this package's commands to the command line of `bench`."""
    app.command(name="leaderboard")(leaderboard)
    app.command(name="references")(references)
    app.command(name="check")(check)


def leaderboard(
    records: Annotated[
        Path | None, typer.Option(help="Folder of records; without it, the committed ones.", show_default=False)
    ] = None,
    fresh: Annotated[
        Path | None, typer.Option(help="Folder laid over them; its rows are marked (new).", show_default=False)
    ] = None,
    form: Annotated[TableFormat, typer.Option("--format", help="How to write the tables.")] = TableFormat.terminal,
    wide: Annotated[bool, typer.Option("--wide", help="Every column, not the headline ones alone.")] = False,
    suite: Annotated[str | None, typer.Option(help="Only this suite.", show_default=False)] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.", show_default=False)] = None,
    codec: Annotated[str | None, typer.Option(help="Only this codec.", show_default=False)] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write between the leaderboard markers of this file.", show_default=False)
    ] = None,
) -> None:
    """Show the leaderboard."""
    from bench.errors import BenchError
    from bench.markers import replace_block
    from leaderboard.board import boards
    from leaderboard.store import committed_folder, read_rows

    if write is not None and form is not TableFormat.md:
        raise BenchError("--write needs --format md: the markers are Markdown comments")
    base = read_rows(committed_folder() if records is None else records)
    found = boards(base, [] if fresh is None else read_rows(fresh))
    text = _tables(_only(found, suite, dataset, codec), form, wide)
    if write is None:
        _print(text)
    else:
        replace_block(write, "leaderboard", text)


def references(
    codec: Annotated[
        str | None, typer.Option(help="Only figures on this codec, NAME or a whole spec.", show_default=False)
    ] = None,
    task: Annotated[str | None, typer.Option(help="Only figures that concern this task.", show_default=False)] = None,
) -> None:
    """List published figures with their sources and how they differ from what is measured here."""
    from bench.errors import BenchError
    from leaderboard.cited import listing
    from leaderboard.references import about, read_references

    read = read_references()
    found = about(read.references, codec, task)
    if not found:
        asked = " and ".join(
            f"{what} {name!r}" for what, name in (("codec", codec), ("task", task)) if name is not None
        )
        codecs = sorted({row.codec for reference in read.references for row in reference.rows if row.codec})
        tasks = sorted({name for reference in read.references for name in reference.tasks})
        there = f"codecs {', '.join(codecs)}; tasks {', '.join(tasks)}"
        raise BenchError(f"references: no published figure on {asked}; there are: {there}")
    _print(listing(found, read.metrics))


def check(
    fresh: Annotated[Path, typer.Option(help="Folder of the records to check.")] = FRESH,
    committed: Annotated[
        Path | None,
        typer.Option(help="Folder to check against; without it, the committed records.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Fail, too, when a committed row or task was not run.")] = False,
    form: Annotated[CheckFormat, typer.Option("--format", help="How to write the outcome.")] = CheckFormat.terminal,
    wide: Annotated[bool, typer.Option("--wide", help="Also list what did not change.")] = False,
) -> None:
    """Compare fresh records with committed ones.

    Exit codes: 0, no regression; 1, a column got worse by more than its margin, or lost its values; 2, the
    records cannot be compared.
    """
    from leaderboard.changes import as_json, as_text
    from leaderboard.regress import compare
    from leaderboard.store import committed_folder, read_rows

    found = compare(read_rows(committed_folder() if committed is None else committed), read_rows(fresh))
    _print(as_json(found) if form is CheckFormat.json else as_text(found, wide))
    if found.regressed or (every and (found.not_run or found.tasks_not_run)):
        raise typer.Exit(1)


def after_run(records: Path, written: list[Path], wide: bool = False) -> str:
    """The boards that freshly written records belong to, over the committed rows.

    Args:
        records: folder the run wrote to; all its rows are laid over the committed ones.
        written: the files of this run.
        wide: every column, not the headline ones alone.
    """
    from bench.record import read
    from leaderboard.board import boards
    from leaderboard.store import committed_folder

    mine = [read(path) for path in written]
    keys = {record.key[:3] for record in mine}
    done = {path.resolve() for path in written}
    others = [path for path in sorted(records.glob("*.json")) if path.resolve() not in done]
    fresh = _readable(others) + mine
    found = boards(_readable(sorted(committed_folder().glob("*.json"))), fresh)
    return _tables([b for b in found if (b.suite, b.dataset, b.codec) in keys], TableFormat.terminal, wide)


def _readable(paths: list[Path]) -> list[Record]:
    return [record for path in paths if (record := _try_read(path)) is not None]


def _try_read(path: Path) -> Record | None:
    from bench.errors import RecordError
    from bench.record import read

    try:
        return read(path)
    except RecordError as error:
        # a stray file must not cost a finished run its table
        log.warning("left out of the table: %s", error)
        return None


def _only(found: list[Board], suite: str | None, dataset: str | None, codec: str | None) -> list[Board]:
    from bench.errors import UnknownName

    for what, wanted in (("suite", suite), ("dataset", dataset), ("codec", codec)):
        names = {getattr(board, what) for board in found}
        if wanted is not None and wanted not in names:
            raise UnknownName(f"{what} among these records", wanted, sorted(names))
        found = [board for board in found if wanted in (None, getattr(board, what))]
    return found


def _tables(found: list[Board], form: TableFormat, wide: bool) -> str:
    from leaderboard.headings import installed_cards
    from leaderboard.references import read_references
    from leaderboard.table import tables

    names = {name for board in found for row in board.rows for name in row.record.tasks}
    return tables(found, form.value, wide, installed_cards(names), read_references())


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = "".join(ASCII.get(c, c) for c in text).encode(encoding, "replace").decode(encoding)
    typer.echo(text)
