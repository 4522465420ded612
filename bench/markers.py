"""Generated blocks in hand-written files: what stands between `<!-- NAME:start -->` and `<!-- NAME:end -->`."""

from __future__ import annotations

from pathlib import Path

from bench.cache import replacing
from bench.errors import BenchError


def between(old: str, name: str, text: str) -> str:
    """`old` with what stands between the markers `name` replaced; a second time changes nothing.

    An empty line follows and precedes the markers, since Markdown may read a table next to a comment as a part
    of it. Line ends are those of `old`.

    Raises:
        BenchError: a marker is missing, stands twice, or the end comes first.
    """
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    for marker in (start, end):
        if old.count(marker) != 1:
            raise BenchError(f"expected one line {marker}, got {old.count(marker)}")
    head, rest = old.split(start)
    if end not in rest:
        raise BenchError(f"expected {start} before {end}")
    newline = "\r\n" if "\r\n" in old else "\n"
    lines = ["", "", *text.strip("\n").splitlines(), "", ""]
    return head + start + newline.join(lines) + end + rest.split(end)[1]


def block(path: Path, name: str) -> str:
    """What stands between the markers `name` of the file at `path`; "" where there is no such file or block."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    return text.partition(f"<!-- {name}:start -->")[2].partition(f"<!-- {name}:end -->")[0].strip()


def replace_block(path: Path, name: str, text: str) -> None:
    """Put `text` between the markers `name` of the file at `path`, all or nothing; its mode and markers stay.

    Raises:
        BenchError: the file cannot be read or written, or as in `between`.
    """
    target = path.resolve()
    try:
        # bytes, so that line ends stay what they are
        old = target.read_bytes().decode("utf-8")
        mode = target.stat().st_mode & 0o777
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BenchError(f"{path}: expected UTF-8 text") from error
    try:
        new = between(old, name, text)
    except BenchError as error:
        raise BenchError(f"{path}: {error}") from error
    if new == old:
        return
    with replacing(target) as temporary:
        temporary.write_bytes(new.encode("utf-8"))
        temporary.chmod(mode)
