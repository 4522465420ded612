"""A small picture of a clip: its waveform above its spectrogram, drawn when samples are kept and never later.

240 × 80 pixels in sixteen colours on a dark ground, as PNG; no text is in it. A column is 1/240 of the clip, whatever
its length. The upper 30 rows hold the envelope, to full scale and by the square root of the amplitude, since speech
keeps far below full scale; the lower 48 hold equal bands from 0 Hz (bottom) to half the sample rate, coloured from −90
to −10 dB of a full-scale sine. A band is the loudest of its bins, and a
column the loudest of the frames whose centres lie in it, so that no click falls between two.

The window is Blackman and Harris's of four terms, 16 samples a band long: its main lobe is as wide as a band and its
side lobes lie below −92 dB, so that a tone in the middle of a band lights that band alone.
"""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
WIDTH, WAVEFORM, GAP, BANDS = 240, 30, 2, 48
HEIGHT = WAVEFORM + GAP + BANDS
WINDOW = 16 * BANDS
QUIETEST, LOUDEST = -90.0, -10.0
LEVELS = 16
ENVELOPE = 11
"""Level of the waveform."""
# dark blue over violet and orange to pale yellow, of rising lightness, so that it reads in grey too
STOPS = ((13, 14, 27), (74, 26, 105), (170, 46, 92), (237, 121, 50), (252, 232, 160))


def png(waveform: npt.ArrayLike) -> bytes | None:
    """The picture of a waveform (N,) as PNG; the same bytes of the same samples. None where Pillow is missing.

    Args:
        waveform: int16, or floats in [−1, 1].
    """
    try:
        from PIL import Image
    except ImportError:
        return None
    levels = picture(waveform)
    image = Image.frombytes("P", (WIDTH, HEIGHT), levels.tobytes())
    image.putpalette([round(part) for color in _ramp() for part in color])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", bits=4, optimize=True)
    return buffer.getvalue()


def picture(waveform: npt.ArrayLike) -> Picture:
    """Levels 0 to 15, (80, 240)."""
    given = np.asarray(waveform)
    samples = given / 32767.0 if given.dtype == np.int16 else given.astype(np.float64)
    out = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    if len(samples):
        out[:WAVEFORM] = _envelope(samples)
        out[WAVEFORM + GAP :] = _spectrogram(samples)
    return out


def _envelope(samples: npt.NDArray[np.float64]) -> Picture:
    """From the least to the greatest sample of every column; nothing where there is silence."""
    edges = np.linspace(0, len(samples), WIDTH + 1)
    first = np.minimum(edges[:-1].astype(int), len(samples) - 1)
    shown = np.sign(samples) * np.sqrt(np.minimum(np.abs(samples), 1))
    low, high = np.minimum.reduceat(shown, first), np.maximum.reduceat(shown, first)
    # of every row, from 1 to −1
    middle = 1 - (2 * np.arange(WAVEFORM)[:, None] + 1) / WAVEFORM
    half = 1 / WAVEFORM
    lit = (middle <= high + half) & (middle >= low - half) & (high > low)
    return np.where(lit, ENVELOPE, 0).astype(np.uint8)


def _spectrogram(samples: npt.NDArray[np.float64]) -> Picture:
    """Level by band, highest first, and column."""
    from scipy.signal.windows import blackmanharris

    window = blackmanharris(WINDOW, sym=False)
    padded = np.pad(samples, WINDOW // 2 + 1)
    column = len(samples) / WIDTH
    frames = max(1, math.ceil(column / (WINDOW / 4)))
    out = np.zeros((BANDS, WIDTH), dtype=np.uint8)
    offsets = np.arange(WINDOW) + 1
    for at in range(WIDTH):
        centres = ((at + (np.arange(frames) + 0.5) / frames) * column).astype(int)
        spectrum = np.abs(np.fft.rfft(padded[centres[:, None] + offsets] * window)).max(0) * 2 / window.sum()
        bands = spectrum[: WINDOW // 2].reshape(BANDS, -1).max(1)
        decibels = 20 * np.log10(np.maximum(bands, 1e-10))
        share = (decibels - QUIETEST) / (LOUDEST - QUIETEST)
        out[:, at] = np.clip(np.floor(share * LEVELS), 0, LEVELS - 1)[::-1]
    return out


def _ramp() -> list[tuple[float, ...]]:
    """The colours of the levels, between the stops."""
    at = np.linspace(0, len(STOPS) - 1, LEVELS)
    channels = [np.interp(at, range(len(STOPS)), channel) for channel in zip(*STOPS, strict=True)]
    return [tuple(float(part) for part in color) for color in zip(*channels, strict=True)]
