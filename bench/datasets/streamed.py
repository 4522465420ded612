"""Rows of Hugging Face `datasets`, streamed: one at a time, nothing downloaded or converted as a whole.

Audio stays the bytes that are stored; `bench.datasets.audio` decodes it.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.datasets.options import ALWAYS, NONE, Options
from bench.datasets.rows import Described, Row
from bench.datasets.unreadable import needed, reading
from bench.errors import DataError

SPEAKERS = ("speaker_id", "speaker", "client_id", "json.speaker_id", "json.speaker")
TEXTS = ("text", "transcript", "transcription", "sentence", "txt", "json.text")
IDS = ("id", "utterance_id", "__key__", "file_name", "file")
"""Usual names of columns, likeliest first. Without a column for ids, the path of the audio is taken."""

FEW = 64
"""Up to so many files are read by row group: whole ones are read ahead of their use, into memory. To find the row
groups takes a request a file, and where there are more files they are small."""


class Streamed:
    """What `datasets.load_dataset(**loading(), streaming=True)` gives.

    Args:
        who: the dataset, for errors.
        loading: gives what is loaded, when it is first needed.
        options: its columns.
        root: of local files, where audio is stored as paths.
        folder: for the lock files of the package.
    """

    def __init__(
        self,
        who: str,
        loading: Callable[[], Mapping[str, Any]],
        options: Options,
        folder: Path,
        root: Path | None = None,
    ) -> None:
        self.who, self.options, self.root = who, options, root
        self._loading, self._folder = loading, folder
        self._opened: Mapping[str, Any] | None = None

    def described(self) -> Described:
        """Splits, and the columns of the first.

        Raises:
            DataError: it cannot be opened, or lacks a column.
        """
        splits = self._splits()
        with reading(self.who):
            sizes = {name: _size(stream, name) for name, stream in splits.items()}
        return Described(sizes, self._columns(next(iter(splits.values()))))

    def rows(self, split: str, state: Any) -> Iterator[tuple[Row, Callable[[], Any]]]:
        """Rows of a split, from a state that this gave before.

        Raises:
            DataError: it cannot be read, or lacks a column.
        """
        stream = self._splits()[split]
        columns = self._columns(stream)
        decode = _labels(stream.features)
        with reading(self.who):
            tops = dict.fromkeys(name.partition(".")[0] for name in columns.values() if not name.startswith(ALWAYS))
            if stream.num_shards <= FEW:
                stream = stream.reshard()
            stream = stream.select_columns(list(tops)).cast_column(columns["audio"], _stored())
            if state is not None:
                stream.load_state_dict(state)
        for values in self._quiet(iter(stream)):
            cell = {what: _cell(values, name, decode) for what, name in columns.items() if what != "audio"}
            data, path = self._audio(_at(values, columns["audio"]))
            local = self._below(path) if data is None else ""
            name = cell.get("id") or local or path
            yield Row(name, cell.get("speaker"), cell.get("text"), data, local), stream.state_dict

    def _splits(self) -> Mapping[str, Any]:
        if self._opened is None:
            package = _package(self.who)
            with reading(self.who), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._opened = package.load_dataset(**self._loading(), streaming=True, cache_dir=str(self._folder))
        return self._opened

    def _columns(self, stream: Any) -> dict[str, str]:
        """Purpose → column; "audio" is always there."""
        there = _leaves(stream.features or {})
        sounds = [name for name, feature in there.items() if type(feature).__name__ == "Audio"]
        wanted = self.options
        usual = {"audio": (*sounds[:1], "audio"), "speaker": SPEAKERS, "text": TEXTS, "id": IDS}
        found = {}
        for what, names in usual.items():
            asked = getattr(wanted, what)
            if asked and asked != NONE and asked not in there and not asked.startswith(ALWAYS):
                raise DataError(f"{self.who}: no column {asked!r} for {what}; there are: {', '.join(there) or 'none'}")
            named = asked or next((name for name in names if name in there), "")
            if named and named != NONE:
                found[what] = named
        if "audio" not in found:
            raise DataError(
                f"{self.who}: no column of audio, say audio=COLUMN; there are: {', '.join(there) or 'none'}"
            )
        return found

    def _quiet(self, rows: Iterator[Any]) -> Iterator[Any]:
        """Each row, with errors in one line and without the warnings of the packages that read it."""
        end = object()
        while True:
            with reading(self.who), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                row = next(rows, end)
            if row is end:
                return
            yield row

    def _audio(self, value: Any) -> tuple[bytes | None, str]:
        """The bytes, where the row holds them or they lie on the hub, and the path."""
        if isinstance(value, bytes):
            return value, ""
        data, path = (value or {}).get("bytes"), (value or {}).get("path") or ""
        if data is None and "://" in path:
            with reading(self.who):
                from datasets.utils.file_utils import xopen

                with xopen(path, "rb") as file:
                    data = file.read()
        return data, path

    def _below(self, path: str) -> str:
        """A local path relative to the root; empty where it leads elsewhere, so that the row is refused."""
        if not path or self.root is None:
            return ""
        with contextlib.suppress(ValueError):
            return Path(os.path.abspath(path)).relative_to(self.root).as_posix()
        return ""


def _package(who: str) -> Any:
    """The package `datasets`, silenced."""
    with needed(who), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import datasets
    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity(datasets.utils.logging.CRITICAL)
    return datasets


def _stored() -> Any:
    """A feature that hands audio on as it is stored."""
    from datasets import Audio

    class Stored(Audio):  # type: ignore[misc]
        # Audio imports torchcodec here even where nothing is decoded
        def encode_example(self, value: Any) -> Any:
            return value if isinstance(value, dict) else {"bytes": None, "path": value}

    return Stored(decode=False)


def _size(stream: Any, split: str) -> int:
    known = (stream.info.splits or {}).get(split)
    return int(known.num_examples or 0) if known is not None else 0


def _leaves(features: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Columns by name, nested ones as `outer.inner`."""
    found: dict[str, Any] = {}
    for name, feature in features.items():
        if isinstance(feature, Mapping):
            found |= _leaves(feature, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = feature
    return found


def _labels(features: Mapping[str, Any]) -> dict[str, Callable[[Any], str]]:
    """Columns that hold the number of a class → its name."""
    return {name: feature.int2str for name, feature in _leaves(features).items() if hasattr(feature, "int2str")}


def _at(values: Mapping[str, Any], name: str) -> Any:
    value: Any = values
    for part in [name] if name in values else name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _cell(values: Mapping[str, Any], name: str, decode: Mapping[str, Callable[[Any], str]]) -> str | None:
    if name.startswith(ALWAYS):
        return name.removeprefix(ALWAYS)
    value = _at(values, name)
    if value is None or (isinstance(value, Mapping | Sequence) and not isinstance(value, str)):
        return None
    return (decode[name](value) if name in decode else str(value)).strip() or None
