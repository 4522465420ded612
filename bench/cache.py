"""A content-addressed store: an entry's name is the digest of everything that decides its content.

An entry is written to a temporary file in the same directory and renamed, so that a reader sees all of it or
nothing, and a lock per entry lets two runs share one store without doing the work twice. Locks are the
operating system's: a killed process holds none. An entry that does not read back is made again.
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

from filelock import FileLock, Timeout

from bench.errors import CacheError

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)
T = TypeVar("T")
MISSING: Any = object()
"""What stands for no entry, since an entry may be null."""
MODE = 0o644
CHOOSE = "; choose another with --cache"


def default_root() -> Path:
    """$LATENTBENCH_CACHE, or latentbench under the user's cache directory."""
    named = os.environ.get("LATENTBENCH_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentbench"


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
def replacing(path: Path, hint: str = "") -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` when the block ends without an error.

    Args:
        path: what to write; others may read it (mode 0644).
        hint: added to the error's message.

    Raises:
        CacheError: the directory cannot be written, or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        os.close(handle)
        temporary.chmod(MODE)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise _explained("write", error, path, hint) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _explained(what: str, error: OSError, path: Path, hint: str) -> CacheError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CacheError(f"no space left on the disk of {path.parent}; nothing was left half-written")
    return CacheError(f"cannot {what} {path.parent}: {error.strerror or error}{hint}")


class Cache:
    """Entries of two forms, JSON values and dictionaries of tensors, under `root`.

    Attributes:
        made: how many entries this object had to make.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made = 0

    def path(self, kind: str, key: Mapping[str, Any], suffix: str) -> Path:
        """Where the entry of `key` lies; `kind` is a readable prefix."""
        name = digest(dict(key))
        return self.root / kind / name[:2] / f"{name}{suffix}"

    def json(self, kind: str, key: Mapping[str, Any], make: Callable[[], T]) -> T:
        """The JSON value of `key`, made once."""
        return self._entry(self.path(kind, key, ".json"), _read_json, _json_bytes, make)

    def tensors(self, kind: str, key: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The dictionary of tensors of `key`, made once."""
        return self._entry(self.path(kind, key, ".safetensors"), _read_tensors, _tensor_bytes, make)

    def named(self, kind: str, name: str) -> dict[str, Tensor] | None:
        """The dictionary of tensors whose key has the digest `name`; None where there is none, or a damaged one."""
        found = _try_read(self.root / kind / name[:2] / f"{name}.safetensors", _read_tensors)
        return None if found is MISSING else found

    def put_json(self, kind: str, key: Mapping[str, Any], value: Any) -> None:
        """Write an entry, whatever was there."""
        with replacing(self.path(kind, key, ".json"), CHOOSE) as temporary:
            temporary.write_bytes(_json_bytes(value))

    @contextmanager
    def _lock(self, path: Path) -> Iterator[None]:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path.with_name(path.name + ".lock"))
            try:
                lock.acquire(timeout=0)
            except Timeout:
                log.warning("another run is making what this one needs (%s); waiting for it", path.parent.parent.name)
                lock.acquire()
        except OSError as error:
            raise _explained("write", error, path, CHOOSE) from error
        except NotImplementedError as error:
            raise CacheError(f"{self.root}: this file system has no locks{CHOOSE}") from error
        try:
            yield
        finally:
            lock.release()

    def _entry(self, path: Path, read: Callable[[Path], T], as_bytes: Callable[[T], bytes], make: Callable[[], T]) -> T:
        found = _try_read(path, read)
        if found is not MISSING:
            return found
        with self._lock(path):
            found = _try_read(path, read)
            if found is not MISSING:
                return found
            for left_over in path.parent.glob(f".{path.stem}.*.tmp"):
                # under the lock nobody else writes here: a killed run left it
                left_over.unlink(missing_ok=True)
            value = make()
            # in memory first, so that a full disk is an OSError that says so, whatever the format
            data = as_bytes(value)
            with replacing(path, CHOOSE) as temporary:
                temporary.write_bytes(data)
            self.made += 1
            # what a later run reads back is what this run goes on with
            return read(path)


def _try_read(path: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(path)
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except OSError as error:
        raise _explained("read", error, path, CHOOSE) from error
    except Exception as error:  # a damaged entry is made anew, whatever damaged it
        log.warning("cache entry %s is damaged (%s); making it again", path, error)
        return MISSING


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _json_bytes(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


def _read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load

    return load(path.read_bytes())


def _tensor_bytes(value: dict[str, Tensor]) -> bytes:
    from safetensors.torch import save

    return save({name: tensor.contiguous() for name, tensor in value.items()})
