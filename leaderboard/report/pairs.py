"""Which rows of a board the compare page sets against each other, and their paired differences.

The differences are those of `leaderboard.compare.difference`, but for rounding. Boards of more than `ALL_PAIRS` rows
have all pairs of the first of them, and of every other row its difference to the very first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.record import ColumnValues
from bench.stats import Interval
from leaderboard.compare import difference
from leaderboard.resampled import resampled
from leaderboard.shown import factor, scaled
from leaderboard.view import Column, TaskView

ALL_PAIRS = 30


def chosen(count: int) -> list[tuple[int, int]]:
    """Which pairs of `count` ordered rows have a difference.

    >>> chosen(3), len(chosen(31))
    ([(0, 1), (0, 2), (1, 2)], 436)
    """
    some = min(count, ALL_PAIRS)
    return [(i, j) for i in range(some) for j in range(i + 1, some)] + [(0, j) for j in range(some, count)]


def comparable(view: TaskView, column: Column) -> dict[str, ColumnValues]:
    """Row → values, of rows that have one for every utterance that counts."""
    rows = {row.name: row for row in view.rows}
    full = [n for n, c in column.cells.items() if c.interval is not None and not c.unscored]
    return {n: rows[n].record.tasks[view.name].columns[column.card.name] for n in full}


def differences(
    view: TaskView, column: Column, order: Sequence[str], pairs: Sequence[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], Interval]]:
    """Pair → second − first in the shown unit, for all pairs that share utterances and unit.

    Args:
        order: rows by name; pairs are positions in it.
    """
    card, values = column.card, comparable(view, column)
    rows = {row.name: row for row in view.rows}
    rates = {n: factor(card, rows[n].record.codec.frame_rate) for n in values}
    group_of = resampled(card, values, rows[next(iter(values))].speakers) if values else {}
    for i, seconds in _by_first(pairs).items():
        first = order[i]
        able = [j for j in seconds if first in values and order[j] in values and rates[first] == rates[order[j]]]
        inside = [j for j in able if group_of[order[j]] is group_of[first]]
        if inside:
            found = group_of[first].against(first, [order[j] for j in inside])
            yield from (((i, j), scaled(change, rates[first])) for j, change in zip(inside, found, strict=True))
        for j in able:
            second = order[j]
            # equal utterances of other weights: nothing to share
            if j not in inside and values[first].values.keys() == values[second].values.keys():
                change = difference(card, values[first], values[second], rows[first].speakers)
                yield (i, j), scaled(change, rates[first])


def _by_first(pairs: Sequence[tuple[int, int]]) -> Mapping[int, list[int]]:
    found: dict[int, list[int]] = {}
    for i, j in pairs:
        found.setdefault(i, []).append(j)
    return found
