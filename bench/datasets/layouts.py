"""The folders in which LibriSpeech, LJ Speech and VCTK are published, read without any package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.datasets.folder import find_audio
from bench.datasets.options import Options
from bench.datasets.rows import Row
from bench.errors import DataError


@dataclass(frozen=True)
class Layout:
    """Rows by split, with paths below `root`, and what of them to take where nobody says."""

    root: Path
    splits: Mapping[str, Sequence[Row]]
    usual: Options


ALL = "all"
"""The split of a layout that has none."""


def librispeech(root: Path) -> Layout:
    """`[SUBSET/]SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac` and `SPEAKER-CHAPTER.trans.txt`.

    Subsets are train-clean-100, dev-clean, test-clean and so on; where these three are there they are the
    splits, since they share no speaker, and otherwise all that is there is split by speaker.

    Raises:
        DataError: a file that does not lie in a speaker's and a chapter's folder, or a transcript that is no text.
    """
    root = root / "LibriSpeech" if (root / "LibriSpeech").is_dir() else root
    texts: dict[str, str] = {}
    for listing in sorted(root.rglob("*.trans.txt")):
        for line in _lines(listing):
            one, _, text = line.partition(" ")
            texts[one] = text.strip()
    splits: dict[str, list[Row]] = {}
    for path in _files("librispeech", root):
        parts = path.parts
        if not 3 <= len(parts) <= 4:
            raise DataError(f"librispeech: expected [SUBSET/]SPEAKER/CHAPTER/FILE, got {path}")
        subset = parts[0] if len(parts) == 4 else ALL
        splits.setdefault(subset, []).append(Row(str(path), parts[-3], texts.get(path.stem) or None, path=str(path)))
    own = Options(train=("train-clean-100",), valid=("dev-clean",), test=("test-clean",))
    whole = {*own.train, *own.valid, *own.test} <= set(splits)
    return Layout(root, splits, own if whole else Options(split=tuple(splits)))


def ljspeech(root: Path) -> Layout:
    """`metadata.csv`, with id, transcript and normalised transcript between bars, and `wavs/ID.wav`.

    Recordings that it leaves out have no transcript.

    Raises:
        DataError: `metadata.csv` is missing, no text, or malformed.
    """
    root = root / "LJSpeech-1.1" if (root / "LJSpeech-1.1").is_dir() else root
    rows = []
    for number, line in enumerate(_lines(root / "metadata.csv"), 1):
        cells = line.split("|")
        if not 2 <= len(cells) <= 3:
            raise DataError(f"ljspeech: metadata.csv line {number}: expected id|text|normalised, got {line[:60]!r}")
        rows.append(Row(cells[0], "LJ", cells[-1].strip() or None, path=f"wavs/{cells[0]}.wav"))
    listed = {row.path for row in rows}
    unlisted = [f"wavs/{path}" for path in _files("ljspeech", root / "wavs") if f"wavs/{path}" not in listed]
    rows += [Row(PurePosixPath(path).stem, "LJ", path=path) for path in unlisted]
    return Layout(root, {ALL: rows}, Options(split=(ALL,)))


def vctk(root: Path) -> Layout:
    """`wav48_silence_trimmed/SPEAKER/SPEAKER_NUMBER_micN.flac` of version 0.92, or `wav48/…wav`, and `txt/…txt`.

    Of the two microphones of version 0.92, which hear the same utterances, the first is taken.

    Raises:
        DataError: neither folder is there, or a transcript is no text.
    """
    folder = next((name for name in ("wav48_silence_trimmed", "wav48") if (root / name).is_dir()), "")
    if not folder:
        raise DataError("vctk: expected a folder wav48_silence_trimmed or wav48, got neither")
    rows = []
    for path in _files("vctk", root / folder):
        sentence = root / "txt" / path.parent.name / f"{path.stem.partition('_mic')[0]}.txt"
        text = " ".join(_lines(sentence)).strip() if sentence.is_file() else ""
        rows.append(Row(str(path), path.parent.name, text or None, path=f"{folder}/{path}"))
    keep = "_mic1" if folder == "wav48_silence_trimmed" else ""
    return Layout(root, {ALL: rows}, Options(split=(ALL,), keep=keep))


def _files(who: str, root: Path) -> list[PurePosixPath]:
    files, _ = find_audio(root)
    if not files:
        raise DataError(f"{who}: expected audio files below {root.name}, got none")
    return [PurePosixPath(path.relative_to(root).as_posix()) for _, path in sorted(files.items())]


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name}: expected UTF-8 text, got {type(error).__name__}") from error
