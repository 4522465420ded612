"""The command `codecs`: codecs side by side, as a table and as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leaderboard.formats import TableFormat
from leaderboard.options import Dataset, Form, Fresh, Records, Suite, Wide

if TYPE_CHECKING:
    from leaderboard.board import Board

NONE = "no records of codecs here; `bench run --codecs NAME,NAME` makes them"


def codecs(
    records: Records = None,
    fresh: Fresh = None,
    form: Form = TableFormat.terminal,
    wide: Wide = False,
    suite: Suite = None,
    dataset: Dataset = None,
    write: Annotated[
        Path | None, typer.Option(help="Write between the codecs markers of this file.", show_default=False)
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Also draw predictability against fidelity, as SVG.", show_default=False)
    ] = None,
) -> None:
    """Show codecs side by side: how predictable their latents are, and what they keep of the recording."""
    from bench.errors import BenchError
    from bench.markers import replace_block
    from leaderboard.board import boards
    from leaderboard.show import left_out, only, shown, tables_of
    from leaderboard.store import Gathered, committed_folder, gather

    if write is not None and form is not TableFormat.md:
        raise BenchError("--write needs --format md: the markers are Markdown comments")
    base = gather(committed_folder() if records is None else records)
    over = Gathered() if fresh is None else gather(fresh)
    found = [b for b in boards(base.rows, over.rows) if b.of_codecs]
    left_out([*base.faults, *over.faults])
    found = only(found, suite, dataset, None)
    if not found:
        raise BenchError(f"codecs: {NONE}")
    text = tables_of(found, form, wide)
    if form in (TableFormat.terminal, TableFormat.md):
        text += _without_rows(found, form)
    if write is None:
        shown(text)
    else:
        replace_block(write, "codecs", text)
    if figure is not None:
        _draw(found, figure)


def _without_rows(found: list[Board], form: TableFormat) -> str:
    """Every codec has its row or its reason."""
    from leaderboard.pending import as_markdown, as_text, pending

    left = pending(row.record for board in found for row in board.rows)
    if not left:
        return ""
    if form is TableFormat.md:
        return f"\n\n### Without a row yet\n\n{as_markdown(left)}"
    return f"\n\nWithout a row yet\n\n{as_text(left)}"


def _draw(found: list[Board], figure: Path) -> None:
    from bench.errors import BenchError
    from leaderboard.codec_figure import draw

    text = draw(found)
    try:
        figure.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BenchError(f"--figure: {figure} cannot be written: {error.strerror or error}") from error
