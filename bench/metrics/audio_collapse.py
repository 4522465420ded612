"""Signs that generated audio has collapsed: silence, loops, and a level that drifts.

Conventions: (N,) real arrays at 16 kHz. None of the three says that speech is good; each is 0 where that one way of
being bad is absent, and what natural speech scores is measured beside, since pauses are silent and vowels repeat.

* `silence`: share of frames whose level is more than `SILENT_DB` below a reference level, in [0, 1];
* `loop`: how alike the spectrogram is to itself one period later, over the best period, in [−1, 1]; 1: it repeats;
* `level_slope`: dB a second, by least squares on the frames that are not silent.

A frame is one of the mel analysis of `bench.metrics.distortion` (64 ms every 16 ms).

References:
    Foote 1999, "Visualizing music and audio using self-similarity", ACM Multimedia (the loop score's self-similarity).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.metrics.distortion import HOP, RATE, WINDOW, Array, Unscorable, log_mel

SILENT_DB = 40.0
SHORTEST_S, LONGEST_S = 0.2, 2.0
"""Periods of a loop: below, a steady vowel is one."""
FRAMES_A_SECOND = RATE / HOP
QUIETEST = 1e-10
"""Power, of a digital silence: −100 dB."""


def levels(samples: npt.ArrayLike) -> Array:
    """Power of each frame in dB re full scale, (T,).

    Raises:
        Unscorable: shorter than one window of 64 ms.
    """
    x = np.asarray(samples, dtype=np.float64)
    if len(x) < WINDOW:
        raise Unscorable(f"levels: needs at least {WINDOW / RATE:g} s, got {len(x) / RATE:.3f} s")
    frames = np.lib.stride_tricks.sliding_window_view(x, WINDOW)[::HOP]
    return 10.0 * np.log10(np.maximum(np.square(frames).mean(1), QUIETEST))


def silence(samples: npt.ArrayLike, reference_db: float) -> float:
    """Share of silent frames.

    Args:
        reference_db: level that loud frames of the corpus have, such as the 95th percentile of `levels`.
    """
    return float((levels(samples) < reference_db - SILENT_DB).mean())


def loop(samples: npt.ArrayLike) -> float:
    """Correlation of the spectrogram with itself one period later, at the period where it is largest.

    Periods are at most half of the signal, so that one that comes back is whole: compare signals of one length. Each
    band is taken about its mean over time, so that a steady sound, or noise of any colour, is no loop. The largest of
    many correlations is above 0 for noise too, by about 3 / √(frames × bands that differ).

    Raises:
        Unscorable: shorter than five of the shortest periods, or a spectrogram that does not change.
    """
    x = np.asarray(samples, dtype=np.float64)
    if len(x) < 5 * SHORTEST_S * RATE:
        raise Unscorable(f"loop: needs at least {5 * SHORTEST_S:g} s, got {len(x) / RATE:.3f} s")
    mel = log_mel(x)
    mel = mel - mel.mean(0)
    longest = min(round(LONGEST_S * FRAMES_A_SECOND), len(mel) // 2)
    periods = range(round(SHORTEST_S * FRAMES_A_SECOND), longest + 1)
    found = [_correlation(mel[:-lag], mel[lag:]) for lag in periods]
    if not np.isfinite(found).all():
        raise Unscorable("loop: the spectrogram does not change")
    return float(max(found))


def level_slope(samples: npt.ArrayLike, reference_db: float) -> float:
    """Least-squares slope of the level over time, dB a second; negative: it fades.

    Raises:
        Unscorable: fewer than two frames that are not silent.
    """
    level = levels(samples)
    loud = level >= reference_db - SILENT_DB
    if loud.sum() < 2:
        raise Unscorable("level slope: fewer than two frames that are not silent")
    seconds = np.arange(len(level)) / FRAMES_A_SECOND
    return float(np.polyfit(seconds[loud], level[loud], 1)[0])


def _correlation(a: Array, b: Array) -> float:
    scale = np.sqrt(np.square(a).sum() * np.square(b).sum())
    return float((a * b).sum() / scale) if scale > 1e-9 else float("nan")
