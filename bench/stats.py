"""Intervals and paired differences that know that frames of one utterance, and utterances of one speaker, are
alike. Bootstrap over speakers from 20 speakers up; below that over utterances, labelled as conditional on
these voices. Numpy only.

References:
    Miller 2024, "Adding error bars to evals" (arXiv 2411.00640); Efron and Tibshirani 1993, chapter 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.errors import RecordError

MIN_CLUSTERS = 20
REPLICATES = 2000
LEVEL = 0.95
Aggregate = Literal["mean", "median"]
Over = Literal["speakers", "utterances"]


@dataclass(frozen=True)
class Interval:
    """A 95 % percentile-bootstrap interval of an aggregate.

    `over` is what was resampled: "speakers", or "utterances" where there are fewer than 20 speakers; the
    latter holds for these voices only. `n` counts what was resampled; with n = 1 the interval has no width
    and says nothing.
    """

    value: float
    low: float
    high: float
    over: Over
    n: int

    @property
    def label(self) -> str:
        """How to read the interval, in words."""
        if self.over == "speakers":
            return f"95 % bootstrap over {self.n} speakers"
        return f"95 % bootstrap over {self.n} utterances, conditional on these voices"


def aggregate(values: np.ndarray, weights: np.ndarray, how: Aggregate) -> float:
    """Weighted mean, or (unweighted) median, of one value per utterance."""
    if how == "median":
        return float(np.median(values))
    return float(np.sum(values * weights) / np.sum(weights))


def interval(
    values: Mapping[str, float],
    clusters: Mapping[str, str],
    weights: Mapping[str, float] | None = None,
    how: Aggregate = "mean",
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval:
    """The aggregate of one column with its interval.

    Args:
        values: utterance id → finite value.
        clusters: utterance id → speaker, for at least the ids of `values`.
        weights: utterance id → weight ≥ 0 in the mean; utterances of weight 0 are not resampled.
        how: "mean" (Σ w v / Σ w) or "median".
        replicates: bootstrap replicates.
        seed: of the bootstrap alone; the same values always get the same interval.

    Raises:
        RecordError: no values, an id without a speaker or weight, or a number that is not finite.
    """
    ids = sorted(values)
    v, w = _arrays(ids, values, weights)
    if how == "mean":
        # a resample of weightless utterances alone would have no mean
        ids = [i for i, weight in zip(ids, w, strict=True) if weight > 0]
        v, w = v[w > 0], w[w > 0]
    over, units = _units(ids, clusters)
    picks = _picks(units, replicates, seed)
    low, high = _percentiles(_replicated(v, w, units, picks, how))
    return Interval(aggregate(v, w, how), low, high, over, len(units))


def paired_interval(
    a: Mapping[str, float],
    b: Mapping[str, float],
    clusters: Mapping[str, str],
    weights: Mapping[str, float] | None = None,
    how: Aggregate = "mean",
    replicates: int = REPLICATES,
    seed: int = 0,
    *,
    weights_b: Mapping[str, float] | None = None,
    target: float | None = None,
) -> Interval:
    """The interval of b − a on the same utterances.

    For "median" it is the median of the differences, not the difference of medians.

    Args:
        a: utterance id → finite value; `b` the same.
        clusters, weights, how, replicates, seed: as in `interval`.
        weights_b: weights of `b`, where they are not those of `a`.
        target: what the aggregate should be. With it the interval is that of |b − target| − |a − target|,
            of the two aggregates under the same resampling: how much farther from the target b lies.

    Raises:
        RecordError: a and b hold different utterances, or as in `interval`.
    """
    if set(a) != set(b):
        only = sorted(set(a) ^ set(b))
        raise RecordError(f"paired difference: {len(only)} utterances are in one only, first {only[0]!r}")
    same_weights = weights_b is None or how == "median" or weights_b == weights
    if target is None and same_weights:
        return interval({i: b[i] - a[i] for i in a}, clusters, weights, how, replicates, seed)
    ids = sorted(a)
    va, wa = _arrays(ids, a, weights)
    vb, wb = _arrays(ids, b, weights if weights_b is None else weights_b)
    if how == "mean":
        keep = (wa > 0) & (wb > 0)
        if not keep.any():
            raise RecordError("paired difference: no utterance has weight on both sides")
        ids = [i for i, kept in zip(ids, keep, strict=True) if kept]
        va, wa, vb, wb = va[keep], wa[keep], vb[keep], wb[keep]
    over, units = _units(ids, clusters)
    picks = _picks(units, replicates, seed)
    sides = ((va, wa), (vb, wb))
    first, second = (_replicated(v, w, units, picks, how) for v, w in sides)
    value_a, value_b = (aggregate(v, w, how) for v, w in sides)
    if target is None:
        low, high = _percentiles(second - first)
        return Interval(value_b - value_a, low, high, over, len(units))
    low, high = _percentiles(np.abs(second - target) - np.abs(first - target))
    return Interval(abs(value_b - target) - abs(value_a - target), low, high, over, len(units))


def _arrays(
    ids: Sequence[str], values: Mapping[str, float], weights: Mapping[str, float] | None
) -> tuple[np.ndarray, np.ndarray]:
    if not ids:
        raise RecordError("interval: no values")
    if weights is not None and (missing := [i for i in ids if i not in weights]):
        raise RecordError(f"interval: {len(missing)} utterances have no weight, first {missing[0]!r}")
    v = np.array([values[i] for i in ids], dtype=np.float64)
    w = np.array([1.0 if weights is None else weights[i] for i in ids], dtype=np.float64)
    if not (np.isfinite(v).all() and np.isfinite(w).all() and (w >= 0).all() and w.sum() > 0):
        raise RecordError("interval: values and weights must be finite, and weights not negative nor all zero")
    return v, w


def _units(ids: Sequence[str], clusters: Mapping[str, str]) -> tuple[Over, list[np.ndarray]]:
    """What is resampled: positions in `ids`, by speaker where there are enough, else one by one."""
    if missing := [i for i in ids if i not in clusters]:
        raise RecordError(f"interval: {len(missing)} utterances have no speaker, first {missing[0]!r}")
    members: dict[str, list[int]] = {}
    for position, i in enumerate(ids):
        members.setdefault(clusters[i], []).append(position)
    if len(members) >= MIN_CLUSTERS:
        return "speakers", [np.array(members[s]) for s in sorted(members)]
    return "utterances", [np.array([position]) for position in range(len(ids))]


def _picks(units: list[np.ndarray], replicates: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(len(units), size=(replicates, len(units)))


def _replicated(v: np.ndarray, w: np.ndarray, units: list[np.ndarray], picks: np.ndarray, how: Aggregate) -> np.ndarray:
    """The aggregate of each resample (row of `picks`)."""
    if how == "mean":
        top = np.array([np.sum(v[u] * w[u]) for u in units])
        bottom = np.array([np.sum(w[u]) for u in units])
        return np.asarray(top[picks].sum(1) / bottom[picks].sum(1))
    if len(units) == len(v):
        order = np.concatenate(units)
        return np.asarray(np.median(v[order][picks], axis=1))
    return np.array([np.median(np.concatenate([v[units[j]] for j in row])) for row in picks])


def _percentiles(draws: np.ndarray) -> tuple[float, float]:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)
