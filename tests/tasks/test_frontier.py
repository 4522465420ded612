"""Crossings with known answers, and contributions whose spread is that of the crossing."""

import math

import numpy as np
import pytest

from tasks.frontier import Point, frontier, least_cost


def point(cost: float, quality: float, label: str = "", spread: float = 0.0, count: int = 4) -> Point:
    offsets = np.linspace(-spread, spread, count)
    return Point(label or f"{cost:g}", cost, {str(i): quality + float(o) for i, o in enumerate(offsets)})


def test_a_crossing_is_linear_in_the_logarithm_of_cost() -> None:
    found = least_cost([point(1.0, 0.0), point(100.0, 1.0)], 0.5)
    assert found and found.cost == pytest.approx(10.0) and not found.bound and found.between == ("1", "100")
    assert np.mean(list(found.values.values())) == pytest.approx(10.0)


def test_dominated_points_do_not_count() -> None:
    points = [point(1.0, 0.2), point(2.0, 0.1), point(2.0, 0.6), point(4.0, 0.6), point(8.0, 0.9)]
    assert [p.cost for p in frontier(points)] == [1.0, 2.0, 8.0]
    found = least_cost(points, 0.6)
    assert found and found.cost == pytest.approx(2.0)


def test_not_reached_is_an_answer_and_the_cheapest_point_is_a_bound() -> None:
    points = [point(1.0, 0.2), point(4.0, 0.6)]
    assert least_cost(points, 0.61) is None
    found = least_cost(points, 0.1)
    assert found and found.bound and found.cost == 1.0 and set(found.values.values()) == {1.0}


def test_contributions_have_the_spread_of_the_crossing() -> None:
    """Against the crossing of resampled utterances."""
    rng = np.random.default_rng(0)
    n = 200
    low, high = rng.normal(0.2, 0.3, n), rng.normal(0.8, 0.3, n)

    def points(pick: np.ndarray) -> list[Point]:
        return [
            Point(k, c, {str(i): float(q[j]) for i, j in enumerate(pick)})
            for k, c, q in (("low", 1.0, low), ("high", 8.0, high))
        ]

    found = least_cost(points(np.arange(n)), 0.5)
    assert found
    linear = np.std(list(found.values.values())) / math.sqrt(n)
    crossings = [c.cost for _ in range(800) if (c := least_cost(points(rng.integers(0, n, n)), 0.5))]
    assert linear == pytest.approx(np.std(crossings), rel=0.1)


def test_impossible_points_are_refused() -> None:
    for points in ([], [point(0.0, 1.0)], [point(1.0, 1.0), point(2.0, 1.0, count=3)]):
        with pytest.raises(ValueError, match="least_cost"):
            least_cost(points, 0.5)
