"""Intervals and paired differences that know that frames of one utterance, and utterances of one speaker, are
alike. Bootstrap over speakers from 20 speakers up; below that over utterances, labelled as conditional on
these voices.

The percentiles are expanded ones: those of a bootstrap of n units at Φ(∓√(n/(n−1)) t_{n−1; .975}) instead of
2.5 and 97.5 %. Plain percentiles are too narrow by √((n−1)/n) and by the normal in place of Student's
quantile; docs/coverage.md has what each covers.

References:
    Miller 2024, "Adding error bars to evals" (arXiv 2411.00640); Efron and Tibshirani 1993, chapter 8;
    Hesterberg 2015, "What teachers should know about the bootstrap" (arXiv 1411.5279), section 5.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.special import ndtr, stdtrit

from bench.errors import RecordError

MIN_CLUSTERS = 20
REPLICATES = 2000
LEVEL = 0.95
Aggregate = Literal["mean", "median"]
Over = Literal["speakers", "utterances"]


@dataclass(frozen=True)
class Interval:
    """A 95 % bootstrap interval of an aggregate.

    `over` is what was resampled: "speakers", or "utterances" where there are fewer than 20 speakers; the
    latter holds for these voices only. `n` counts what was resampled; with n = 1 the interval has no width
    and says nothing, and below about 8 it is too narrow, whatever the percentiles. `error` is the standard
    error, infinite with n = 1.
    """

    value: float
    low: float
    high: float
    over: Over
    n: int
    error: float

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
    *,
    over: Over | None = None,
) -> Interval:
    """The aggregate of one column with its interval.

    Args:
        values: utterance id → finite value; an utterance without one is left out by the caller, never filled in.
        clusters: utterance id → speaker, for at least the ids of `values`.
        weights: utterance id → weight ≥ 0 in the mean; utterances of weight 0 are not resampled.
        how: "mean" (Σ w v / Σ w) or "median".
        replicates: bootstrap replicates.
        seed: of the bootstrap alone; the same values always get the same interval.
        over: what to resample; None: speakers where there are 20, else utterances.

    Raises:
        RecordError: no values, an id without a speaker or weight, or a number that is not finite.
    """
    ids = sorted(values)
    v, w = arrays(ids, values, weights)
    if how == "mean":
        # a resample of weightless utterances alone would have no mean
        ids = [i for i, weight in zip(ids, w, strict=True) if weight > 0]
        v, w = v[w > 0], w[w > 0]
    what, units = resampled_units(ids, clusters, over)
    draws = replicated(v, w, units, how, replicates, seed)
    return _interval(aggregate(v, w, how), draws, what, len(units))


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
    over: Over | None = None,
) -> Interval:
    """The interval of b − a on the same utterances.

    For "median" it is the median of the differences, not the difference of medians.

    Args:
        a: utterance id → finite value; `b` the same.
        clusters, weights, how, replicates, seed, over: as in `interval`.
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
        return interval({i: b[i] - a[i] for i in a}, clusters, weights, how, replicates, seed, over=over)
    ids = sorted(a)
    sides = [arrays(ids, a, weights), arrays(ids, b, weights if weights_b is None else weights_b)]
    if how == "mean":
        ids, sides = weighted_everywhere(ids, sides)
    what, units = resampled_units(ids, clusters, over)
    first, second = (replicated(v, w, units, how, replicates, seed) for v, w in sides)
    value_a, value_b = (aggregate(v, w, how) for v, w in sides)
    if target is None:
        return _interval(value_b - value_a, second - first, what, len(units))
    draws = np.abs(second - target) - np.abs(first - target)
    return _interval(abs(value_b - target) - abs(value_a - target), draws, what, len(units))


