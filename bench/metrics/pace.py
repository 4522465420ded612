"""How fast speech goes, by its syllable nuclei, and whether that drifts.

Conventions: (N,) real arrays at 16 kHz. A nucleus is a peak of the level (64 ms every 16 ms, `audio_collapse.levels`)
that stands at least 2 dB above the dips around it and is at most 25 dB below the loudest frame; whether it is voiced is
not asked, so that a burst of noise counts as well. Neither value is better high or low: natural speech is the measure.

* `pace`: nuclei a second; peaks closer than about 100 ms are one, and the longest syllables count more than once, so
  that speech drawn out to 1.25, 1.5 and 2 times its length has .87, .77 and .65 of its pace;
* `pace_slope`: nuclei a second, a second: the pace of the second half less that of the first, over half the length.
  A count of a half is a whole number, so that one clip of s seconds moves in steps of 4 / s²: read the mean of many.

References:
    De Jong and Wempe 2009, "Praat script to detect syllable nuclei and measure speech rate automatically", Behavior
    Research Methods 41 (both thresholds; there a peak must also be voiced).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import find_peaks

from bench.metrics.audio_collapse import levels
from bench.metrics.distortion import HOP, RATE, WINDOW, Array, Unscorable

DIP_DB = 2.0
BELOW_DB = 25.0
MIN_S = 1.0


def nuclei(samples: npt.ArrayLike) -> Array:
    """When syllable nuclei are, in seconds: (n,), rising.

    Raises:
        Unscorable: shorter than 1 s.
    """
    x = np.asarray(samples, dtype=np.float64)
    if len(x) < MIN_S * RATE:
        raise Unscorable(f"pace: needs at least {MIN_S:g} s, got {len(x) / RATE:.3f} s")
    level = levels(x)
    # an edge is no dip: what is outside is silent
    edged = np.pad(level, 1, constant_values=level.min() - DIP_DB)
    peaks, _ = find_peaks(edged, height=level.max() - BELOW_DB, prominence=DIP_DB)
    return np.asarray(((peaks - 1) * HOP + WINDOW / 2) / RATE)


def pace(samples: npt.ArrayLike) -> float:
    """Nuclei a second.

    Raises:
        Unscorable: shorter than 1 s.
    """
    return len(nuclei(samples)) / (len(np.asarray(samples)) / RATE)


def pace_slope(samples: npt.ArrayLike) -> float:
    """Nuclei a second, a second; above 0: it hurries.

    Raises:
        Unscorable: shorter than 1 s.
    """
    half = len(np.asarray(samples)) / RATE / 2
    late = nuclei(samples) >= half
    return float((late.sum() - (~late).sum()) / half**2)
