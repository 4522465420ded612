"""Which of two rows is better in a column, and whether the utterances can tell."""

from __future__ import annotations

from collections.abc import Mapping

from bench.config import ColumnCard
from bench.record import ColumnValues
from bench.stats import Interval, paired_interval


def order(card: ColumnCard, value: float) -> float:
    """What to sort by, smallest first: the value, its negative, or its distance from one.

    `value` is in the record's unit.
    """
    if card.better == "one":
        return abs(value - 1.0)
    return -value if card.better == "higher" else value


def difference(card: ColumnCard, first: ColumnValues, second: ColumnValues, speakers: Mapping[str, str]) -> Interval:
    """second − first on the same utterances, in the record's unit.

    Where one is best it is the difference of the aggregates' distances from one. For a median it is the median
    of the differences.

    Args:
        speakers: utterance id → speaker.

    Raises:
        RecordError: the two hold different utterances.
    """
    weights = second.weights
    if weights is None and first.weights is not None:
        weights = dict.fromkeys(second.values, 1.0)
    return paired_interval(
        first.values,
        second.values,
        speakers,
        first.weights,
        card.aggregate,
        weights_b=weights,
        target=1.0 if card.better == "one" else None,
    )


def surely_worse(card: ColumnCard, change: Interval) -> bool:
    """Whether second − first, as `difference` gives it, says that the second is worse."""
    if covers_zero(change):
        return False
    return change.value < 0 if card.better == "higher" else change.value > 0


def covers_zero(change: Interval) -> bool:
    """Whether the data cannot tell the two apart; a single utterance never can."""
    return change.n < 2 or change.low <= 0.0 <= change.high
