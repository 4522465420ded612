"""Writes the table between two markers of a file and leaves the rest of the file alone."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bench.errors import BenchError

START = "<!-- leaderboard:start -->"
END = "<!-- leaderboard:end -->"


def between(text: str, body: str) -> str:
    """`text` with what stands between the markers replaced; a second time changes nothing.

    Raises:
        BenchError: a marker is missing, stands twice, or the end comes first.
    """
    for marker in (START, END):
        if text.count(marker) != 1:
            raise BenchError(f"expected one line {marker}, got {text.count(marker)}")
    before, rest = text.split(START)
    if END not in rest:
        raise BenchError(f"expected {START} before {END}")
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = ["", "", *body.strip("\n").splitlines(), "", ""]
    return before + START + newline.join(lines) + END + rest.split(END)[1]


def write_between(path: Path, body: str) -> None:
    """Replace what stands between the markers of a file, all or nothing.

    Raises:
        BenchError: the file cannot be read or written, or as in `between`.
    """
    target = path.resolve()
    try:
        text = target.read_bytes().decode("utf-8")
        mode = target.stat().st_mode & 0o777
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"{path}: {error}") from error
    try:
        new = between(text, body)
    except BenchError as error:
        raise BenchError(f"{path}: {error}") from error
    if new == text:
        return
    name = ""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(new.encode("utf-8"))
        Path(name).chmod(mode)
        os.replace(name, target)
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise BenchError(f"{path}: {error.strerror or error}") from error
