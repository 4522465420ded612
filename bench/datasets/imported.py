"""A dataset is read once, row by row, into the cache: audio by its sha256, and what is known of it in parts.

Whatever is not a file of its own already (rows of Parquet, members of a tar, the hub) is stored as it comes,
compressed as it was. A part is written when its rows are, so that a killed run goes on from the last one.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import soundfile as sf

from bench.cache import CHOOSE, Cache, digest, replacing
from bench.datasets.audio import UnusableAudio, decode, read_bytes
from bench.datasets.options import Options
from bench.datasets.rows import Described, Row, Source
from bench.fingerprint import source_digest

PART = 256
"""Rows of a part: what a killed run can lose."""
FORMAT = 1
"""Of parts; to be raised when the same rows are read as something else, so that nothing old is taken for it."""


@dataclass(frozen=True)
class Entry:
    """A recording that can be used; `path` is empty where its bytes lie in the cache."""

    name: str
    speaker: str | None
    text: str | None
    path: str
    sha256: str
    seconds: float
    conversions: tuple[str, ...]


class Imported:
    """The rows of a source, checked.

    Args:
        key: what decides the source's rows.
        options: which of them are taken.
        progress: called with (what, rows read, rows in all); the latter is the former where nobody knows it.
    """

    def __init__(
        self,
        source: Source,
        key: Any,
        options: Options,
        cache: Cache,
        progress: Callable[[str, int, int], None],
    ) -> None:
        self._source, self._options, self._cache, self._progress = source, options, cache, progress
        limits = [options.keep, None if options.minutes == float("inf") else options.minutes, options.per_speaker]
        columns = [options.audio, options.speaker, options.text, options.id]
        # what is refused, and why, is the decoder's word
        decoder = [source_digest(decode.__module__), sf.__libsndfile_version__]
        self.key = digest([FORMAT, key, columns, limits, decoder])

    def described(self) -> Described:
        """The source's splits and columns."""

        def make() -> dict[str, Any]:
            found = self._source.described()
            return {"splits": dict(found.splits), "columns": dict(found.columns)}

        return Described(**self._cache.json("datasets", {"import": self.key}, make))

    def split(self, name: str, size: int) -> tuple[list[Entry], dict[str, str]]:
        """What can be used of a split, in its order, and what is refused: name → reason.

        Raises:
            DataError: the source cannot be read.
            CacheError: the cache cannot be written.
        """
        entries: list[Entry] = []
        refused: dict[str, str] = {}
        reader = _Reader(self._source, name, self._options, self._checked, partial(self._told, name, size))
        part: dict[str, Any] = {"state": None, "rows": 0, "done": False}
        while not part["done"]:
            key = {"import": self.key, "split": name, "rows": part["rows"]}
            make = partial(reader.part, part, tuple(entries))
            part = self._cache.json("datasets", key, make)
            found = [Entry(**{**one, "conversions": tuple(one["conversions"])}) for one in part["entries"]]
            if not all(entry.path or self.stored(entry.sha256).exists() for entry in found):
                make()  # somebody deleted audio from the cache
            entries += found
            refused |= dict(part["refused"])
        return entries, refused

    def file(self, entry: Entry) -> Path:
        """Where the audio of an entry lies."""
        return self._source.root / entry.path if entry.path and self._source.root else self.stored(entry.sha256)

    def stored(self, sha256: str) -> Path:
        """Where audio with this content lies in the cache."""
        return self._cache.root / "audio" / sha256[:2] / sha256

    def _told(self, name: str, size: int, rows: int) -> None:
        self._progress(f"read {name}", rows, max(size, rows))

    def _checked(self, row: Row) -> Entry:
        data, root = row.data, self._source.root
        if data is None and row.path and root is not None:
            data = read_bytes(root / row.path)
        if data is None:
            raise UnusableAudio("no audio")
        recording = decode(data)
        sha256 = hashlib.sha256(data).hexdigest()
        place = self.stored(sha256)
        if row.data is not None and not place.exists():
            with replacing(place, CHOOSE) as temporary:
                temporary.write_bytes(data)
        seconds = len(recording.samples) / recording.rate
        path = row.path if row.data is None else ""
        return Entry(row.name, row.speaker, row.text, path, sha256, seconds, recording.conversions)


class _Reader:
    """Reads parts of a split one after the other; opens the source again only where one was cached in between.

    Args:
        checked: stores a row's audio and says what it is, or raises `UnusableAudio`.
        told: called with the number of rows read.
    """

    def __init__(
        self,
        source: Source,
        split: str,
        options: Options,
        checked: Callable[[Row], Entry],
        told: Callable[[int], None],
    ) -> None:
        self._source, self._split, self._options = source, split, options
        self._checked, self._told = checked, told
        self._rows: Iterator[tuple[Row, Callable[[], Any]]] = iter(())
        self._state: Any = None

    def part(self, before: Mapping[str, Any], taken: Sequence[Entry]) -> dict[str, Any]:
        """The part after `before`; `taken` is what all parts up to there hold."""
        state = before["state"]
        if state is None or state != self._state:
            self._rows = self._source.rows(self._split, state)
        left = self._options.minutes * 60 - sum(entry.seconds for entry in taken)
        voices = Counter(entry.speaker for entry in taken)
        entries: list[Entry] = []
        refused: list[tuple[str, str]] = []
        rows, state = before["rows"], None
        for found, after in islice(self._rows, PART):
            row = found if found.name else replace(found, name=f"{self._split}-{rows:06d}")
            rows, state = rows + 1, after
            self._told(rows)
            if not self._wanted(row, voices):
                continue
            try:
                entry = self._checked(row)
            except UnusableAudio as error:
                refused.append((row.name, str(error)))
                continue
            entries.append(entry)
            voices[row.speaker] += 1
            left -= entry.seconds
            if left <= 0:
                break
        done = left <= 0 or rows < before["rows"] + PART
        self._state = None if done or state is None else state()
        return {
            "entries": [asdict(entry) for entry in entries],
            "refused": refused,
            "rows": rows,
            "state": self._state,
            "done": done,
        }

    def _wanted(self, row: Row, voices: Counter[str | None]) -> bool:
        options = self._options
        if options.keep and not re.search(options.keep, row.name):
            return False
        return not options.per_speaker or row.speaker is None or voices[row.speaker] < options.per_speaker
