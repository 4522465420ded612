"""Families side by side, and each published finding seen, not seen, open, or without a row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.errors import RecordError
from leaderboard.board import boards
from leaderboard.families import FAMILIES, findings, report

Run = Callable[..., tuple[int, str]]
COLUMNS: dict[str, dict[str, dict[str, Any]]] = {
    "delta_nll": {
        **{f"es_skill_{ms}ms": {"unit": "1", "decimals": 3} for ms in (80, 160, 320, 640)},
        "own_gain_80ms": {"unit": "nats/frame", "shown": "bit/s", "decimals": 1},
    },
    "rollout_gap": {
        "movement_sampled": {"unit": "1", "better": "one"},
        "movement_mean": {"unit": "1", "better": "one"},
        "gap_mean_1280ms": {"unit": "nats/frame", "better": "lower"},
    },
    "innovation_rate": {
        "rate": {"unit": "nats/frame", "shown": "bit/s", "better": "none"},
        "rate_rec": {"unit": "nats/frame", "shown": "bit/s", "better": "none"},
        "usefulness_mse": {"unit": "var", "better": "none"},
    },
}
USUAL = {
    "own_gain_80ms": 10.0,
    "movement_sampled": 0.9,
    "movement_mean": 0.5,
    "gap_mean_1280ms": 20.0,
    "rate": 2.0,
    "rate_rec": 2.0,
    "usefulness_mse": 0.5,
}


@pytest.fixture
def row(made: Any) -> Callable[..., Any]:
    """A family's record: columns by name → their mean, or None for none; utterances scatter alike in every row."""

    def build(name: str, scatter: float = 0.02, **means: float | None) -> Any:
        tasks = {}
        for task, columns in COLUMNS.items():
            cards = {}
            for i, (column, card) in enumerate(columns.items()):
                mean = means.get(column, USUAL.get(column, 0.2))
                if mean is not None:
                    cards[made.column(column, column, **card)] = made.spread(mean, scatter * (abs(mean) + 1e-3), i)
            tasks[task] = made.entry(cards)
        return made.make(name, tasks)

    return build


def verdict(records: list[Any], which: int) -> str:
    (board,) = boards(records)
    return findings({r.name: r for r in board.rows})[which].verdict


@pytest.mark.parametrize(
    ("saved", "paid", "expected"),
    [(0.0, 2.0, "seen"), (0.5, 2.0, "not seen"), (0.005, 2.0, "open"), (0.0, 0.01, "not seen"), (None, 2.0, "no row")],
)
def test_z_rec_is_unused_where_it_is_paid_and_saves_nothing(row: Any, saved: Any, paid: float, expected: str) -> None:
    assert verdict([row("rssm_ae_v1", usefulness_mse=saved, rate_rec=paid)], 0) == expected


@pytest.mark.parametrize(("moves", "expected"), [(0.002, "seen"), (0.5, "not seen"), (0.1, "open")])
def test_standing_still(row: Any, moves: float, expected: str) -> None:
    assert verdict([row("rssm_ae_v1", movement_mean=moves)], 1) == expected


@pytest.mark.parametrize(("moves", "expected"), [(40.0, "seen"), (0.2, "not seen"), (2.0, "open")])
def test_exploding(row: Any, moves: float, expected: str) -> None:
    assert verdict([row("raw_ar_v1", movement_mean=moves)], 2) == expected


@pytest.mark.parametrize(
    ("forced", "rolled", "expected"),
    [(2.0, 0.2, "seen"), (2.0, 0.1, "seen"), (2.0, 0.5, "not seen"), (-2.0, 0.2, "not seen"), (0.0, 0.2, "not seen")],
)
def test_vanishing_memory(row: Any, forced: float, rolled: float, expected: str) -> None:
    """Of paired differences: what both rows share is in neither."""
    without = row("engram_no_memory_active_v1", es_skill_640ms=0.2, own_gain_80ms=10.0)
    memory = row("engram_v1", es_skill_640ms=rolled, own_gain_80ms=10.0 + forced)
    assert verdict([without, memory], 3) == expected


def test_a_gain_that_is_not_told_from_zero_cannot_be_seen_to_vanish(row: Any) -> None:
    without = row("engram_no_memory_active_v1", own_gain_80ms=10.0)
    assert verdict([without, row("engram_v1", scatter=0.5, own_gain_80ms=10.0)], 3) == "open"


def test_what_is_missing_is_named_with_its_command(row: Any) -> None:
    text = report([row("raw_ar_v1"), row("engram_v1")])
    assert text.count("**no row**") == 3
    assert "`bench run --submission engram_no_memory_active_v1 --suite mini" in text
    missing = text.rpartition("No row yet of ")[2].partition(": ")[0]
    assert missing == ", ".join(f"`{name}`" for name in FAMILIES if name not in ("raw_ar_v1", "engram_v1"))


def test_tables_hold_families_their_seeds_and_differences(row: Any) -> None:
    names = ["rssm_v1", "raw_ar_v1", "raw_ar_v1@seed1", "stranger"]
    text = report([row(n, es_skill_80ms=0.2 + 0.1 * i, own_gain_80ms=None) for i, n in enumerate(names)])
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert [line.split()[1] for line in lines if "_v1" in line] == [
        *("raw_ar_v1", "raw_ar_v1@seed1", "rssm_v1"),
        *("raw_ar_v1@seed1", "rssm_v1"),
    ]
    assert "own" not in text.partition("Published")[0]
    # 2 nats a frame at 12.5 Hz
    assert "36.0" in lines[1]
    assert "−0.10" in lines[-1] and "stranger" not in text


def test_another_version_is_not_compared(row: Any, made: Any) -> None:
    old = row("raw_ar_v1")
    task = old.tasks["delta_nll"].model_copy(update={"version": 2})
    newer = old.model_copy(update={"tasks": {**old.tasks, "delta_nll": task}})
    table = report([newer, row("rssm_v1")]).partition("Difference")[2]
    assert {cell.strip() for cell in table.splitlines()[4].split("|")[2:-1]} == {"–"}


def test_the_command_prints_and_writes(row: Any, made: Any, run: Run, tmp_path: Path) -> None:
    made.write(row("raw_ar_v1"), tmp_path / "records")
    code, said = run("findings", "--records", tmp_path / "records")
    assert code == 0 and "raw_ar_v1" in said
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- families:start -->\n<!-- families:end -->\n")
    assert run("findings", "--records", tmp_path / "records", "--write", page) == (0, "")
    assert report([row("raw_ar_v1")]).split() == page.read_text("utf-8").split()[4:-3]
    assert run("findings", "--records", tmp_path / "records", "--suite", "full")[0] == 2


def test_without_any_family_it_says_what_makes_one(made: Any) -> None:
    with pytest.raises(
        RecordError, match="no record of suite 'mini' is of a family; .bench run --submission raw_ar_v1"
    ):
        report([made.make("stranger")])
