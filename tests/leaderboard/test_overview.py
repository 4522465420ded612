"""A board at a glance: 80 columns, honest half-widths, and nothing that failed left unsaid."""

from __future__ import annotations

import re
from typing import Any

import pytest
from rich.cells import cell_len

from leaderboard.board import boards
from leaderboard.overview import overview
from leaderboard.view import task_views


def committed_rows() -> list[Any]:
    from leaderboard.store import committed_folder, read_rows

    return read_rows(committed_folder())


def test_the_committed_rows_fit_80_columns_and_every_model_is_there() -> None:
    found = [board for board in boards(committed_rows()) if not board.of_codecs]
    for board in found:
        text = overview([board])
        assert max(cell_len(line) for line in text.splitlines()) <= 80
        for row in board.rows:
            assert (f"\n{row.name} " in text) == (board.control(row) != "replicate"), row.name


def test_the_half_width_is_the_larger_side_of_the_interval(made: Any) -> None:
    card = made.column("gain", "gain")
    skewed = {f"u{i:03d}": 0.0 if i % 5 else 10.0 for i in range(20)}
    rows = [made.make("a", {"t": made.entry({card: skewed})})]
    (board,) = boards(rows)
    found = task_views(board)[0].columns[0].cells["a"].interval
    assert found.high - found.value != pytest.approx(found.value - found.low, rel=0.05)
    half = max(found.high - found.value, found.value - found.low)
    assert f"{found.value:.2f}±{half:.2f}" in overview([board])


def test_every_task_has_its_turn_before_any_has_a_second(made: Any) -> None:
    tasks = {
        name: made.entry({made.column(f"{name}{i}", f"{name}{i}"): made.spread(1.0, seed=i) for i in range(4)})
        for name in ("first", "second", "third")
    }
    text = overview(boards([made.make("a", tasks), made.make("b", tasks)]))
    header = next(line for line in text.splitlines() if "first0" in line).split()
    assert header[:3] == ["first0", "second0", "third0"]
    more = re.search(r"(\d+) more headline columns: ", text)
    assert more is not None
    assert len(header) + int(more[1]) == 12


def test_columns_that_rank_come_before_those_that_do_not(made: Any) -> None:
    unranked = made.column("plain", "plain", ranked=False, better="none")
    ranked = made.column("gain", "gain")
    tasks = {"t": made.entry({unranked: made.spread(1.0), ranked: made.spread(2.0)})}
    text = overview(boards([made.make("a", tasks), made.make("b", tasks)]))
    assert re.search(r"gain\s+plain", text)


def test_what_failed_and_what_is_partial_is_said_and_a_skip_is_a_dash(made: Any) -> None:
    card = made.column("gain", "gain")
    values = made.spread(1.0)
    partial = {u: v for u, v in values.items() if u != "u000"}
    rows = [
        made.make("good", {"t": made.entry({card: values})}),
        made.make("gone", {"t": made.entry(status="failed", reason="RuntimeError: not finite")}),
        made.make("part", {"t": made.entry({card: {"values": partial, "unscored": {"u000": "silent"}}})}),
        made.make("skip", {"t": made.entry(status="skipped", reason="needs log_prob")}),
    ]
    text = overview(boards(rows))
    assert "failed gone: RuntimeError: not finite" in text
    assert "† part: 1 of" in " ".join(text.split())
    assert re.search(r"\nskip\s+–", text)
    assert "needs log_prob" not in text


def test_a_new_row_is_told_what_it_lacks_and_why(made: Any) -> None:
    card, other = made.column("gain", "gain"), made.column("own", "own")
    whole = {"t": made.entry({card: made.spread(1.0), other: made.spread(1.0)})}
    lacking = {"t": made.entry({card: made.spread(1.0)}, skipped_columns={"own": "needs log_prob"})}
    text = overview(boards([made.make("old", lacking), made.make("whole", whole)], [made.make("mine", lacking)]))
    assert "– mine, own: skipped: needs log_prob" in text
    assert "old, own" not in text


def test_floors_that_beat_a_model_are_named(made: Any) -> None:
    card = made.column("gain", "gain")
    rows = [
        made.make("floor", {"t": made.entry({card: made.spread(5.0, 0.1)})}, control="floor"),
        made.make("model", {"t": made.entry({card: made.spread(1.0, 0.1)})}),
    ]
    assert "! a floor beats, in gain: model" in overview(boards(rows))


def test_seed_replicates_are_left_to_the_wide_table(made: Any) -> None:
    tasks = made.planned_tasks()
    text = overview(boards([made.make("a", tasks), made.make("a@seed1", tasks)]))
    assert "a@seed1" not in text


def test_a_board_without_values_says_why(made: Any) -> None:
    rows = [made.make("a", {"t": made.entry(status="failed", reason="no luck")})]
    assert "failed a: failed: no luck" in overview(boards(rows))


def test_fresh_untrained_and_unbelieved_rows_are_marked(made: Any) -> None:
    card = made.column("gain", "gain")
    tasks = {"t": made.entry({card: made.spread(1.0)})}
    fresh = [made.make("new_one", tasks), made.make("doubted", tasks, selftest=None)]
    text = overview(boards([made.make("raw", tasks, trained=False)], fresh))
    assert "new_one (new)" in text
    assert "doubted ‡ (new)" in text
    assert "raw UNTRAINED" in text
    assert "‡ no passed self-test" in text


def test_nothing_is_nothing() -> None:
    assert overview([]) == ""
