"""Where the committed records lie, and how a folder of records is read."""

from __future__ import annotations

from pathlib import Path

from bench import record as records
from bench.errors import RecordError
from bench.record import Record


def committed_folder() -> Path:
    """The folder of the records that ship with this package."""
    return Path(__file__).parent / "records"


def read_rows(folder: Path) -> list[Record]:
    """All records of a folder, sorted by key.

    Raises:
        RecordError: no such folder, no record in it, a record that cannot be trusted, or two of one row.
    """
    if not folder.is_dir():
        raise RecordError(f"{folder}: no such folder of records; `bench run` makes records")
    found: dict[tuple[str, str, str, str], tuple[Path, Record]] = {}
    for path in sorted(folder.glob("*.json")):
        record = records.read(path)
        if record.key in found:
            other = found[record.key][0].name
            raise RecordError(f"{folder}: {other} and {path.name} are both the row {' / '.join(record.key)}")
        found[record.key] = (path, record)
    if not found:
        raise RecordError(f"{folder}: no records there; `bench run` makes records")
    return [found[key][1] for key in sorted(found)]
