"""The commands that show records, those of the packages below, and the table that `bench run` prints.

What is heavy is imported when a command runs, so that `bench --help` stays fast.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leaderboard.codecs_cli import codecs
from leaderboard.export_cli import export
from leaderboard.formats import TableFormat
from leaderboard.gate import cli as gate
from leaderboard.options import Dataset, Form, Fresh, Records, Suite, Wide
from leaderboard.report.cli import report
from leaderboard.rows_cli import compare, show

if TYPE_CHECKING:
    from bench.record import Record

log = logging.getLogger(__name__)

EMPTY = "no rows of models here; `bench run --submission NAME` makes them"


def register(app: typer.Typer) -> None:
    """Add this package's commands to the command line of `bench`."""
    app.command(name="leaderboard")(leaderboard)
    app.command(name="show")(show)
    app.command(name="compare")(compare)
    app.command(name="references")(references)
    app.command(name="codecs")(codecs)
    app.command(name="findings")(findings)
    app.command(name="heard")(heard)
    gate.register(app)
    app.command(name="report")(report)
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
    columns: Annotated[
        str, typer.Option(help="Only these columns, NAME,NAME or TASK.NAME, headline or not.", show_default=False)
    ] = "",
    sort: Annotated[str, typer.Option(help="Order the rows by this column, best first.", show_default=False)] = "",
    write: Annotated[
        Path | None, typer.Option(help="Write between the leaderboard markers of this file.", show_default=False)
    ] = None,
) -> None:
    """Show the leaderboard: a board at a glance; more with --columns or --wide."""
    from bench.errors import BenchError
    from bench.markers import replace_block
    from leaderboard.board import boards
    from leaderboard.pick import require_columns
    from leaderboard.show import left_out, only, overview_of, shown, tables_of, working
    from leaderboard.store import Gathered, committed_folder, gather

    if write is not None and form is not TableFormat.md:
        raise BenchError("--write needs --format md: the markers are Markdown comments")
    if brief and (wide or columns or form in (TableFormat.csv, TableFormat.json)):
        raise BenchError("leaderboard: --brief is for text, and without --wide and --columns")
    chosen = tuple(name.strip() for name in columns.split(",") if name.strip())
    with working("reading and comparing rows"):
        base = gather(committed_folder() if records is None else records)
        over = Gathered() if fresh is None else gather(fresh)
        found = only([b for b in boards(base.rows, over.rows) if not b.of_codecs], suite, dataset, codec, not brief)
        require_columns(found, [*chosen, *([sort] if sort else [])])
        if form is TableFormat.terminal and not (wide or brief or chosen):
            text = overview_of(found, sort)
        else:
            text = tables_of(found, form, wide, brief, chosen, sort)
    if write is None:
        shown(text if found or form in (TableFormat.csv, TableFormat.json) else EMPTY)
    else:
        replace_block(write, "leaderboard", text)
    left_out([*base.faults, *over.faults])


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


def after_run(records: Path, written: list[Path], wide: bool = False) -> str:
    """The boards that freshly written records belong to, over the committed rows.

    Args:
        records: folder the run wrote to; all its rows are laid over the committed ones.
        written: the files of this run.
        wide: every column, not the headline ones alone.
    """
    from bench.record import read
    from leaderboard.board import board_key, boards
    from leaderboard.show import overview_of, tables_of
    from leaderboard.store import committed_folder

    mine = [read(path) for path in written]
    keys = {board_key(record) for record in mine}
    done = {path.resolve() for path in written}
    others = [path for path in sorted(records.glob("*.json")) if path.resolve() not in done]
    fresh = _readable(others) + mine
    found = boards(_readable(sorted(committed_folder().glob("*.json"))), fresh)
    found = [b for b in found if (b.suite, b.dataset, b.codec) in keys]
    of_models = [b for b in found if not b.of_codecs]
    if wide or len(of_models) < len(found):
        return tables_of(found, TableFormat.terminal, wide)
    return overview_of(found)


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
