"""What a submission made, as waveforms: kept exactly as they were scored, so that they can be scored again.

A waveform is (N,) int16. Whatever a decoder gives is brought to it first and scored after, so that the FLAC file, the
cache and the scores speak of the same samples. Kept files lie in FOLDER/MODE/ID.flac, and FOLDER/manifest.json says
of each what it is, its sample rate, and the digest of its samples. Beside each stands a picture of it, MODE/ID.png,
which the manifest names; it is in no digest, and a folder without pictures is whole.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile as sf

from bench.cache import replacing
from bench.errors import BenchError, DataError, PluginError, RecordError
from bench.thumbnails import png

Waveform = npt.NDArray[np.int16]
Outputs = dict[str, dict[str, Waveform]]
"""Mode → utterance id → waveform."""
MANIFEST = "manifest.json"
FULL_SCALE = 32767


def quantised(audio: npt.ArrayLike, who: str) -> Waveform:
    """Audio (N,) in [−1, 1] as it is kept; what is beyond is clipped, as in any file.

    Raises:
        PluginError: NaN or infinite samples.
    """
    samples = np.asarray(audio, dtype=np.float64)
    if not np.isfinite(samples).all():
        raise PluginError(
            f"{who}: expected finite audio, got {int((~np.isfinite(samples)).sum())} samples that are not"
        )
    return np.round(np.clip(samples, -1.0, 1.0) * FULL_SCALE).astype(np.int16)


def as_float(waveform: Waveform) -> npt.NDArray[np.float64]:
    """(N,) in [−1, 1]."""
    return waveform / FULL_SCALE


def waveform_digest(waveform: Waveform) -> str:
    """sha256 of the samples, little-endian."""
    return hashlib.sha256(waveform.astype("<i2").tobytes()).hexdigest()


@dataclass(frozen=True)
class Kept:
    """Waveforms of a folder, and what its manifest says about all of them."""

    outputs: Outputs
    rate: int
    about: Mapping[str, Any]


def keep(folder: Path, outputs: Outputs, rate: int, about: Mapping[str, Any]) -> None:
    """Write FLAC files and their manifest; the manifest comes last, so that a folder with one is whole.

    Args:
        rate: sample rate in Hz.
        about: JSON values that stand in the manifest beside the files (row, command, texts).

    Raises:
        CacheError: the folder cannot be written.
    """
    files: dict[str, dict[str, Any]] = {}
    for mode, waveforms in outputs.items():
        for name, waveform in waveforms.items():
            path = f"{mode}/{_file_name(name)}.flac"
            buffer = io.BytesIO()
            sf.write(buffer, waveform, rate, format="FLAC", subtype="PCM_16")
            with replacing(folder / path) as temporary:
                temporary.write_bytes(buffer.getvalue())
            files[path] = {"mode": mode, "utterance": name, "sha256": waveform_digest(waveform)}
            _illustrate(folder, path, files[path], waveform)
    _tell(folder, {"about": dict(about), "sample_rate": rate, "files": files})


def _tell(folder: Path, manifest: Mapping[str, Any]) -> None:
    with replacing(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _illustrate(folder: Path, path: str, entry: dict[str, Any], waveform: Waveform) -> bool:
    """Draw the picture of one file and name it in its entry; False where it cannot be drawn here."""
    picture = png(waveform)
    if picture is None:
        return False
    name = f"{path.removesuffix('.flac')}.png"
    with replacing(folder / name) as temporary:
        temporary.write_bytes(picture)
    entry["thumbnail"] = name
    return True


def illustrate(folder: Path) -> int:
    """Draw the pictures that a folder of kept waveforms lacks; how many were drawn. What is there stays as it is.

    Raises:
        RecordError: no manifest, or one that is damaged.
        DataError: a file is missing, cannot be read, or has other samples than the manifest says.
        CacheError: the folder cannot be written.
        BenchError: Pillow is not installed.
    """
    kept = load(folder)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    drawn = 0
    for path, entry in manifest["files"].items():
        if "thumbnail" in entry and (folder / str(entry["thumbnail"])).is_file():
            continue
        if not _illustrate(folder, path, entry, kept.outputs[str(entry["mode"])][str(entry["utterance"])]):
            raise BenchError("thumbnails: need Pillow, which comes with: pip install 'latentbench[figures]'")
        drawn += 1
    if drawn:
        _tell(folder, manifest)
    return drawn


def load(folder: Path) -> Kept:
    """What `keep` wrote.

    Raises:
        RecordError: no manifest, or one that is damaged.
        DataError: a file is missing, cannot be read, or has other samples than the manifest says.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        files, rate, about = dict(manifest["files"]), int(manifest["sample_rate"]), dict(manifest["about"])
        told = [(name, *(str(entry[key]) for key in ("mode", "utterance", "sha256"))) for name, entry in files.items()]
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: not a manifest of kept waveforms: {error}") from error
    outputs: Outputs = {}
    for name, mode, utterance, sha256 in told:
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{path}: {name} lies outside the folder")
        try:
            waveform, found = sf.read(folder / name, dtype="int16")
        except (OSError, sf.LibsndfileError) as error:
            raise DataError(f"{folder / name}: {error}") from error
        if found != rate or waveform_digest(waveform) != sha256:
            raise DataError(f"{folder / name}: not the samples that the manifest tells of")
        outputs.setdefault(mode, {})[utterance] = waveform
    return Kept(outputs, rate, about)


def _file_name(utterance: str) -> str:
    """An utterance's id as a file name: what a path could misread is replaced, and its digest then tells it apart."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", utterance)[:80].lstrip(".")
    return plain if plain == utterance else f"{plain}-{hashlib.sha256(utterance.encode()).hexdigest()[:8]}"
