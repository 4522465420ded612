"""Local files in the forms of Hugging Face `datasets`: `--dataset audiofolder:PATH`, `parquet:`, `webdataset:`.

An audiofolder is a directory of audio files, with `metadata.csv` (`file_name`, and columns such as `speaker_id`
and `text`) if there is one; a WebDataset is tar files whose members share a stem, `a.flac`, `a.txt`, `a.json`.
PATH is a directory, or one file. Splits are told by names, as that package does. Keys: `bench.datasets.options`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from bench.cache import default_root, file_digest
from bench.datasets.loaded import Loaded, Opened
from bench.datasets.options import Options, read
from bench.datasets.streamed import Streamed
from bench.datasets.transcripts import composed
from bench.errors import DataError


class Files(Loaded):
    """A dataset of local files.

    Args:
        argument: PATH[,key=value…].
        progress: called with (what, files or rows read, files or rows in all).
        cache: the cache directory, to which audio goes that is no file of its own; None: the user's.

    Attributes:
        KIND: what the package calls it, and the name of the plug-in.
        SUFFIXES: of its files; none: all files.

    Raises:
        DataError: no such path, no such files, files that are damaged, or no such split or column.
    """

    KIND: ClassVar[str]
    SUFFIXES: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, argument: str, progress: Callable[[str, int, int], None] = lambda *_: None, cache: Path | None = None
    ) -> None:
        place, options, written = read(self.KIND, argument)
        path = existing(self.KIND, place)
        opened = of_files(self.KIND, self.KIND, path, self.SUFFIXES, options, written, cache, progress)
        super().__init__(opened, cache, progress)


class AudioFolder(Files):
    """Dataset plug-in `audiofolder`."""

    KIND = "audiofolder"


class Parquet(Files):
    """Dataset plug-in `parquet`."""

    KIND = "parquet"
    SUFFIXES = (".parquet",)


class WebDataset(Files):
    """Dataset plug-in `webdataset`."""

    KIND = "webdataset"
    SUFFIXES = (".tar",)


def existing(who: str, place: str) -> Path:
    """The path of that name.

    Raises:
        DataError: there is none.
    """
    if not place:
        raise DataError(f"{who}: expected {who}:PATH, got no path")
    path = Path(os.path.abspath(Path(place).expanduser()))
    if not path.exists():
        raise DataError(f"{who}: no file or directory {place!r}")
    return path


def of_files(
    name: str,
    kind: str,
    path: Path,
    suffixes: tuple[str, ...],
    options: Options,
    written: str,
    cache: Path | None,
    progress: Callable[[str, int, int], None],
) -> Opened:
    """What is read of local files that the package calls `kind`.

    Raises:
        DataError: there are no such files.
    """
    shown = f"{name}:{named(path)}{written}"
    root = path if path.is_dir() else path.parent
    files = [path] if path.is_file() else _below(root, suffixes)
    if not files:
        raise DataError(f"{shown}: expected {', '.join(suffixes) or 'audio'} files, got none")
    where = {"data_dir": str(path)} if path.is_dir() else {"data_files": str(path)}
    source = Streamed(shown, lambda: {"path": kind, **where}, options, (cache or default_root()) / "hub", root)
    return Opened(shown, source, {"kind": kind, "files": hashed(root, files, progress)}, options)


def named(path: Path) -> str:
    """What records show of a local path: nothing of where it lies."""
    return composed(path.name) or "root"


def hashed(root: Path, files: Sequence[Path], progress: Callable[[str, int, int], None]) -> dict[str, str]:
    """Path below `root` → sha256; "" for a file that is not readable, which is told where it is read."""
    found = {}
    for done, path in enumerate(files, 1):
        progress("hash files", done, len(files))
        try:
            found[path.relative_to(root).as_posix()] = file_digest(path)
        except OSError:
            found[path.relative_to(root).as_posix()] = ""
    return found


def _below(root: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files below `root` in a fixed order; no hidden ones."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
    return [path for path in found if not suffixes or path.suffix.lower() in suffixes]
