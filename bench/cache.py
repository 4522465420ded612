"""A content-addressed store: an entry's name is the digest of everything that decides its content.

An entry is written to a temporary file in the same directory and renamed, so that a reader sees all of it or
nothing, and a lock per entry lets two runs share one store without doing the work twice. Locks are the
operating system's: a killed process holds none.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from filelock import FileLock

from bench.errors import CacheError

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)
T = TypeVar("T")


def digest(value: Any) -> str:
    """sha256 of a JSON-able value, independent of key order.

    >>> digest({"a": 1, "b": [2, 3]}) == digest({"b": [2, 3], "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _sha256(file)


def _sha256(file: Any) -> str:
    state = hashlib.sha256()
    while block := file.read(1 << 20):
        state.update(block)
    return state.hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` when the block ends without an error.

    Raises:
        CacheError: the directory cannot be written, or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _explained(error: OSError, path: Path) -> CacheError:
    if error.errno == errno.ENOSPC:
        return CacheError(f"no space left on the disk of {path.parent}; nothing was left half-written")
    return CacheError(f"cannot write {path.parent}: {error.strerror or error}; choose another with --cache")


class Cache:
    """Entries of two forms, JSON values and dictionaries of tensors, under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, kind: str, key: Mapping[str, Any], suffix: str) -> Path:
        """Where the entry of `key` lies; `kind` is a readable prefix."""
        name = digest(dict(key))
        return self.root / kind / name[:2] / f"{name}{suffix}"

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Hold the entry's lock."""
        lock_path = path.with_name(path.name + ".lock")
        try:
            lock_path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(lock_path)
            lock.acquire()
        except OSError as error:
            raise _explained(error, path) from error
        try:
            yield
        finally:
            lock.release()

    def json(self, kind: str, key: Mapping[str, Any], make: Callable[[], T]) -> T:
        """The JSON value of `key`, made once."""
        path = self.path(kind, key, ".json")
        return self._entry(path, _read_json, _write_json, make)

    def tensors(self, kind: str, key: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The dictionary of tensors of `key`, made once."""
        path = self.path(kind, key, ".safetensors")
        return self._entry(path, _read_tensors, _write_tensors, make)

    def _entry(
        self, path: Path, read: Callable[[Path], T], write: Callable[[T, Path], None], make: Callable[[], T]
    ) -> T:
        found = _try_read(path, read)
        if found is not None:
            return found
        with self.lock(path):
            found = _try_read(path, read)
            if found is not None:
                return found
            value = make()
            with replacing(path) as temporary:
                write(value, temporary)
            # what a later run reads back is what this run goes on with
            return read(path)


def _try_read(path: Path, read: Callable[[Path], T]) -> T | None:
    try:
        return read(path)
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged entry is made anew, whatever damaged it
        log.warning("cache entry %s is damaged (%s); making it again", path, error)
        return None


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write_json(value: Any, path: Path) -> None:
    path.write_text(json.dumps(value, allow_nan=False), encoding="utf-8")


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.exists():
        raise FileNotFoundError(path)
    from safetensors.torch import load_file

    return load_file(path)


def _write_tensors(value: dict[str, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in value.items()}, path)
