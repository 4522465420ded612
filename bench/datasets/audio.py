"""One audio file → mono float32 samples, with what had to be changed and why a file cannot be used.

Conventions: samples are (N,) float32 in [-1, 1]; rates in Hz. A stereo file is averaged over its channels. A
waveform that goes beyond full scale (float files, decoded Opus, the resampler's overshoot) is scaled down by
its peak, never clipped. Clipping that a file already has is kept and counted. Resampling is soxr's "HQ".
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from bench.errors import DataError

SUFFIXES = (".wav", ".flac", ".ogg")
METRIC_RATE = 16_000
"""Hz; what the metrics hear. A file of another rate is counted as resampled."""
MIN_SECONDS = 0.5
"""Shorter recordings are refused: they hold too few latent frames to condition on."""
CLIPPED_SHARE = 1e-3
"""From this share of samples at full scale up, a file counts as clipped."""

_FULL_SCALE = 1.0 - 2.0**-15
_BLOCK = 1 << 20


class UnusableAudio(DataError):
    """A file that cannot be used. Its message is the reason, the same on every machine."""


@dataclass(frozen=True)
class Recording:
    """A decoded file.

    Attributes:
        samples: (N,) float32 in [-1, 1], at the file's own rate.
        rate: Hz.
        conversions: what was or will be changed, one phrase each.
    """

    samples: np.ndarray
    rate: int
    conversions: tuple[str, ...]


def decode(data: bytes) -> Recording:
    """Decode and check the bytes of a file.

    Args:
        data: a whole WAV, FLAC or Ogg (Vorbis, Opus) file.

    Returns:
        The recording at its own rate.

    Raises:
        UnusableAudio: empty, unreadable, with NaN or infinite samples, shorter than `MIN_SECONDS`, or silent.
    """
    if not data:
        raise UnusableAudio("empty file")
    try:
        raw, rate, declared, log = _read(data)
    except sf.LibsndfileError as error:
        # str(error) would name the buffer's address
        raise UnusableAudio(f"unreadable: {error.error_string.strip().rstrip('.')}") from error
    if not len(raw):
        raise UnusableAudio("no samples")
    if not np.isfinite(raw).all():
        raise UnusableAudio("NaN or infinite samples")
    if len(raw) < MIN_SECONDS * rate:
        raise UnusableAudio(f"shorter than {MIN_SECONDS} s: {len(raw) / rate:.3f} s")
    conversions = []
    if len(raw) < declared or _data_is_cut(log):
        conversions.append("truncated: shorter than its header says")
    if raw.shape[1] > 1:
        conversions.append(f"mixed down from {raw.shape[1]} channels")
    if rate != METRIC_RATE:
        conversions.append(f"resampled from {rate} Hz")
    peak = np.abs(raw).max()
    if peak > 1.0:
        conversions.append("scaled down from beyond full scale")
    elif np.mean(np.abs(raw) >= _FULL_SCALE) >= CLIPPED_SHARE:
        conversions.append(f"clipped: {100 * CLIPPED_SHARE:g} % of samples or more at full scale, kept")
    samples = raw.mean(axis=1, dtype=np.float64)
    if np.ptp(samples) == 0.0:
        raise UnusableAudio("silent")
    return Recording(_within_full_scale(samples), rate, tuple(conversions))


def resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """`samples` (N,) at `rate` → (about N · wanted / rate,) float32 in [-1, 1] at `wanted` Hz."""
    if rate == wanted:
        return samples
    return _within_full_scale(soxr.resample(samples, rate, wanted, quality="HQ"))


def load(path: Path, sample_rate: int, sha256: str) -> np.ndarray:
    """The samples of a file whose content is known.

    Args:
        path: the file.
        sample_rate: wanted rate, Hz.
        sha256: of the file's bytes, in hexadecimal.

    Returns:
        (N,) float32 in [-1, 1].

    Raises:
        DataError: missing, changed or cut short since its digest was taken, or unusable.
    """
    data = read_bytes(path)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DataError(f"{path.name}: expected sha256 {sha256[:12]}…, got {found[:12]}…; the file was changed or cut")
    recording = decode(data)
    return resample(recording.samples, recording.rate, sample_rate)


def read_bytes(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        UnusableAudio: missing or not readable.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableAudio(f"{path.name}: {error.strerror or 'not readable'}") from error


def _read(data: bytes) -> tuple[np.ndarray, int, int, str]:
    """Samples (N, C), rate, frames that the header declares, libsndfile's log."""
    with sf.SoundFile(io.BytesIO(data)) as file:
        # by blocks: a damaged header may declare terabytes
        blocks = []
        while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
            blocks.append(block)
        raw = np.concatenate(blocks) if blocks else np.zeros((0, file.channels), np.float32)
        return raw, file.samplerate, file.frames, file.extra_info


def _data_is_cut(log: str) -> bool:
    # libsndfile corrects a WAV header's frame count by itself and says so only in its log
    return any(line.split(":")[0].strip() == "data" and "should be" in line for line in log.splitlines())


def _within_full_scale(samples: np.ndarray) -> np.ndarray:
    peak = float(np.abs(samples).max(initial=0.0))
    return np.ascontiguousarray(samples / peak if peak > 1.0 else samples, dtype=np.float32)
