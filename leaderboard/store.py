"""Where the committed records lie, and how a folder of records is read.

What decides (`bench check`) reads strictly, by `read_rows`: one file that cannot be trusted is an error. What shows
(tables, the report) reads by `gather`: it shows what can be trusted and says which files it left out, and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import record as records
from bench.errors import RecordError
from bench.record import Record


@dataclass(frozen=True)
class Fault:
    """A file of a folder of records that is not shown. `reason` does not repeat the file's name."""

    file: str
    reason: str


@dataclass(frozen=True)
class Gathered:
    """What could be read of a folder: rows sorted by key, and the files that were left out."""

    rows: Sequence[Record] = ()
    faults: Sequence[Fault] = field(default_factory=tuple)


def committed_folder() -> Path:
    """The folder of the records that ship with this package."""
    return Path(__file__).parent / "records"


def gather(folder: Path) -> Gathered:
    """All records of a folder that can be trusted, and why the others are left out.

    Of two files of one row the first by name stands. An empty folder has no rows and no faults.

    Raises:
        RecordError: no such folder.
    """
    if not folder.is_dir():
        raise RecordError(f"{folder}: no such folder of records; `bench run` makes records")
    found: dict[tuple[str, str, str, str], tuple[str, Record]] = {}
    faults: list[Fault] = []
    for path in sorted(folder.glob("*.json")):
        try:
            record = records.read(path)
        except RecordError as error:
            faults.append(Fault(path.name, str(error).removeprefix(f"{path}: ")))
            continue
        if record.key in found:
            faults.append(Fault(path.name, f"the row {' / '.join(record.key)} is already in {found[record.key][0]}"))
            continue
        found[record.key] = (path.name, record)
    return Gathered([found[key][1] for key in sorted(found)], faults)


def read_rows(folder: Path) -> list[Record]:
    """All records of a folder, sorted by key.

    Raises:
        RecordError: no such folder, no record in it, a record that cannot be trusted, or two of one row.
    """
    gathered = gather(folder)
    if gathered.faults:
        first = gathered.faults[0]
        raise RecordError(f"{folder / first.file}: {first.reason}")
    if not gathered.rows:
        raise RecordError(f"{folder}: no records there; `bench run` makes records")
    return list(gathered.rows)
