"""Paired differences of the compare page: those of leaderboard.compare, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from leaderboard.board import boards
from leaderboard.compare import difference
from leaderboard.report.pairs import ALL_PAIRS, chosen, comparable, differences
from leaderboard.shown import factor, scaled
from leaderboard.view import task_views

NUMBERS = ("value", "low", "high", "error")


def rows(made: Any, speakers: int, count: int = 4, unscored: bool = False, weights: bool = False) -> list[Any]:
    """Rows with a mean, a median and a column where one is best; of the last some utterances have no value."""
    rng = np.random.default_rng(3)
    cards = [
        made.column("gain", "gain", unit="nats/frame", shown="bit/s"),
        made.column("middle", "middle", better="lower", aggregate="median"),
        made.column("one", "one", better="one"),
        made.column("plain", "plain", better="none", ranked=False),
    ]
    found = []
    for k in range(count):
        columns = {}
        for place, card in enumerate(cards):
            values = made.spread(1 + 0.1 * k, 0.3, 10 * place + k)
            given: dict[str, Any] = {"values": values}
            if weights and card.aggregate == "mean":
                given["weights"] = {u: float(rng.integers(0, 3)) for u in values}
            if unscored and k == count - 1:
                given["unscored"] = dict.fromkeys(list(values)[:3], "too short")
                given["values"] = dict(list(values.items())[3:])
            columns[card] = given
        found.append(made.make(f"row_{k}", {"task": made.entry(columns)}, speakers=speakers))
    return found


@pytest.mark.parametrize("speakers", [4, 25], ids=["utterances", "speakers"])
@pytest.mark.parametrize("weights", [False, True], ids=["equal weights", "weights of each row"])
def test_pairs_are_those_of_compare(made: Any, speakers: int, weights: bool) -> None:
    (board,) = boards(rows(made, speakers, weights=weights))
    (view,) = task_views(board, wide=True)
    order = [row.name for row in board.rows]
    by_name = {row.name: row for row in board.rows}
    for column in view.columns:
        found = dict(differences(view, column, order, chosen(len(order))))
        assert set(found) == set(chosen(4))
        values = comparable(view, column)
        for (i, j), change in found.items():
            alone = difference(column.card, values[order[i]], values[order[j]], by_name[order[i]].speakers)
            expected = scaled(alone, factor(column.card, 12.5))
            assert (change.n, change.over) == (expected.n, expected.over)
            for name in NUMBERS:
                assert getattr(change, name) == pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-12)


def test_a_row_that_lacks_utterances_has_no_difference(made: Any) -> None:
    (board,) = boards(rows(made, 4, unscored=True))
    (view,) = task_views(board, wide=True)
    order = [row.name for row in board.rows]
    found = dict(differences(view, view.columns[0], order, chosen(len(order))))
    assert set(found) == {(0, 1), (0, 2), (1, 2)}


def test_rows_of_other_frame_rates_have_no_difference_in_bits(made: Any) -> None:
    slow, fast = rows(made, 4, count=2)
    fast = fast.model_copy(update={"codec": fast.codec.model_copy(update={"hop": 640})}).sealed()
    board = boards([slow])[0]
    from dataclasses import replace

    from leaderboard.board import Row

    both = replace(board, rows=(Row(slow), Row(fast)))
    (view,) = task_views(both, wide=True)
    found = {c.card.name: dict(differences(view, c, ["row_0", "row_1"], [(0, 1)])) for c in view.columns}
    assert not found["gain"] and found["plain"]


def test_one_utterance_tells_nothing(made: Any) -> None:
    card = made.column("gain", "gain")
    pair = [made.make(n, {"task": made.entry({card: {"u000": v}})}, utterances=1) for n, v in (("a", 1.0), ("b", 2.0))]
    (board,) = boards(pair)
    (view,) = task_views(board, wide=True)
    ((_, change),) = differences(view, view.columns[0], ["a", "b"], [(0, 1)])
    assert (change.value, change.n, change.error) == (1.0, 1, float("inf"))


def test_large_boards_have_all_pairs_of_the_first_rows_and_the_leader_against_the_rest() -> None:
    pairs = chosen(ALL_PAIRS + 5)
    assert len(pairs) == ALL_PAIRS * (ALL_PAIRS - 1) // 2 + 5
    assert pairs[-5:] == [(0, j) for j in range(ALL_PAIRS, ALL_PAIRS + 5)]
