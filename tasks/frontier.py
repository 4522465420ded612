"""The least cost at which a quality is reached, from measured points of (cost, quality).

A point that another beats in both is off the frontier. Between neighbours on it the quality is taken as linear in the
logarithm of cost, as sweeps of sampler steps are about; below the cheapest point nothing is assumed, so that its cost
is an upper bound where it already reaches the target. Above the best point nothing is assumed either: "not reached".

The interval: at a crossing between two points the logarithm of the cost moves with both mean qualities, and an
utterance's contribution is its linearised share in that; choosing the frontier from noisy means favours lucky points,
which the interval does not see.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One way of generating.

    Attributes:
        label: its settings.
        cost: above 0.
        quality: utterance id → quality, higher is better; the same utterances at every point.
    """

    label: str
    cost: float
    quality: Mapping[str, float]

    @property
    def mean(self) -> float:
        return math.fsum(self.quality.values()) / len(self.quality)


@dataclass(frozen=True)
class Reached:
    """Where the target is met.

    Attributes:
        cost: the least that reaches the target.
        values: utterance id → linearised contribution; their mean is `cost`.
        bound: the cheapest point measured already reaches it: the truth may be lower.
        between: labels of the points around the crossing, or of the one point.
    """

    cost: float
    values: dict[str, float]
    bound: bool
    between: tuple[str, ...]


def frontier(points: Sequence[Point]) -> list[Point]:
    """Points that no cheaper or equally cheap point matches in mean quality, by rising cost."""
    out: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -p.mean)):
        if not out or point.mean > out[-1].mean:
            out.append(point)
    return out


def least_cost(points: Sequence[Point], target: float) -> Reached | None:
    """The least cost whose quality is at least `target`, or None where no point reaches it.

    Raises:
        ValueError: no points, a cost that is not above 0, or points of different utterances.
    """
    if not points or any(not p.cost > 0 for p in points) or len({frozenset(p.quality) for p in points}) != 1:
        raise ValueError("least_cost: expected points of the same utterances with costs above 0")
    best = frontier(points)
    at = next((i for i, point in enumerate(best) if point.mean >= target), None)
    if at is None:
        return None
    high = best[at]
    if at == 0:
        return Reached(high.cost, dict.fromkeys(high.quality, high.cost), True, (high.label,))
    low = best[at - 1]
    rise, span = high.mean - low.mean, math.log(high.cost / low.cost)
    share = (target - low.mean) / rise
    cost = low.cost * math.exp(share * span)
    values = {}
    for name in high.quality:
        # d share / d low = (share − 1) / rise, d share / d high = −share / rise
        moved = (share - 1) * (low.quality[name] - low.mean) - share * (high.quality[name] - high.mean)
        values[name] = cost * (1 + span * moved / rise)
    return Reached(cost, values, False, (low.label, high.label))
