"""`bench export`: results as a table for other programs, or as a model card's metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from leaderboard.options import Dataset, Records, Suite


class ExportFormat(str, Enum):
    """What `bench export` writes."""

    parquet = "parquet"
    arrow = "arrow"
    csv = "csv"
    model_index = "model-index"


def export(
    row: Annotated[
        str, typer.Argument(metavar="[ROW]", help="Only this row; model-index needs one.", show_default=False)
    ] = "",
    form: Annotated[ExportFormat, typer.Option("--format", help="How to write them.")] = ExportFormat.csv,
    values: Annotated[bool, typer.Option("--values", help="One line an utterance, in place of aggregates.")] = False,
    out: Annotated[Path | None, typer.Option(help="File to write; without it, standard output.")] = None,
    records: Records = None,
    suite: Suite = None,
    dataset: Dataset = None,
) -> None:
    """Write results as a tidy table, or one row as metadata of a Hugging Face model card."""
    from bench.errors import BenchError, UnknownName
    from leaderboard.export import files, model_index, tidy
    from leaderboard.show import shown
    from leaderboard.store import committed_folder, read_rows

    if values and form is ExportFormat.model_index:
        raise BenchError("export: --values is for tables: parquet, arrow or csv")
    if form is ExportFormat.model_index and not row:
        raise BenchError("export: --format model-index needs the name of a row: bench export ROW --format model-index")
    found = read_rows(committed_folder() if records is None else records)
    for what, wanted in (("suite", suite), ("dataset", dataset)):
        known = {"suite": lambda r: r.suite, "dataset": lambda r: r.dataset.name}[what]
        if wanted is not None and wanted not in {known(one) for one in found}:
            raise UnknownName(f"{what} among these records", wanted, sorted({known(one) for one in found}))
        found = [one for one in found if wanted is None or known(one) == wanted]
    if form is ExportFormat.model_index:
        text = model_index.metadata(found, row)
        if out is None:
            shown(text)
            return
        try:
            out.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise BenchError(f"export: {out} cannot be written: {error.strerror or error}") from error
        return
    names = {one.submission.name for one in found}
    if row and row not in names:
        raise UnknownName("row", row, sorted(names))
    with _progress() as told:
        files.write(tidy.values(found, row) if values else tidy.results(found, row, told), form.value, out)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
