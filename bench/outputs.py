"""What a submission made, as waveforms: kept exactly as they were scored, so that they can be scored again.

A waveform is (N,) int16. Whatever a decoder gives is brought to it first and scored after, so that the FLAC file, the
cache and the scores speak of the same samples. Kept files lie in FOLDER/MODE/ID.flac, and FOLDER/manifest.json says
of each what it is, its sample rate, and the digest of its samples.
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
from bench.errors import DataError, PluginError, RecordError

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
    manifest = {"about": dict(about), "sample_rate": rate, "files": files}
    with replacing(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")


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
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: not a manifest of kept waveforms: {error}") from error
    outputs: Outputs = {}
    for name, entry in files.items():
        try:
            waveform, found = sf.read(folder / name, dtype="int16")
        except (OSError, sf.LibsndfileError) as error:
            raise DataError(f"{folder / name}: {error}") from error
        if found != rate or waveform_digest(waveform) != entry["sha256"]:
            raise DataError(f"{folder / name}: not the samples that the manifest tells of")
        outputs.setdefault(entry["mode"], {})[entry["utterance"]] = waveform
    return Kept(outputs, rate, about)


def _file_name(utterance: str) -> str:
    """An utterance's id as a file name: what a path could misread is replaced, and its digest then tells it apart."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", utterance)[:80].lstrip(".")
    return plain if plain == utterance else f"{plain}-{hashlib.sha256(utterance.encode()).hexdigest()[:8]}"
