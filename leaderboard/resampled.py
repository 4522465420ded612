"""Paired intervals of many rows at once.

`bench.stats.paired_interval` resamples anew for each pair. Rows of the same utterances see the same resamples, so that
here each row is resampled once and rows are subtracted. A median is one of differences, and is taken by counting how
often a resample holds each of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from bench.config import ColumnCard
from bench.record import ColumnValues
from bench.stats import (
    LEVEL,
    REPLICATES,
    Interval,
    aggregate,
    arrays,
    deviation,
    picks,
    replicated,
    resampled_units,
    student,
)

TINY = 1e-12
"""Of the values' size: what is below it is rounding."""
Array = npt.NDArray[np.float64]


def alike(card: ColumnCard, values: Mapping[str, ColumnValues]) -> list[list[str]]:
    """Rows in groups that are resampled alike: the same utterances, the same of them with weight."""
    groups: dict[tuple[frozenset[str], frozenset[str]], list[str]] = {}
    for name, v in values.items():
        groups.setdefault((frozenset(v.values), frozenset(_counting(card, v))), []).append(name)
    return list(groups.values())


def _counting(card: ColumnCard, values: ColumnValues) -> list[str]:
    """Utterances that are resampled, in order: those of weight 0 are not, in a mean."""
    weights = values.weights
    if card.aggregate == "median" or weights is None:
        return sorted(values.values)
    return sorted(u for u in values.values if weights[u] > 0)


class Resampled:
    """One column of rows that are resampled alike, in the record's unit.

    Args:
        values: row → its values; a group of `alike`.
        speakers: utterance id → speaker.
    """

    def __init__(self, card: ColumnCard, values: Mapping[str, ColumnValues], speakers: Mapping[str, str]) -> None:
        ids = _counting(card, next(iter(values.values())))
        self.sides = {n: arrays(ids, v.values, v.weights) for n, v in values.items()}
        self.over, self.units = resampled_units(ids, speakers)
        self.target = 1.0 if card.better == "one" else None
        self.medians = card.aggregate == "median" and self.target is None
        self.points: dict[str, float] = {}
        self.draws: dict[str, Array] = {}
        if self.medians:
            self.counts = _counts(self.units, len(ids))
            return
        for name, (v, w) in self.sides.items():
            point, draws = aggregate(v, w, card.aggregate), replicated(v, w, self.units, card.aggregate, REPLICATES, 0)
            far = self.target is not None
            self.points[name] = abs(point - 1.0) if far else point
            self.draws[name] = np.abs(draws - 1.0) if far else draws

    def against(self, first: str, seconds: Sequence[str]) -> list[Interval]:
        """Of each second its second − first."""
        if self.medians:
            away = [self.sides[n][0] - self.sides[first][0] for n in seconds]
            values = np.array([np.median(a) for a in away])
            draws = np.array([_medians(a, self.counts) for a in away])
        else:
            values = np.array([self.points[n] - self.points[first] for n in seconds])
            draws = np.array([self.draws[n] for n in seconds]) - self.draws[first]
        rounding = max(1.0, float(np.abs(self.sides[first][0]).max())) * TINY
        values[np.abs(values) < rounding] = 0.0
        draws[np.abs(draws) < rounding] = 0.0
        return self._intervals(values, draws)

    def _intervals(self, values: Array, draws: Array) -> list[Interval]:
        n = len(self.units)
        if n < 2:
            return [Interval(float(v), float(v), float(v), self.over, n, math.inf) for v in values]
        small = math.sqrt(n / (n - 1))
        tail = float(ndtr(-small * student(n, (1 + LEVEL) / 2)))
        low, high = np.quantile(draws, [tail, 1 - tail], axis=1)
        errors = deviation(draws) * small
        numbers = zip(values, low, high, errors, strict=True)
        return [Interval(float(v), float(a), float(b), self.over, n, float(e)) for v, a, b, e in numbers]


def resampled(
    card: ColumnCard, values: Mapping[str, ColumnValues], speakers: Mapping[str, str]
) -> dict[str, Resampled]:
    """Row → the rows that it is resampled with; two rows share an object where they are resampled alike."""
    found: dict[str, Resampled] = {}
    for names in alike(card, values):
        found |= dict.fromkeys(names, Resampled(card, {n: values[n] for n in names}, speakers))
    return found


def _counts(units: Sequence[npt.NDArray[np.int64]], utterances: int) -> npt.NDArray[np.int32]:
    """How often each resample takes each utterance: (replicates, utterances)."""
    places = picks(len(units), REPLICATES, 0) + len(units) * np.arange(REPLICATES)[:, None]
    by_unit = np.bincount(places.ravel(), minlength=REPLICATES * len(units)).reshape(REPLICATES, len(units))
    counts = np.zeros((REPLICATES, utterances), dtype=np.int32)
    for unit, members in enumerate(units):
        counts[:, members] = by_unit[:, unit, None]
    return counts


def _medians(values: Array, counts: npt.NDArray[np.int32]) -> Array:
    """The median of each resample: (replicates,)."""
    order = np.argsort(values, kind="stable")
    upto = counts[:, order].cumsum(axis=1, dtype=np.int32)
    total = upto[:, -1]
    low, high = ((upto <= k[:, None]).sum(axis=1) for k in ((total - 1) // 2, total // 2))
    ranked = values[order]
    return np.asarray((ranked[low] + ranked[high]) / 2)
