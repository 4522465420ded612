"""Which ranks a row may have: intervals that hold for all rows of a column at once.

Two rows are told apart when their difference exceeds the 95 % point of the largest studentised difference of
any pair, all rows resampled together (max-T). A row's best rank is one more than the rows surely better, its
worst rank leaves the rows surely worse behind it. Percentiles of resampled ranks would not do: they are too
narrow where rows are nearly equal.

References:
    Mogstad, Romano, Shaikh and Wilhelm 2024, "Inference for ranks", Review of Economic Studies 91.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import numpy as np
from scipy.special import ndtr

from bench.errors import RecordError
from bench.stats import (
    LEVEL,
    REPLICATES,
    Aggregate,
    aggregate,
    arrays,
    deviation,
    replicated,
    resampled_units,
    student,
    weighted_everywhere,
)

TINY = 1e-12
"""Of the values' size: a difference below it is rounding."""
BLOCK = 32
"""Rows at once: their resamples fit a processor's cache."""
ALIKE = 1e-6
"""Of two rows' variance: where that of their difference is smaller, the covariance does not tell it."""


class LazyRanks(Mapping[str, tuple[int, int]]):
    """Row → (best rank, worst rank), found out when first asked for: all pairs of a thousand rows take seconds."""

    def __init__(self, find: Callable[[], Mapping[str, tuple[int, int]]]) -> None:
        self._find = find
        self._found: Mapping[str, tuple[int, int]] | None = None

    @property
    def _ranks(self) -> Mapping[str, tuple[int, int]]:
        if self._found is None:
            self._found = self._find()
        return self._found

    def __getitem__(self, name: str) -> tuple[int, int]:
        return self._ranks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ranks)

    def __len__(self) -> int:
        return len(self._ranks)


def rank_intervals(
    rows: Mapping[str, Mapping[str, float]],
    clusters: Mapping[str, str],
    weights: Mapping[str, Mapping[str, float] | None] | None = None,
    how: Aggregate = "mean",
    replicates: int = REPLICATES,
    seed: int = 0,
    *,
    better: Literal["higher", "lower"] = "higher",
    target: float | None = None,
) -> dict[str, tuple[int, int]]:
    """Row → (best rank, worst rank), all of them right at once in about 95 % of samples (docs/coverage.md).

    Args:
        rows: row → utterance id → finite value, of the same utterances.
        clusters: utterance id → speaker.
        weights: row → utterance id → weight, or None where all weigh the same.
        how, replicates, seed: as in `bench.stats.interval`.
        better: which direction is better, unless there is a target.
        target: what the aggregate should be; the nearest is best.

    Raises:
        RecordError: no rows, rows of different utterances, or as in `interval`.
    """
    if not rows:
        raise RecordError("ranks: no rows")
    names = list(rows)
    ids = sorted(rows[names[0]])
    if odd := [n for n in names if rows[n].keys() != rows[names[0]].keys()]:
        raise RecordError(f"ranks: {odd[0]!r} and {names[0]!r} hold different utterances")
    sides = [arrays(ids, rows[n], (weights or {}).get(n)) for n in names]
    if how == "mean":
        ids, sides = weighted_everywhere(ids, sides)
    _, units = resampled_units(ids, clusters)
    values = np.array([aggregate(v, w, how) for v, w in sides])
    draws = np.array([replicated(v, w, units, how, replicates, seed) for v, w in sides])
    if target is not None:
        values, draws = np.abs(values - target), np.abs(draws - target)
    elif better == "higher":
        values, draws = -values, -draws
    apart = _separated(values, draws, len(units))
    less = values[:, None] < values[None, :]
    ahead, behind = (apart & less.T).sum(1), (apart & less).sum(1)
    return {n: (1 + int(ahead[i]), len(names) - int(behind[i])) for i, n in enumerate(names)}


def _separated(values: np.ndarray, draws: np.ndarray, n: int) -> np.ndarray:
    """Which pairs of rows (K, K) are told apart; `draws` is (K, replicates)."""
    count = len(values)
    apart = np.zeros((count, count), dtype=bool)
    if n < 2 or count < 2:
        return apart
    differences = values[:, None] - values[None, :]
    size = max(float(np.abs(values).max()), 1.0) * TINY
    away = draws - values[:, None]
    spread = _spread(away)
    largest = np.zeros(draws.shape[1])
    for i in range(count - 1):
        for start in range(i + 1, count, BLOCK):
            block = slice(start, start + BLOCK)
            moves = spread[i, block] > size
            if moves.any():
                move = np.abs(away[i] - away[block][moves]) / spread[i, block][moves, None]
                largest = np.maximum(largest, move.max(axis=0))
    # the same widening as that of single intervals, at this quantile
    share = min(float(ndtr(np.quantile(largest, LEVEL))), 1 - TINY)
    critical = math.sqrt(n / (n - 1)) * student(n, share)
    return np.asarray(np.abs(differences) > np.maximum(critical * spread, size))


def _spread(away: np.ndarray) -> np.ndarray:
    """Standard deviation of every difference of two rows' resamples: (K, K) from (K, replicates)."""
    # squares of what is not near 1 may overflow
    largest = float(np.abs(away).max()) or 1.0
    covariance = np.atleast_2d(np.cov(away / largest))
    alone = np.diag(covariance)
    both = alone[:, None] + alone[None, :]
    variance = both - 2 * covariance
    spread = np.sqrt(np.maximum(variance, 0.0)) * largest
    close = variance <= ALIKE * both
    for i, j in zip(*np.nonzero(np.triu(close, 1)), strict=True):
        spread[i, j] = spread[j, i] = deviation(away[i] - away[j])
    np.fill_diagonal(spread, 0.0)
    return spread
