"""Tables say which rows are of the open division, why, and what they disclose; of closed ones they say nothing."""

from __future__ import annotations

from typing import Any

from bench import load_records
from bench.config import TRAINING_SPLIT, DisclosureCard
from bench.record import Record
from leaderboard.board import Row, boards
from leaderboard.divisions import division_of, remarks
from leaderboard.words import provenance

SAID = DisclosureCard(training_hours=1960.5, training_languages=("en", "pt-BR"), overlap="unknown\x1b[31m")


def rows(**disclosed: Any) -> list[Record]:
    """Committed rows of mini; those named were trained on radio."""
    found = []
    for row in load_records():
        if row.suite == "mini" and row.submission.name in ("rssm_v1", "calm_v1", "raw_ar_v1"):
            more = disclosed.get(row.submission.name)
            entry = row.submission.model_copy(update={"training_data": "radio <b>", **more}) if more else row.submission
            found.append(row.model_copy(update={"submission": entry}))
    return found


def named(name: str) -> str:
    return name.upper()


def test_closed_rows_are_not_spoken_of() -> None:
    (board,) = boards(rows())
    assert remarks(board.rows, named) == []
    assert not any("division" in line for line in provenance(board, named))


def test_an_open_row_is_named_with_its_reason_and_disclosure() -> None:
    (board,) = boards(rows(rssm_v1={"disclosure": SAID}, calm_v1={"disclosure": None}))
    lines = remarks(board.rows, named)
    assert sorted(lines) == [
        "open division: CALM_V1 (trained on radio <b>; disclosed in words alone)",
        "open division: RSSM_V1 (trained on radio <b>; 1,960.5 h of en, pt-BR; overlap with the test split: "
        "unknown[31m)",
    ]
    assert set(lines) <= set(provenance(board, named))


def test_rows_of_one_reason_share_a_line() -> None:
    more = {name: {"disclosure": None} for name in ("rssm_v1", "calm_v1", "raw_ar_v1")}
    two = dict(list(more.items())[:2])
    (board,) = boards(rows(**two))
    assert remarks(board.rows, named) == [
        "open division: CALM_V1, RSSM_V1 (trained on radio <b>; disclosed in words alone)"
    ]
    (board,) = boards(rows(**more))
    assert remarks(board.rows, named) == ["open division: all rows (trained on radio <b>; disclosed in words alone)"]


def test_a_suite_that_is_not_installed_is_a_reason(made: Any) -> None:
    row = made.make("x", suite="theirs")
    row = row.model_copy(update={"submission": row.submission.model_copy(update={"training_data": TRAINING_SPLIT})})
    assert division_of(row).reasons == ("no installed suite theirs",)
    assert remarks([Row(row)], named) == ["open division: X (no installed suite theirs)"]
