"""Generated blocks in hand-written files: what stands between `<!-- NAME:start -->` and `<!-- NAME:end -->`."""

from __future__ import annotations

from pathlib import Path

from bench.cache import replacing
from bench.errors import BenchError


def replace_block(path: Path, name: str, text: str) -> None:
    """Put `text` between the markers `name` of the file at `path`, atomically; the markers stay.

    Raises:
        BenchError: the file cannot be read, or lacks the two markers in order.
    """
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    try:
        old = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BenchError(f"{path}: expected UTF-8 text") from error
    head, found_start, rest = old.partition(start)
    _, found_end, tail = rest.partition(end)
    if not (found_start and found_end):
        raise BenchError(f"{path}: expected the markers {start} and {end}")
    with replacing(path.resolve()) as temporary:
        temporary.write_text(f"{head}{start}\n{text.strip()}\n{end}{tail}", encoding="utf-8")