def arrays(
    ids: Sequence[str], values: Mapping[str, float], weights: Mapping[str, float] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Values and weights in the order of `ids`.

    Raises:
        RecordError: as `interval` says.
    """
    if not ids:
        raise RecordError("interval: no values")
    if weights is not None and (missing := [i for i in ids if i not in weights]):
        raise RecordError(f"interval: {len(missing)} utterances have no weight, first {missing[0]!r}")
    v = np.array([values[i] for i in ids], dtype=np.float64)
    w = np.array([1.0 if weights is None else weights[i] for i in ids], dtype=np.float64)
    if not (np.isfinite(v).all() and np.isfinite(w).all() and (w >= 0).all() and w.sum() > 0):
        raise RecordError("interval: values and weights must be finite, and weights not negative nor all zero")
    return v, w


def weighted_everywhere(
    ids: Sequence[str], sides: Sequence[tuple[np.ndarray, np.ndarray]]
) -> tuple[list[str], list[tuple[np.ndarray, np.ndarray]]]:
    """Only the utterances that have weight on every side.

    Raises:
        RecordError: there is none.
    """
    keep = np.all([w > 0 for _, w in sides], axis=0)
    if not keep.any():
        raise RecordError("paired difference: no utterance has weight on both sides")
    return [i for i, kept in zip(ids, keep, strict=True) if kept], [(v[keep], w[keep]) for v, w in sides]


def resampled_units(
    ids: Sequence[str], clusters: Mapping[str, str], over: Over | None = None
) -> tuple[Over, list[np.ndarray]]:
    """What is resampled, as positions in `ids`: by speaker where there are enough, else one by one."""
    if missing := [i for i in ids if i not in clusters]:
        raise RecordError(f"interval: {len(missing)} utterances have no speaker, first {missing[0]!r}")
    members: dict[str, list[int]] = {}
    for position, i in enumerate(ids):
        members.setdefault(clusters[i], []).append(position)
    if (over or ("speakers" if len(members) >= MIN_CLUSTERS else "utterances")) == "speakers":
        return "speakers", [np.array(members[s]) for s in sorted(members)]
    return "utterances", [np.array([position]) for position in range(len(ids))]


@lru_cache(maxsize=4)
def picks(units: int, replicates: int, seed: int) -> np.ndarray:
    """Which units each resample takes: (replicates, units). Kept, since the columns of a table share it."""
    chosen = np.random.default_rng(seed).integers(units, size=(replicates, units))
    chosen.setflags(write=False)
    return chosen


@lru_cache(maxsize=4)
def _counts(units: int, replicates: int, seed: int) -> np.ndarray:
    """How often each resample takes each unit: (replicates, units)."""
    places = picks(units, replicates, seed) + units * np.arange(replicates)[:, None]
    counts = np.bincount(places.ravel(), minlength=replicates * units).reshape(replicates, units).astype(np.float64)
    counts.setflags(write=False)
    return counts


def replicated(
    v: np.ndarray, w: np.ndarray, units: Sequence[np.ndarray], how: Aggregate, replicates: int, seed: int
) -> np.ndarray:
    """The aggregate of each resample: (replicates,). Equal units, replicates and seed give the same resamples."""
    if how == "mean":
        counts = _counts(len(units), replicates, seed)
        order, starts = np.concatenate(units), np.cumsum([0, *(len(u) for u in units[:-1])])
        top, bottom = (np.add.reduceat(x[order], starts) for x in (v * w, w))
        return np.asarray((counts @ top) / (counts @ bottom))
    chosen = picks(len(units), replicates, seed)
    if len(units) == len(v):
        order = np.concatenate(units)
        return np.asarray(np.median(v[order][chosen], axis=1))
    return np.array([np.median(np.concatenate([v[units[j]] for j in row])) for row in chosen])


def deviation(draws: np.ndarray) -> np.ndarray:
    """Standard deviation over the last axis, of numbers whose squares may overflow."""
    away = draws - draws[..., :1]
    size = np.abs(away).max(axis=-1, keepdims=True)
    size[size == 0.0] = 1.0
    return np.asarray((away / size).std(axis=-1, ddof=1) * size[..., 0])


def student(n: int, share: float) -> float:
    """Student's quantile for the mean of n units.

    >>> round(student(20, 0.975), 3), round(student(10**9, 0.975), 3)
    (2.093, 1.96)
    """
    return float(stdtrit(n - 1, share))


def _interval(value: float, draws: np.ndarray, over: Over, n: int) -> Interval:
    if n < 2:
        return Interval(value, value, value, over, n, math.inf)
    small = math.sqrt(n / (n - 1))
    tail = float(ndtr(-small * student(n, (1 + LEVEL) / 2)))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(value, float(low), float(high), over, n, float(deviation(draws)) * small)
