"""The commands `leaderboard`, `references`, `findings` and `check`, and the table that `bench run` prints.

What is heavy is imported when a command runs, so that `bench --help` stays fast.
"""

from __future__ import annotations

import logging
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leaderboard.codecs_cli import codecs
from leaderboard.export_cli import export
from leaderboard.formats import TableFormat
from leaderboard.options import Dataset, Form, Fresh, Records, Suite, Wide

if TYPE_CHECKING:
    from bench.record import Record

log = logging.getLogger(__name__)

FRESH = Path("records")


class CheckFormat(str, Enum):
    """What `bench check` writes."""

    terminal = "terminal"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add this package's commands to the command line of `bench`."""
    app.command(name="leaderboard")(leaderboard)
    app.command(name="references")(references)
    app.command(name="check")(check)
    app.command(name="codecs")(codecs)
    app.command(name="findings")(findings)
    app.command(name="heard")(heard)
    app.command(name="export")(export)


def leaderboard(
    records: Records = None,
    fresh: Fresh = None,
    form: Form = TableFormat.terminal,
    wide: Wide = False,
    suite: Suite = None,
    dataset: Dataset = None,
    codec: Annotated[str | None, typer.Option(help="Only this codec.", show_default=False)] = None,
    brief: Annotated[
        bool, typer.Option("--brief", help="The first task's table alone, its best rows without controls.")
    ] = False,
    write: Annotated[
        Path | None, typer.Option(help="Write between the leaderboard markers of this file.", show_default=False)
    ] = None,
) -> None:
    """Show the leaderboard."""
    from bench.errors import BenchError
    from bench.markers import replace_block
    from leaderboard.board import boards
    from leaderboard.show import only, shown, tables_of
    from leaderboard.store import committed_folder, read_rows

    if write is not None and form is not TableFormat.md:
        raise BenchError("--write needs --format md: the markers are Markdown comments")
    if brief and (wide or form in (TableFormat.csv, TableFormat.json)):
        raise BenchError("leaderboard: --brief is for text, and without --wide")
    base = read_rows(committed_folder() if records is None else records)
    found = boards(base, [] if fresh is None else read_rows(fresh))
    text = tables_of(only([b for b in found if not b.of_codecs], suite, dataset, codec, not brief), form, wide, brief)
    if write is None:
        shown(text)
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
    from leaderboard.show import shown

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
    shown(listing(found, read.metrics))


def findings(
    records: Records = None,
    suite: Annotated[str, typer.Option(help="Suite of the rows.")] = "mini",
    write: Annotated[
        Path | None, typer.Option(help="Write between the families markers of this file.", show_default=False)
    ] = None,
) -> None:
    """Show the model families side by side, and which published findings their rows show."""
    from bench.markers import replace_block
    from leaderboard.families import report
    from leaderboard.show import shown
    from leaderboard.store import committed_folder, read_rows

    text = report(read_rows(committed_folder() if records is None else records), suite)
    if write is None:
        shown(text)
    else:
        replace_block(write, "families", text)


def heard(
    records: Records = None,
    suite: Annotated[str, typer.Option(help="Suite of the rows.")] = "generation",
    brief: Annotated[bool, typer.Option("--brief", help="One table: quality, words and cost.")] = False,
    write: Annotated[
        Path | None, typer.Option(help="Write between the heard markers of this file.", show_default=False)
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Draw the frontier of quality and cost to this SVG file.", show_default=False)
    ] = None,
) -> None:
    """Show what is heard of the models between ceiling and floor, and what it costs."""
    from bench.errors import BenchError
    from bench.markers import replace_block
    from leaderboard.heard import draw, report
    from leaderboard.show import shown
    from leaderboard.store import committed_folder, read_rows

    rows = read_rows(committed_folder() if records is None else records)
    text = report(rows, suite, brief)
    if figure is not None:
        drawn = draw(rows, suite)
        try:
            figure.write_text(drawn, encoding="utf-8")
        except OSError as error:
            raise BenchError(f"--figure: {figure} cannot be written: {error.strerror or error}") from error
    if write is None:
        shown(text)
    else:
        replace_block(write, "heard", text)


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
    from leaderboard.show import shown
    from leaderboard.store import committed_folder, read_rows

    found = compare(read_rows(committed_folder() if committed is None else committed), read_rows(fresh))
    shown(as_json(found) if form is CheckFormat.json else as_text(found, wide))
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
    from leaderboard.board import board_key, boards
    from leaderboard.show import tables_of
    from leaderboard.store import committed_folder

    mine = [read(path) for path in written]
    keys = {board_key(record) for record in mine}
    done = {path.resolve() for path in written}
    others = [path for path in sorted(records.glob("*.json")) if path.resolve() not in done]
    fresh = _readable(others) + mine
    found = boards(_readable(sorted(committed_folder().glob("*.json"))), fresh)
    return tables_of([b for b in found if (b.suite, b.dataset, b.codec) in keys], TableFormat.terminal, wide)


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
