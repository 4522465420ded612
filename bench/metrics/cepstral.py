"""Mel-cepstral distortion: how far the spectral envelope of a waveform is from its reference, frame by frame.

Conventions: (N,) real arrays at 16 kHz, reference first, trimmed to the shorter; dB; lower is better, 0 for identical
signals and for one that is the other at another level. It is for aligned signals alone: nothing is warped in time.

    MCD = (10 / ln 10) · mean_t √(2 Σ_{d=1}^{13} (c_{t,d} − ĉ_{t,d})²)

with c the orthonormal DCT-II of the natural logarithm of the mel magnitudes of `bench.metrics.distortion`; c_0, the
level, is left out. Values on other cepstra (of WORLD, of other filter banks) are on another scale.

References:
    Kubichek 1993, "Mel-cepstral distance measure for objective speech quality assessment", IEEE PACRIM.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.fft import dct

from bench.metrics.distortion import RATE, WINDOW, Array, Unscorable, log_mel

ORDER = 13
SCALE = 10.0 / math.log(10.0) * math.sqrt(2.0)


def mcd(reference: npt.ArrayLike, estimate: npt.ArrayLike) -> float:
    """Mean distortion in dB.

    Args:
        reference, estimate: (N,), 16 kHz.

    Raises:
        Unscorable: shorter than one window of 64 ms.
    """
    s, e = np.asarray(reference, dtype=np.float64), np.asarray(estimate, dtype=np.float64)
    frames = min(len(s), len(e))
    if frames < WINDOW:
        raise Unscorable(f"MCD: needs at least {WINDOW / RATE:g} s, got {frames / RATE:.3f} s")
    return distortion(log_mel(s[:frames]), log_mel(e[:frames]))


def distortion(reference: Array, estimate: Array) -> float:
    """The same of two log10-mel spectrograms (T, M)."""
    moved = (cepstra(reference) - cepstra(estimate))[:, 1 : ORDER + 1]
    return float(SCALE * np.sqrt(np.square(moved).sum(1)).mean())


def cepstra(log10_mel: Array) -> Array:
    """Log10-mel spectra (T, M) → cepstra (T, M), natural logarithms."""
    found: Array = dct(log10_mel * math.log(10.0), type=2, norm="ortho", axis=1)
    return found
