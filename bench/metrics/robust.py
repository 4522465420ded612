"""Summaries of pooled per-frame values that one exploding frame cannot move, beside those that it can.

Conventions: nats per frame. One bad frame can decide a mean (4·10⁸ nats on a spike of a few standard
deviations below a variance floor), so that a mean is never reported alone. Numpy only.

References:
    Huber and Ronchetti 2009, "Robust Statistics", second edition.
"""

from __future__ import annotations

import math
from typing import Literal, TypedDict

import numpy as np
import numpy.typing as npt

TRIM = 0.1
"""Share cut from each end for the trimmed mean."""
TAIL = 99.9
"""Percentile of the bad tail."""


class Summary(TypedDict):
    """What `summary` gives. `tail` is the 99.9th percentile towards the bad side."""

    mean: float
    median: float
    trimmed_mean_10: float
    tail: float
    worst: float
    catastrophic_share: float
    n: int


def summary(values: npt.ArrayLike, threshold: float, bad: Literal["high", "low"]) -> Summary:
    """Mean, median, 10 % trimmed mean, 99.9 % tail, worst value and share of catastrophic frames.

    Args:
        values: (n,), one per frame, n ≥ 1.
        threshold: a value beyond it, on the bad side, is catastrophic.
        bad: "high" for an NLL or a gap, "low" for a gain.

    Raises:
        ValueError: no values, or one that is NaN.

    >>> summary([0.0, 1.0, 2.0, 1e9], threshold=100.0, bad="high")["median"]
    1.5
    """
    v = np.asarray(values, dtype=np.float64).ravel()
    if not len(v) or np.isnan(v).any():
        raise ValueError(f"summary: expected numbers, got {len(v)} values, {int(np.isnan(v).sum())} of them NaN")
    high = bad == "high"
    return {
        "mean": float(v.mean()),
        "median": float(np.median(v)),
        "trimmed_mean_10": trimmed_mean(v),
        "tail": float(np.percentile(v, TAIL if high else 100 - TAIL)),
        "worst": float(v.max() if high else v.min()),
        "catastrophic_share": float((v > threshold if high else v < threshold).mean()),
        "n": len(v),
    }


def trimmed_mean(values: npt.ArrayLike, share: float = TRIM) -> float:
    """The mean without the lowest and the highest `share` of the values."""
    v = np.sort(np.asarray(values, dtype=np.float64).ravel())
    cut = int(len(v) * share)
    return float(v[cut : len(v) - cut].mean())


def rates(nats_per_frame: float, dim: int, frame_rate: float) -> dict[str, float]:
    """The same quantity in the units that papers use: nats/frame, bit/s, and bits per dimension and frame."""
    bits = nats_per_frame / math.log(2)
    return {"nats_per_frame": nats_per_frame, "bits_per_s": bits * frame_rate, "bits_per_dim": bits / dim}
