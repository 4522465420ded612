"""Power mel spectrograms in the conventions of librosa, on which published networks were trained.

Hann windows, zeros before and after so that frame t is centred on sample t · hop, squared magnitudes, Slaney's
triangles of equal area from 0 Hz to half of the rate. `bench.metrics.distortion.log_mel` is another analysis, of
magnitudes and without padding.

References:
    Slaney 1998, "Auditory Toolbox", Interval Research technical report 1998-010. McFee et al. 2015, "librosa", SciPy.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from bench.metrics.distortion import RATE, Array, _hz, _mel


def mel_power(samples: Array, window: int, hop: int, mels: int) -> Array:
    """Audio (N,) at 16 kHz → (1 + N // hop, mels), or a frame less where `window` is odd and hop divides N."""
    padded = np.pad(samples, window // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    power: Array = np.square(np.abs(np.fft.rfft(frames * hann)))
    return power @ filters(window, mels).T


@cache
def filters(window: int, mels: int) -> Array:
    """(mels, 1 + window // 2), read-only."""
    corners = _hz(np.linspace(0.0, _mel(RATE / 2), mels + 2))
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    hz = np.fft.rfftfreq(window, 1 / RATE)
    triangles = np.minimum((hz - low) / (centre - low), (high - hz) / (high - centre)).clip(min=0.0)
    found: Array = triangles * 2.0 / (high - low)
    found.flags.writeable = False
    return found
