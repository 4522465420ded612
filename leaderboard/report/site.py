"""The folder a site is written to: `index.html` goes first and comes back last, so that half a site has none.

A page is written beside its place and renamed. Media are named by their content, so that equal files are one.
What an earlier report left and this one has not is removed; what others put there stays.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path, PurePosixPath

from bench.errors import BenchError

INDEX = "index.html"
LISTING = "report-files.json"
MEDIA = "media"


class Site:
    """A site that is being written.

    Raises:
        BenchError: the folder cannot be made or written, or its index.html is not a report's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._earlier = self._listed()
            if (folder / INDEX).exists() and not (folder / LISTING).exists():
                raise BenchError(f"--html: {folder / INDEX} is not of a report; choose another folder")
            (folder / INDEX).unlink(missing_ok=True)
            self._made: set[Path] = set()
            self._media = folder / MEDIA
            self._media.mkdir(exist_ok=True)
            # what is there from now on is this one's, should it be killed
            self.write(LISTING, _listing(self._earlier))
        except OSError as error:
            raise self._refused(error) from error

    def write(self, name: str, content: str | bytes) -> None:
        """Write one file; `name` is relative, with slashes."""
        try:
            path = self.folder / name
            if path.parent not in self._made:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(path.parent)
            temporary = path.with_name(f".{path.name}.part")
            temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
            os.replace(temporary, path)
        except OSError as error:
            raise self._refused(error) from error
        self.files.add(name)

    def medium(self, content: bytes, suffix: str) -> str:
        """Keep a file under the name of its content and return that name."""
        name = f"{MEDIA}/{hashlib.sha256(content).hexdigest()[:32]}{suffix}"
        if name in self.files:
            return name
        path = f"{self._media}/{name[len(MEDIA) + 1 :]}"
        try:
            # a file of this name and size has this content; one that was cut short has another size
            if not os.path.exists(path) or os.path.getsize(path) != len(content):
                with open(path, "wb", buffering=0) as file:
                    file.write(content)
        except OSError as error:
            raise self._refused(error) from error
        self.files.add(name)
        return name

    def finish(self, index: str) -> None:
        """Remove what an earlier report left, list what is there, and write the index."""
        try:
            for name in sorted(self._earlier - self.files):
                (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise self._refused(error) from error
        self.write(LISTING, _listing((self.files | {INDEX}) - {LISTING}))
        self.write(INDEX, index)

    def _listed(self) -> set[str]:
        try:
            names = json.loads((self.folder / LISTING).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return set()
        return {n for n in names if isinstance(n, str) and _inside(n)} if isinstance(names, list) else set()

    def _refused(self, error: OSError) -> BenchError:
        return BenchError(f"--html: {self.folder} cannot be written: {error.strerror or error}")


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _listing(names: set[str]) -> str:
    return json.dumps(sorted(names), indent=0) + "\n"
