"""Any directory tree of .wav, .flac and .ogg files as a dataset: `--dataset folder:PATH`.

`PATH/transcripts.tsv` is optional: id, path relative to PATH, text and, optionally, speaker, separated by
tabs; a header with these names is optional too. The speaker of a file is told by, in this order, the speaker
column; names such as `84-121123-0000` (LibriSpeech) or `84_121123_000007_000001` (LibriTTS); the directory
nearest to the files whose name differs between them; otherwise it is unknown and each utterance is its own.

Every file is decoded and checked once, when the dataset is opened.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import cast, get_args

import numpy as np

from bench.cache import digest
from bench.contract import Split, Utterance
from bench.datasets.audio import SUFFIXES, UnusableAudio, decode, load, read_bytes
from bench.datasets.splits import split_groups
from bench.datasets.transcripts import FILE_NAME as TRANSCRIPTS
from bench.datasets.transcripts import Line, composed, read_transcripts
from bench.errors import DataError

log = logging.getLogger(__name__)

MIN_FILES = 3
CORPUS_NAME = re.compile(r"(\d+)(-\d+-\d+|_\d+_\d+_\d+)")


class Folder:
    """Dataset plug-in `folder`.

    Splits are speaker-disjoint where at least 3 speakers are known, and over utterances otherwise.

    Args:
        argument: a directory.
        progress: called with (what, files checked, files in all).

    Attributes:
        speakers_disjoint: whether no speaker of the test split is known to speak in the training split.

    Raises:
        DataError: not a directory, no audio, fewer than 3 usable files, or a malformed `transcripts.tsv`.
    """

    def __init__(self, argument: str, progress: Callable[[str, int, int], None] = lambda *_: None) -> None:
        root = _directory(argument)
        self.name = f"folder:{composed(root.name) or 'root'}"
        self.grammar: Path | None = None
        self.refused: Mapping[str, str]
        self.converted: Mapping[str, int]
        files, refused = find_audio(root)
        if not files and not refused:
            raise DataError(f"{self.name}: expected {', '.join(SUFFIXES)} files, got none")
        lines = _matched(read_transcripts(root / TRANSCRIPTS), files, refused)
        sha256, converted = _check(files, refused, progress)
        self.refused, self.converted = dict(sorted(refused.items())), dict(sorted(converted.items()))
        if len(sha256) < MIN_FILES:
            first = next((f" ({name}: {why})" for name, why in self.refused.items()), "")
            raise DataError(f"{self.name}: expected at least {MIN_FILES} usable files, got {len(sha256)}{first}")
        ids = identifiers(sorted(sha256))
        speakers = tell_speakers(ids, {path: line.speaker for path, line in lines.items()})
        self.speakers_known = speakers is not None
        speakers = speakers or ids
        self.speakers_disjoint = len(set(speakers.values())) >= MIN_FILES
        groups = speakers if self.speakers_disjoint else ids
        if not self.speakers_disjoint:
            log.warning("%s: fewer than 3 speakers; the splits are over utterances and share speakers", self.name)
        split_of = split_groups(groups.values())
        self._utterances: dict[Split, list[Utterance]] = {split: [] for split in get_args(Split)}
        self._files = {ids[path]: (files[path], sha256[path]) for path in ids}
        for path, name in ids.items():
            split = cast(Split, split_of[groups[path]])
            text = lines[path].text if path in lines else None
            self._utterances[split].append(Utterance(name, speakers[path], split, text))
        self.digest = digest(
            [
                [u.id, u.speaker, u.split, u.text, self._files[u.id][1]]
                for split in sorted(self._utterances)
                for u in self._utterances[split]
            ]
        )

    def utterances(self, split: Split) -> Sequence[Utterance]:
        """Utterances in the order of their paths."""
        return self._utterances[split]

    def audio(self, utterance: Utterance, sample_rate: int) -> np.ndarray:
        """Samples (N,) float32.

        Raises:
            DataError: the file is gone or was changed since the dataset was opened.
        """
        if utterance.id not in self._files:
            raise DataError(f"{self.name}: no utterance {utterance.id!r}")
        path, sha256 = self._files[utterance.id]
        return load(path, sample_rate, sha256)


def find_audio(root: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Audio files below `root` by relative path (NFC, with slashes), and what was refused; no hidden files."""
    files: dict[str, Path] = {}
    refused: dict[str, str] = {}

    def unreadable(error: OSError) -> None:
        refused[composed(os.path.relpath(error.filename, root))] = "directory not readable"

    for folder, folders, names in os.walk(root, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or Path(name).suffix.lower() not in SUFFIXES:
                continue
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            key = composed(relative)
            if any("\ud800" <= c <= "\udfff" for c in relative):
                refused[key] = "its name is not UTF-8"
            elif key in files:
                refused[key] = "two files with this name"
            else:
                files[key] = path
    return files, refused


def identifiers(paths: Sequence[str]) -> dict[str, str]:
    """Path → id: the stem, or, where stems repeat, the path without or with its suffix.

    >>> identifiers(["a/1.wav", "b/2.wav"])
    {'a/1.wav': '1', 'b/2.wav': '2'}
    >>> identifiers(["a/1.wav", "b/1.wav"])
    {'a/1.wav': 'a/1', 'b/1.wav': 'b/1'}
    """
    for ids in (
        [PurePosixPath(path).stem for path in paths],
        [str(PurePosixPath(path).with_suffix("")) for path in paths],
        list(paths),
    ):
        if len(set(ids)) == len(ids):
            break
    return dict(zip(paths, ids, strict=True))


def tell_speakers(paths: Sequence[str] | Mapping[str, str], listed: Mapping[str, str | None]) -> dict[str, str] | None:
    """Path → speaker, or None where nothing tells; `listed` is what `transcripts.tsv` says.

    >>> tell_speakers(["84-1-1.wav", "9-1-1.wav"], {})
    {'84-1-1.wav': '84', '9-1-1.wav': '9'}
    >>> tell_speakers(["anna/wav/1.wav", "bert/wav/1.wav"], {})
    {'anna/wav/1.wav': 'anna', 'bert/wav/1.wav': 'bert'}
    """
    if all(listed.get(path) for path in paths):
        return {path: cast(str, listed[path]) for path in paths}
    if any(listed.values()):
        log.warning("%s: the speaker column leaves files out, so it is not used", TRANSCRIPTS)
    named = {path: CORPUS_NAME.fullmatch(PurePosixPath(path).stem) for path in paths}
    if all(named.values()):
        return {path: match.group(1) for path, match in named.items() if match}
    parents = {path: PurePosixPath(path).parent.parts for path in paths}
    for up in range(1, min(map(len, parents.values())) + 1):
        names = {path: parts[-up] for path, parts in parents.items()}
        if len(set(names.values())) > 1:
            return names
    return None


def _directory(argument: str) -> Path:
    if not argument:
        raise DataError("folder: expected folder:PATH, got no path")
    root = Path(argument).expanduser()
    if not root.exists():
        raise DataError(f"folder: no directory {argument!r}")
    if not root.is_dir():
        raise DataError(f"folder: expected a directory, got the file {argument!r}")
    return root.resolve()


def _matched(lines: Sequence[Line], files: Mapping[str, Path], refused: dict[str, str]) -> dict[str, Line]:
    """Path → its line, found by path, else by id; lines without a file are added to `refused`."""
    by_id = {name: path for path, name in identifiers(sorted(files)).items()}
    found: dict[str, Line] = {}
    for line in lines:
        path = str(PurePosixPath(line.path)) if line.path else ""
        path = path if path in files else by_id.get(line.id, "")
        if not path:
            refused.setdefault(line.id or line.path, f"in {TRANSCRIPTS}, but there is no such file")
        elif path in found:
            raise DataError(f"{TRANSCRIPTS}: {path} is listed twice")
        else:
            found[path] = line
    return found


def _check(
    files: Mapping[str, Path], refused: dict[str, str], progress: Callable[[str, int, int], None]
) -> tuple[dict[str, str], Counter[str]]:
    """Path → sha256 of every usable file, and counts of conversions; the others are added to `refused`."""
    sha256: dict[str, str] = {}
    converted: Counter[str] = Counter()
    seconds = 0.0
    for done, (path, file) in enumerate(files.items(), 1):
        progress("check files", done, len(files))
        try:
            data = read_bytes(file)
            recording = decode(data)
        except UnusableAudio as error:
            refused[path] = str(error)
            continue
        sha256[path] = hashlib.sha256(data).hexdigest()
        converted.update(recording.conversions)
        seconds += len(recording.samples) / recording.rate
    log.info("checked %d files: %d usable, %.1f min", len(files), len(sha256), seconds / 60)
    return sha256, converted
