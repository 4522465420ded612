"""What the utterances can tell in one column: the best row, ties, ranks, and whether floors and seeds spoil it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from bench.config import ColumnCard
from bench.record import ColumnValues
from bench.stats import Interval
from leaderboard.board import Board, Row
from leaderboard.compare import covers_zero, difference, surely_worse
from leaderboard.comparisons import detectable, holm, p_value
from leaderboard.ranks import LazyRanks, rank_intervals
from leaderboard.resampled import resampled
from leaderboard.shown import factor, scaled

ALPHA = 0.05


@dataclass(frozen=True)
class Pair:
    """Two rows and second − first, in the shown unit."""

    first: str
    second: str
    change: Interval


@dataclass(frozen=True)
class Judged:
    """The verdicts on one column; differences are in the shown unit.

    Attributes:
        best: the row with the best value, "" where fewer than two are ranked.
        differences: every other ranked row → row − best.
        p: the same rows → p of the difference alone.
        adjusted: the same rows → p after Holm's correction for the column's comparisons.
        ranks: every ranked row → (best, worst) rank that the utterances allow, joint over rows.
        beaten: floor and model, where the floor is better and the 95 % interval says so.
        noise: original and replicate: what another seed moves.
    """

    best: str = ""
    differences: Mapping[str, Interval] = field(default_factory=dict)
    p: Mapping[str, float] = field(default_factory=dict)
    adjusted: Mapping[str, float] = field(default_factory=dict)
    ranks: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    beaten: Sequence[Pair] = ()
    noise: Sequence[Pair] = ()

    @property
    def apart(self) -> list[str]:
        """Rows that still differ from the best after Holm's correction."""
        return [n for n, p in self.adjusted.items() if p < ALPHA and not covers_zero(self.differences[n])]

    @property
    def detectable(self) -> float | None:
        """The true difference to the best that every comparison would show with 80 % power, if there is one."""
        found = max((detectable(change) for change in self.differences.values()), default=math.inf)
        return found if math.isfinite(found) else None


def judged(
    card: ColumnCard,
    board: Board,
    values: Mapping[str, ColumnValues],
    ordered: Sequence[str],
    whole: Sequence[str],
) -> Judged:
    """The verdicts on one ranked column.

    Args:
        values: row → its values, on the utterances that count.
        ordered: the ranked rows, best first.
        whole: rows of trained codecs that have a value for every utterance, ranked or not.
    """
    rows = {row.name: row for row in board.rows}

    group_of = resampled(card, {n: values[n] for n in whole}, rows[whole[0]].speakers) if whole else {}

    def changes(first: str, seconds: Sequence[str]) -> dict[str, Interval]:
        together = [n for n in seconds if group_of[n] is group_of[first]]
        found = dict(zip(together, group_of[first].against(first, together), strict=True)) if together else {}
        for n in seconds:
            if n not in found:
                found[n] = difference(card, values[first], values[n], rows[first].speakers)
        return {n: scaled(found[n], factor(card, rows[n].record.codec.frame_rate)) for n in seconds}

    beaten = [
        Pair(floor, name, found)
        for floor in whole
        if board.control(rows[floor]) == "floor"
        for name, found in changes(floor, ordered).items()
        if surely_worse(card, found)
    ]
    origins = {n: o.name for n in whole if (o := _original(board, rows[n])) and o.name in whole}
    noise = [Pair(origin, n, changes(origin, [n])[n]) for n, origin in origins.items()]
    if len(ordered) < 2:
        return Judged(beaten=beaten, noise=noise)
    best, *rest = ordered
    differences = changes(best, sorted(rest))
    p = {name: p_value(found) for name, found in differences.items()}
    ranks = LazyRanks(
        partial(
            rank_intervals,
            {name: values[name].values for name in ordered},
            rows[best].speakers,
            {name: values[name].weights for name in ordered},
            card.aggregate,
            better="lower" if card.better == "lower" else "higher",
            target=1.0 if card.better == "one" else None,
        )
    )
    return Judged(best, differences, p, holm(p), ranks, beaten, noise)


def _original(board: Board, row: Row) -> Row | None:
    return board.original(row) if board.control(row) == "replicate" else None
