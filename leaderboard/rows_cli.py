"""The commands `show` and `compare`: one row in full, and two rows held against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from leaderboard.formats import TextFormat
from leaderboard.options import Dataset, Fresh, Records, Suite, Wide

if TYPE_CHECKING:
    from pathlib import Path

    from leaderboard.board import Board

Codec = Annotated[str | None, typer.Option(help="Only on this codec.", show_default=False)]
Form = Annotated[TextFormat, typer.Option("--format", help="How to write it.")]
Columns = Annotated[str, typer.Option(help="Only these columns, NAME,NAME or TASK.NAME.", show_default=False)]


def show(
    row: Annotated[str, typer.Argument(metavar="ROW", help="Name of a row, as in the tables.")],
    records: Records = None,
    fresh: Fresh = None,
    form: Form = TextFormat.terminal,
    wide: Wide = False,
    suite: Suite = None,
    dataset: Dataset = None,
    codec: Codec = None,
) -> None:
    """Show one row: what it is, every measure with interval and rank, what is missing, and how to make it again."""
    from leaderboard.row_text import as_json, as_text
    from leaderboard.show import shown, working
    from leaderboard.styles import STYLES

    found = _boards(records, fresh, suite, dataset, codec)
    having = [board for board in found if any(r.name == row for r in board.rows)]
    if not having:
        raise _unknown(found, row)
    with working("comparing it with the rows of its tables"):
        if form is TextFormat.json:
            text = as_json(having, row, wide)
        else:
            text = "\n\n".join(as_text(board, row, STYLES[form.value], wide) for board in having)
    shown(text)


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="The row to compare with.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The row that is compared; differences are B − A.")],
    records: Records = None,
    fresh: Fresh = None,
    form: Form = TextFormat.terminal,
    wide: Wide = False,
    columns: Columns = "",
    suite: Suite = None,
    dataset: Dataset = None,
    codec: Codec = None,
) -> None:
    """Compare two rows by paired differences, in words and numbers, on every board that has both."""
    from bench.errors import BenchError
    from leaderboard.pick import require_columns
    from leaderboard.show import shown, working
    from leaderboard.styles import STYLES
    from leaderboard.versus import versus
    from leaderboard.versus_text import as_json, as_text

    found = _boards(records, fresh, suite, dataset, codec)
    for name in (first, second):
        if not any(name == r.name for board in found for r in board.rows):
            raise _unknown(found, name)
    both = [board for board in found if {first, second} <= {r.name for r in board.rows}]
    if not both:
        raise BenchError(f"compare: {first!r} and {second!r} stand in no table together")
    chosen = tuple(name.strip() for name in columns.split(",") if name.strip())
    require_columns(both, chosen)
    with working("comparing"):
        made = [versus(board, first, second, wide, chosen) for board in both]
    if form is TextFormat.json:
        shown(as_json(made))
        return
    shown("\n\n".join(as_text(one, STYLES[form.value]) for one in made))


def _boards(
    records: Path | None, fresh: Path | None, suite: str | None, dataset: str | None, codec: str | None
) -> list[Board]:
    from leaderboard.board import boards
    from leaderboard.show import left_out, only, working
    from leaderboard.store import Gathered, committed_folder, gather

    with working("reading records"):
        base = gather(committed_folder() if records is None else records)
        over = Gathered() if fresh is None else gather(fresh)
    left_out([*base.faults, *over.faults])
    return only(boards(base.rows, over.rows), suite, dataset, codec)


def _unknown(found: list[Board], name: str) -> Exception:
    import difflib

    from bench.errors import BenchError

    known = sorted({row.name for board in found for row in board.rows})
    for board in found:
        if name in board.left_out:
            return BenchError(f"{name} is left out of {board.suite} · {board.dataset}: {board.left_out[name]}")
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.4)
    listed = f"near it are {', '.join(close)}" if close else f"there are {', '.join(known[:20]) or 'none'}"
    return BenchError(f"no row {name!r} here; {listed}")
