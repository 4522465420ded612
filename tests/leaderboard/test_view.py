"""What a table shows, against values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bench.record import Record
from leaderboard.board import Board, boards
from leaderboard.view import Cell, Column, TaskView, task_views

BIT_PER_S = 18.0337  # one nat a frame at 12.5 frames/s


def only_board(*records: Record, fresh: tuple[Record, ...] = ()) -> Board:
    (board,) = boards(records, fresh)
    return board


def only_view(*records: Record, wide: bool = False) -> TaskView:
    (view,) = task_views(only_board(*records), wide)
    return view


def shown(cell: Cell) -> float:
    assert cell.interval is not None
    return cell.interval.value


def rows_of(made: Any, card: Any, **rows: Any) -> TaskView:
    """A board of one task and column; row → values, or a ready entry."""
    entries = {n: v if "status" in v else made.entry({card: v}) for n, v in rows.items()}
    return only_view(*(made.make(n, {"delta_nll": entry}) for n, entry in entries.items()))


def test_nats_per_frame_become_bit_per_second(made: Any) -> None:
    card = made.column("gain_80ms", "ΔNLL 80 ms", unit="nats/frame", shown="bit/s")
    cell = rows_of(made, card, ar={"u000": 0.5, "u001": 1.5}).columns[0].cells["ar"]
    assert shown(cell) == pytest.approx(BIT_PER_S, abs=1e-4)
    assert cell.interval is not None
    assert cell.interval.low == pytest.approx(0.5 * BIT_PER_S, abs=1e-4)


def test_a_share_of_words_becomes_percent(made: Any) -> None:
    """Σ errors / Σ words = (5 + 3) / (10 + 30) = 20 %, though the mean rate is 30 %."""
    card = made.column("wer", "WER", unit="share", shown="%", better="lower")
    given = {"values": {"u000": 0.5, "u001": 0.1}, "weights": {"u000": 10.0, "u001": 30.0}}
    assert shown(rows_of(made, card, ar=given).columns[0].cells["ar"]) == pytest.approx(20.0)


def test_a_median_ignores_an_outlier(made: Any) -> None:
    card = made.column("rtf", "real-time factor", aggregate="median", better="lower")
    cell = rows_of(made, card, ar={"u000": 1.0, "u001": 2.0, "u002": 1e6}).columns[0].cells["ar"]
    assert shown(cell) == 2.0


@pytest.mark.parametrize("better", ["higher", "lower", "one"])
def test_the_best_row_is_by_the_columns_direction(made: Any, better: str) -> None:
    card = made.column("ratio", "ratio", better=better)
    means = {"low": 0.7, "near": 1.1, "high": 3.0}
    view = rows_of(made, card, **{n: made.spread(m, 0.01) for n, m in means.items()})
    column = view.columns[0]
    assert column.judged.best == {"higher": "high", "lower": "low", "one": "near"}[better]
    assert {n for n, c in column.cells.items() if c.rank == "behind"} == means.keys() - {column.judged.best}
    orders = {
        "higher": ["high", "near", "low"],
        "lower": ["low", "near", "high"],
        "one": ["near", "low", "high"],
    }
    assert [row.name for row in view.rows] == orders[better]


def test_a_tie_is_what_the_paired_difference_cannot_tell(made: Any) -> None:
    """All single intervals overlap by far; the pairing still tells `behind`, and not `tied`, from the best."""
    card = made.column("gain", "gain", unit="nats/frame", shown="bit/s")
    best = made.spread(10.0, 5.0, seed=1)
    noise = made.spread(0.0, 1.0, seed=2)
    mean = sum(noise.values()) / len(noise)
    view = rows_of(
        made,
        card,
        best=best,
        tied={u: v + noise[u] - mean - 0.001 for u, v in best.items()},
        behind={u: v - 0.5 + 0.1 * noise[u] for u, v in best.items()},
    )
    column = view.columns[0]
    assert {n: c.rank for n, c in column.cells.items()} == {"best": "best", "tied": "tied", "behind": "behind"}
    change = column.judged.differences["tied"]
    assert change.value == pytest.approx(-0.001 * BIT_PER_S, abs=1e-4)
    assert change.low < 0 < change.high
    singles = [c.interval for c in column.cells.values() if c.interval]
    assert max(i.low for i in singles) < min(i.high for i in singles)
    assert column.judged.differences["behind"].high < 0


def test_twins_are_tied(made: Any) -> None:
    card = made.column("gain", "gain")
    column = rows_of(made, card, a=made.spread(1.0), b=made.spread(1.0)).columns[0]
    assert [column.cells[n].rank for n in "ab"] == ["best", "tied"]


def test_one_utterance_never_separates_rows(made: Any) -> None:
    column = rows_of(made, made.column("gain", "gain"), a={"u000": 1.0}, b={"u000": 2.0}).columns[0]
    assert column.cells["a"].rank == "tied"


def test_a_row_alone_is_not_called_the_best(made: Any) -> None:
    assert rows_of(made, made.column("gain", "gain"), a=made.spread(1.0)).columns[0].judged.best == ""


def test_an_unranked_column_has_no_best(made: Any) -> None:
    for card in (made.column("a", "a", ranked=False), made.column("b", "b", better="none")):
        assert rows_of(made, card, a=made.spread(1.0), b=made.spread(9.0)).columns[0].judged.best == ""


def test_a_partial_row_is_unranked_and_says_why(made: Any) -> None:
    card = made.column("pesq", "PESQ")
    values = made.spread(9.0, 0.1)
    lost = {"u003": "too short", "u007": "no speech", "u009": "no speech"}
    partial = {"values": {u: v for u, v in values.items() if u not in lost}, "unscored": lost}
    column = rows_of(made, card, partial=partial, a=made.spread(1.0, 0.1), b=made.spread(2.0, 0.1)).columns[0]
    assert column.judged.best == "b"
    assert column.cells["partial"].rank == ""
    assert list(column.cells["partial"].unscored.items()) == [("no speech", 2), ("too short", 1)]
    assert shown(column.cells["partial"]) == pytest.approx(9.0, abs=0.1)


def test_a_row_that_silently_lacks_utterances_is_partial(made: Any) -> None:
    values = made.spread(9.0)
    fewer = {u: v for u, v in values.items() if u != "u000"}
    column = rows_of(made, made.column("pesq", "PESQ"), fewer=fewer, a=values, b=made.spread(1.0)).columns[0]
    assert column.cells["fewer"].unscored == {"no value": 1}
    assert column.cells["fewer"].rank == ""


def test_a_column_on_part_of_the_split_is_whole_for_all(made: Any) -> None:
    """An open-vocabulary WER hears two minutes of the split: utterances nobody tried are not missing."""
    some = {f"u{i:03d}": 0.1 for i in range(10)}
    column = rows_of(made, made.column("wer", "WER", better="lower"), a=some, b=dict.fromkeys(some, 0.2)).columns[0]
    assert column.judged.best == "a"
    assert column.cells["a"].unscored == {}


def test_a_column_where_nothing_was_scored_has_the_reasons(made: Any) -> None:
    given = {"values": {}, "unscored": {"u000": "no speech", "u001": "no speech"}}
    cell = rows_of(made, made.column("pesq", "PESQ"), a=given).columns[0].cells["a"]
    assert (cell.interval, cell.status, cell.reason) == (None, "absent", "2 × no speech")


def test_untrained_codecs_are_never_ranked(made: Any) -> None:
    card = made.column("gain", "gain")
    tasks = {n: {"delta_nll": made.entry({card: made.spread(m, 0.1)})} for n, m in (("a", 1), ("b", 2), ("c", 99))}
    random = made.make("c", tasks["c"], trained=False, weights="random", created="2030-01-01")
    view = only_view(made.make("a", tasks["a"]), made.make("b", tasks["b"]), random)
    assert view.columns[0].judged.best == "b"
    assert view.columns[0].cells["c"].rank == ""
    assert shown(view.columns[0].cells["c"]) == pytest.approx(99, abs=0.1)


def test_only_headline_columns_unless_wide(made: Any) -> None:
    record = made.make(tasks={"delta_nll": made.planned_tasks()["delta_nll"]})
    few, all_of_them = ([c.card.name for c in only_view(record, wide=w).columns] for w in (False, True))
    assert few == ["gain_80ms", "gain_160ms", "gain_320ms", "gain_640ms", "es_skill_80ms"]
    assert all_of_them == list(made.planned_columns()["delta_nll"])


def test_versions_are_never_mixed(made: Any) -> None:
    card = made.column("gain", "gain")
    old = made.entry({card: made.spread(99.0)})
    view = rows_of(made, card, old=old, new=made.entry({card: made.spread(1.0)}, version=2))
    assert view.version == 2
    assert [row.name for row in view.rows] == ["new"]
    assert view.other == {"old": "older version 1"}
    assert view.columns[0].cells.keys() == {"new"}


def test_a_failed_newer_version_does_not_empty_the_table(made: Any) -> None:
    card = made.column("gain", "gain")
    failed = made.entry(version=2, status="failed", reason="RuntimeError")
    view = rows_of(made, card, a=made.spread(1.0), b=failed)
    assert (view.version, [r.name for r in view.rows]) == (1, ["a"])
    assert view.other == {"b": "newer version 2, failed"}


def test_parameters_are_never_mixed(made: Any) -> None:
    card = made.column("gain", "gain")
    few = made.make("few", {"t": made.entry({card: made.spread(99.0)}, parameters={"steps": 5})})
    many = made.make("many", {"t": made.entry({card: made.spread(1.0)})}, created="2025-02-01")
    view = only_view(few, many)
    assert view.other == {"few": "other parameters (steps)"}


def test_a_changed_unit_is_not_compared(made: Any) -> None:
    new = made.make("new", {"t": made.entry({made.column("g", "g", unit="dB"): made.spread(1.0)})}, created="2026")
    old = made.make("old", {"t": made.entry({made.column("g", "g", unit="nats/frame"): made.spread(9.0)})})
    cells = only_view(new, old).columns[0].cells
    assert cells["old"].interval is None
    assert cells["old"].reason == "measured in nats/frame"


@pytest.mark.parametrize("status", ["skipped", "failed"])
def test_what_has_no_value_has_its_reason(made: Any, status: Any) -> None:
    card = made.column("gain", "gain")
    view = rows_of(made, card, a=made.spread(1.0), b=made.entry(status=status, reason="needs log_prob"))
    assert view.columns[0].cells["b"] == Cell(status=status, reason="needs log_prob")


def test_skipped_columns_have_their_reasons(made: Any) -> None:
    gain, own = made.column("gain", "gain"), made.column("own", "own")
    skips = {"own": "samples only", "nobody_has_it": "no recogniser"}
    a = made.entry({gain: made.spread(1.0), own: made.spread(1.0)})
    b = made.entry({gain: made.spread(1.0)}, skipped_columns=skips)
    view = only_view(made.make("a", {"t": a}), made.make("b", {"t": b}))
    assert view.columns[1].cells["b"] == Cell(status="skipped", reason="samples only")
    assert view.skipped == {"nobody_has_it": {"b": "no recogniser"}}


@pytest.mark.parametrize(
    ("notes", "bound"),
    [
        ({"bounds": {"gain": "lower"}}, "lower"),
        ({"bounds": {"gain": "upper"}}, "upper"),
        ({"bounds": {"gain": "sideways"}}, ""),
        ({"bounds": {"other": "lower"}}, ""),
        ({"bounds": ["gain"]}, ""),
        ({}, ""),
    ],
)
def test_bounds_are_as_the_task_noted(made: Any, notes: dict[str, Any], bound: str) -> None:
    card = made.column("gain", "gain", bound=True)
    view = rows_of(made, card, a=made.entry({card: made.spread(1.0)}, notes=notes))
    assert view.columns[0].cells["a"].bound == bound


def test_ranks_use_speakers_where_there_are_enough(made: Any) -> None:
    card = made.column("gain", "gain")
    tasks = {"t": made.entry({card: made.spread(1.0)})}
    for speakers, over in ((4, "utterances"), (20, "speakers")):
        cell = only_view(made.make(tasks=tasks, speakers=speakers)).columns[0].cells["raw_ar"]
        assert cell.interval is not None
        assert cell.interval.over == over


# --- boards ------------------------------------------------------------------------------------------------


def test_boards_are_by_suite_dataset_and_codec(made: Any) -> None:
    rows = [made.make(n, suite=s, codec=c, dataset=d) for n, s, c, d in ("amms", "bmms", "cqms", "dmns", "emmt")]
    found = {(b.suite, b.codec, b.dataset): [r.name for r in b.rows] for b in boards(rows)}
    assert found == {
        ("m", "m", "s"): ["a", "b"],
        ("q", "m", "s"): ["c"],
        ("m", "n", "s"): ["d"],
        ("m", "m", "t"): ["e"],
    }


def test_a_fresh_row_replaces_the_committed_one(made: Any) -> None:
    old, other, new = made.make("a", commit="old"), made.make("b"), made.make("a", commit="new")
    board = only_board(old, other, fresh=(new,))
    assert [(r.name, r.new, r.record.environment.commit) for r in board.rows] == [
        ("a", True, "new"),
        ("b", False, "0123456789abcdef"),
    ]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"dataset_digest": "other"}, "its synthspeech has other content than the newest row's"),
        ({"weights": "other"}, "its minicodec has other weights than the newest row's"),
        ({"utterances": 7}, "scored on other utterances than the newest row"),
    ],
)
def test_rows_on_other_ground_are_left_out(made: Any, changed: dict[str, Any], why: str) -> None:
    board = only_board(made.make("old", **changed), made.make("new", created="2026-01-01"))
    assert [row.name for row in board.rows] == ["new"]
    assert board.left_out == {"old": why}


def test_intervals_are_in_the_shown_unit(made: Any) -> None:
    card = made.column("gain", "gain", unit="nats/frame", shown="bit/s")
    plain = made.column("gain", "gain", unit="nats/frame")
    values = made.spread(1.0)
    a, b = (rows_of(made, c, a=values).columns[0].cells["a"].interval for c in (card, plain))
    assert a is not None
    assert b is not None
    factor = 12.5 / math.log(2)
    assert (a.value, a.low, a.high) == pytest.approx((b.value * factor, b.low * factor, b.high * factor))


def test_columns_keep_the_order_of_the_newest_row(made: Any) -> None:
    x, y, z = (made.column(n, n) for n in "xyz")
    old = made.make("old", {"t": made.entry({z: made.spread(1.0), x: made.spread(1.0)})}, created="2024")
    new = made.make("new", {"t": made.entry({y: made.spread(1.0), x: made.spread(1.0)})}, created="2025")
    columns: tuple[Column, ...] = only_view(old, new).columns
    assert [c.card.name for c in columns] == ["y", "x", "z"]
