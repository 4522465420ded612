"""From a record's units to the table's, and numbers to text.

Conventions: records hold nats per frame and shares; tables show bit/s (nats/frame × frames/s ÷ ln 2) and %.
"""

from __future__ import annotations

import math
from dataclasses import replace

from bench.config import ColumnCard
from bench.stats import Interval

SIGNS = {"lower": "≥", "upper": "≤", "": ""}
"""Before a value that is a bound of that kind."""
ARROWS = {"higher": "↑", "lower": "↓", "one": "→1", "none": ""}
MOST_DECIMALS = 4
LARGEST_PLAIN = 1e6


def factor(card: ColumnCard, frame_rate: float) -> float:
    """What a value in `card.unit` is multiplied with to be in `unit(card)`.

    >>> from bench.config import ColumnCard
    >>> card = ColumnCard(name="rate", title="rate", unit="nats/frame", shown="bit/s", better="lower")
    >>> round(factor(card, 12.5), 4)
    18.0337
    """
    if (card.unit, card.shown) == ("nats/frame", "bit/s"):
        return frame_rate / math.log(2)
    if (card.unit, card.shown) == ("share", "%"):
        return 100.0
    return 1.0


def unit(card: ColumnCard) -> str:
    """The unit of the table: `card.shown` where the conversion is known, else the record's own; "1" is none."""
    if (card.unit, card.shown) in {("nats/frame", "bit/s"), ("share", "%")}:
        return card.shown
    return "" if card.unit == "1" else card.unit


def scaled(interval: Interval, by: float) -> Interval:
    """The interval in another unit; `by` is positive."""
    moved = {name: getattr(interval, name) * by for name in ("value", "low", "high", "error")}
    return replace(interval, **moved)


def number(value: float, decimals: int) -> str:
    """A number with a true minus sign and no negative zero; beyond a million in powers of ten.

    >>> number(-3.14159, 2), number(-0.001, 2), number(2.5e9, 1)
    ('−3.14', '0.00', '2.50e+09')
    """
    places = min(max(decimals, 0), MOST_DECIMALS)
    text = f"{value:.2e}" if abs(value) >= LARGEST_PLAIN else f"{value:.{places}f}"
    if not text.strip("-0."):
        text = text.lstrip("-")
    return text.replace("-", "−", 1) if text.startswith("-") else text


def bounds(interval: Interval, decimals: int) -> str:
    """`[low, high]`; a single utterance or speaker has no interval."""
    if interval.n < 2:
        return "[n = 1]"
    return f"[{number(interval.low, decimals)}, {number(interval.high, decimals)}]"


def arrow(card: ColumnCard) -> str:
    """↑ where more is better, ↓ where less is, →1 where one is."""
    return ARROWS[card.better]
