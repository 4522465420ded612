"""Tidy tables as Parquet, Arrow or CSV, whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.errors import BenchError

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["parquet", "arrow", "csv"]
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that a spreadsheet would take for a formula."""


def write(table: pa.Table, form: Format, out: Path | None) -> None:
    """Write a table to `out`, or to standard output.

    Raises:
        BenchError: `out` cannot be written, or a binary format is asked for on a terminal.
    """
    if out is None and form != "csv" and sys.stdout.isatty():
        raise BenchError(f"export: {form} is binary: expected --out FILE, or a pipe")
    data = encoded(table, form)
    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return
    temporary = out.with_name(f".{out.name}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(out)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BenchError(f"export: {out} cannot be written: {error.strerror or error}") from error


def encoded(table: pa.Table, form: Format) -> bytes:
    """The table's bytes; the same table gives the same ones."""
    import pyarrow as pa

    sink: Any = pa.BufferOutputStream()
    if form == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(table, sink, compression="zstd")
    elif form == "arrow":
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        import pyarrow.csv as pc

        pc.write_csv(_inert(table), sink)
    return bytes(sink.getvalue())


def _inert(table: pa.Table) -> pa.Table:
    """Texts that a spreadsheet would take for a formula get an apostrophe, as `bench leaderboard --format csv` does."""
    import pyarrow as pa

    for i, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            texts = table.column(i).to_pylist()
            safe = [f"'{t}" if t is not None and t.startswith(FORMULA) else t for t in texts]
            table = table.set_column(i, field, pa.array(safe, field.type))
    return table
