"""Files that are there whole or not at all, also after the power went."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.cache import replacing
from bench.errors import CacheError

HINT = "; choose another with --out"


@contextmanager
def durable(path: Path) -> Iterator[Path]:
    """`replacing`, with the file and its name on the disk when the block has ended.

    Raises:
        CacheError: the folder cannot be written, or the disk is full.
    """
    with replacing(path, HINT) as temporary:
        yield temporary
        _sync(temporary)
    try:
        _sync(path.parent)
    except OSError as error:
        raise CacheError(f"cannot write {path.parent}: {error.strerror or error}{HINT}") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Put `data` into `path`, durably.

    Raises:
        CacheError: as `durable`.
    """
    with durable(path) as temporary:
        temporary.write_bytes(data)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
