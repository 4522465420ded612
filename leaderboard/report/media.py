"""Samples of a row: its manifest, and audio and thumbnails brought into the site.

A row's samples lie in RECORDS/samples/STEM, STEM being the name of its record's file, with a manifest.json. Nothing of
it is trusted: paths stay inside the folder, and what is not audio or PNG by name and first bytes is not taken.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.record import Record
from leaderboard.report.site import Site
from leaderboard.text import plain

SAMPLES = "samples"
MANIFEST = "manifest.json"
AUDIO: Mapping[str, tuple[bytes, ...]] = {
    ".flac": (b"fLaC",),
    ".wav": (b"RIFF",),
    ".ogg": (b"OggS",),
    ".opus": (b"OggS",),
    ".mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"),
}
PICTURES: Mapping[str, tuple[bytes, ...]] = {".png": (b"\x89PNG\r\n\x1a\n",)}
MODES = ("original", "codec", "posterior", "prior", "resampled", "continuation", "text")
"""The order of known modes; others follow by name."""


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    mode: str
    utterance: str
    thumbnail: str = ""


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    about: dict[str, Any] = {}
    files: dict[str, _File]


@dataclass(frozen=True)
class Clip:
    """One file of a row. `audio` and `thumbnail` are names in the site, "" where `missing` or `blank` says why."""

    mode: str
    utterance: str
    audio: str = ""
    thumbnail: str = ""
    missing: str = ""
    blank: str = ""


@dataclass(frozen=True)
class Samples:
    """What a row lets hear. `fault`: why there is nothing although there is a folder; `texts`: utterance → words."""

    clips: Mapping[str, Mapping[str, Clip]] = field(default_factory=dict)
    """Utterance → mode → clip."""
    texts: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""


def rank(mode: str) -> tuple[int, str]:
    """What sorts modes from what was recorded to what was made."""
    return (MODES.index(mode) if mode in MODES else len(MODES), mode)


def samples(record: Record, records: Path, site: Site) -> Samples:
    """The samples of a row, copied into the site; empty where there is no folder of them."""
    folder = records / SAMPLES / record.filename.removesuffix(".json")
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        manifest = _Manifest.model_validate_json(text)
    except FileNotFoundError:
        return Samples(fault=f"{MANIFEST} is missing" if folder.is_dir() else "")
    except OSError as error:
        # a name that no file system takes has no folder
        return Samples(fault="" if not _there(folder) else f"{MANIFEST} cannot be read: {error.strerror or error}")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return Samples(fault=plain(f"{MANIFEST} is damaged: {where + ': ' if where else ''}{first['msg']}"))
    except ValueError:
        return Samples(fault=f"{MANIFEST} is damaged: not UTF-8")
    clips: dict[str, dict[str, Clip]] = {}
    taking = _Folder(folder, site)
    for name, entry in manifest.files.items():
        clips.setdefault(entry.utterance, {})[entry.mode] = taking.clip(name, entry)
    texts = manifest.about.get("texts")
    spoken = {u: t for u, t in texts.items() if isinstance(t, str)} if isinstance(texts, dict) else {}
    return Samples({u: dict(sorted(c.items(), key=lambda m: rank(m[0]))) for u, c in sorted(clips.items())}, spoken)


def _there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:
        return False


class _Folder:
    """A row's folder of samples, from which files are taken into the site."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.folder, self.site = str(folder), site
        self.root = os.path.realpath(folder)
        self.inside: dict[str, bool] = {}

    def clip(self, name: str, entry: _File) -> Clip:
        """The clip of one entry of the manifest."""
        audio, missing = self.taken(name, AUDIO)
        thumbnail, blank = self.taken(entry.thumbnail, PICTURES) if entry.thumbnail else ("", "no thumbnail")
        return Clip(entry.mode, entry.utterance, audio, thumbnail, missing, blank)

    def taken(self, name: str, kinds: Mapping[str, tuple[bytes, ...]]) -> tuple[str, str]:
        """The file's name in the site, or "" and why it is not there."""
        suffix = os.path.splitext(name)[1].lower()
        if suffix not in kinds:
            return "", f"expected {', '.join(kinds)}, got {plain(name, 80)}"
        try:
            if not self._inside(name):
                return "", "a path outside the folder of samples"
            # of the file itself no link is followed
            with open(os.open(f"{self.folder}/{name}", os.O_RDONLY | os.O_NOFOLLOW), "rb", buffering=0) as file:
                content = file.readall()
        except (OSError, ValueError):
            return "", f"{plain(name, 80)} is missing"
        if not content.startswith(kinds[suffix]):
            return "", f"{plain(name, 80)} is not a {suffix[1:]} file"
        return self.site.medium(content, suffix), ""

    def _inside(self, name: str) -> bool:
        """Whether the directory of a file lies in the folder, links resolved; once a directory."""
        home = os.path.dirname(name)
        if home not in self.inside:
            real = os.path.realpath(f"{self.folder}/{home}")
            self.inside[home] = os.path.commonpath([self.root, real]) == self.root
        return self.inside[home]
