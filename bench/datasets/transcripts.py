"""`transcripts.tsv`: what is said in the files of a folder, and by whom."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from bench.errors import DataError

FILE_NAME = "transcripts.tsv"
COLUMNS = ("id", "path", "text", "speaker")


@dataclass(frozen=True)
class Line:
    """One line of `transcripts.tsv`; an empty text or speaker is None."""

    id: str
    path: str
    text: str | None
    speaker: str | None


def read_transcripts(path: Path) -> list[Line]:
    """The lines of a `transcripts.tsv`; none where there is no such file.

    Raises:
        DataError: not UTF-8, or a line without 3 or 4 columns.
    """
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name}: expected UTF-8 text, got {type(error).__name__}") from error
    # not splitlines: a transcript may hold Unicode's own line separators
    rows = [row.rstrip("\r").split("\t") for row in text.split("\n")]
    columns: tuple[str, ...] = COLUMNS
    start = 0
    if {"id", "path", "text"} <= {cell.strip().lower() for cell in rows[0]}:
        columns, start = tuple(cell.strip().lower() for cell in rows[0]), 1
    lines = []
    for number, row in enumerate(rows[start:], start=start + 1):
        if not any(cell.strip() for cell in row):
            continue
        if not 3 <= len(row) <= max(len(columns), 3):
            raise DataError(f"{path.name} line {number}: expected {', '.join(columns)}, got {len(row)} columns")
        cells = {name: composed(cell.strip()) for name, cell in zip(columns, row, strict=False)}
        lines.append(
            Line(cells.get("id", ""), cells.get("path", ""), cells.get("text") or None, cells.get("speaker") or None)
        )
    return lines


def composed(name: str) -> str:
    """`name` in Unicode's composed form, with a replacement for bytes that are not UTF-8."""
    return unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode("utf-8"))
