"""The commands: exit codes, folders, the file between markers, and the table after a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.errors import RecordError
from leaderboard import cli

Run = Callable[..., tuple[int, str]]
ROOT = Path(__file__).parents[2]
START, END = "<!-- leaderboard:start -->", "<!-- leaderboard:end -->"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.replace('"name": "a"', '"name": "x"', 1), "edited after it was written"),
        (lambda t: t.replace('"schema_version": 2', '"schema_version": 99'), "expected schema version 2, got 99"),
        (lambda t: t[:1000], "not a record"),
    ],
)
def test_edited_records_are_refused_by_the_check_and_left_out_of_the_table(
    committed: Path, run: Run, edit: Callable[[str], str], message: str
) -> None:
    path = next(committed.glob("a--*.json"))
    path.write_text(edit(path.read_text("utf-8")), encoding="utf-8")
    code, said = run("check", "--fresh", committed)
    assert code == 2
    assert squeezed(message) in squeezed(said)
    assert path.name in squeezed(said)
    code, said = run("leaderboard")
    assert code == 0
    assert f"not shown: {path.name}: " in said
    assert message in " ".join(said.split())
    assert "\nb " in said
    assert "\na " not in said


def test_of_two_records_of_one_row_the_first_is_shown_and_the_check_refuses(committed: Path, run: Run) -> None:
    path = next(committed.glob("a--*.json"))
    (committed / "copy.json").write_bytes(path.read_bytes())
    message = f"copy.json: the row mini / synthspeech / minicodec / a is already in {path.name}"
    code, said = run("leaderboard")
    assert code == 0
    assert f"not shown: {message}" in said
    code, said = run("check", "--fresh", committed)
    assert code == 2
    assert squeezed(message) in squeezed(said)


def squeezed(text: str) -> str:
    """Without the spaces and line ends that wrapping moves."""
    return "".join(text.split())


def test_a_table_of_nothing_says_how_to_make_rows(tmp_path: Path, run: Run) -> None:
    (tmp_path / "empty").mkdir()
    code, said = run("leaderboard", "--records", tmp_path / "empty")
    assert code == 0
    assert said == "no rows of models here; `bench run --submission NAME` makes them\n"
    assert json.loads(run("leaderboard", "--records", tmp_path / "empty", "--format", "json")[1]) == []
    code, said = run("leaderboard", "--records", tmp_path / "missing")
    assert code == 2
    assert "no such folder of records" in said


def test_columns_and_order_are_the_readers(run: Run, committed: Path) -> None:
    code, said = run("leaderboard", "--columns", "gain_80ms,rollout_gap.gap_160ms", "--sort", "gap_160ms")
    shown = json.loads(run("leaderboard", "--columns", "gain_80ms", "--format", "json")[1])
    assert code == 0
    assert [c["name"] for task in shown[0]["tasks"] for c in task["columns"]] == ["gain_80ms"]
    # by the gain b is first, by the gap, of which less is better, a
    assert said.index("\na ") < said.index("\nb ")
    unsorted = run("leaderboard", "--columns", "gain_80ms,rollout_gap.gap_160ms")[1]
    assert unsorted.index("\nb ") < unsorted.index("\na ")
    assert run("leaderboard", "--columns", "gain_80ms", "--sort", "nothing")[0] == 2
    code, said = run("leaderboard", "--columns", "gain_80")
    assert code == 2
    assert "no column 'gain_80'" in said
    assert "gain_80ms" in said


def test_leaderboard_shows_the_packaged_records_or_a_folder(
    tmp_path: Path, made: Any, run: Run, committed: Path
) -> None:
    made.write(made.make("only_here"), tmp_path / "mine")
    assert "only_here" not in run("leaderboard")[1]
    code, said = run("leaderboard", "--records", tmp_path / "mine")
    assert code == 0
    assert "only_here" in said
    assert "\nb " not in said
    code, said = run("leaderboard", "--fresh", tmp_path / "mine")
    assert "only_here (new)" in said
    assert "\nb " in said


def test_leaderboard_filters_and_knows_its_names(made: Any, run: Run, committed: Path) -> None:
    made.write(made.make("c", suite="quick"), committed)
    assert json.loads(run("leaderboard", "--suite", "quick", "--format", "json")[1])[0]["suite"] == "quick"
    code, said = run("leaderboard", "--suite", "full")
    assert code == 2
    assert "'full'; there are: mini, quick" in said


def test_a_suite_is_shown_with_those_that_stand_beside_it(made: Any, run: Run, committed: Path) -> None:
    for suite in ("mini", "generation", "quick"):
        made.write(made.make("a", suite=suite), committed)
    shown = json.loads(run("leaderboard", "--suite", "mini", "--format", "json")[1])
    assert {board["suite"] for board in shown} == {"mini", "generation"}
    assert [b["suite"] for b in json.loads(run("leaderboard", "--suite", "generation", "--format", "json")[1])] == [
        "generation"
    ]
    assert "generation ·" not in run("leaderboard", "--suite", "mini", "--brief")[1]


def test_leaderboard_writes_between_the_markers(tmp_path: Path, run: Run, committed: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{START}\n{END}\nafter\n")
    assert run("leaderboard", "--format", "md", "--write", page) == (0, "")
    once = page.read_text("utf-8")
    assert "### mini · synthspeech · minicodec" in once
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    run("leaderboard", "--format", "md", "--write", page)
    assert page.read_text("utf-8") == once
    page.write_text("no markers")
    assert run("leaderboard", "--format", "md", "--write", page)[0] == 2
    assert run("leaderboard", "--write", page)[0] == 2
    assert page.read_text() == "no markers"


def test_after_a_run_its_board_is_shown_over_the_committed_rows(tmp_path: Path, made: Any, committed: Path) -> None:
    fresh = tmp_path / "fresh"
    made.write(made.make("earlier"), fresh)
    made.write(made.make("elsewhere", suite="quick"), fresh)
    said = cli.after_run(fresh, [made.write(made.make("b", made.planned_tasks(1.5)), fresh)])
    assert "mini · synthspeech · minicodec" in said
    assert "quick" not in said
    for row in ("\na ", "\nb (new) ", "\nearlier (new) "):
        assert row in said
    assert "own ΔNLL" not in said
    assert "own ΔNLL" in cli.after_run(fresh, [next(fresh.glob("b--*"))], wide=True)


def test_a_stray_file_does_not_cost_a_run_its_table(
    tmp_path: Path, made: Any, committed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fresh = tmp_path / "fresh"
    path = made.write(made.make("c"), fresh)
    (fresh / "stray.json").write_text("{}")
    assert "c (new)" in cli.after_run(fresh, [path])
    assert "stray.json" in caplog.text
    with pytest.raises(RecordError, match="stray"):
        cli.after_run(fresh, [fresh / "stray.json"])


def test_a_terminal_without_unicode_still_sees_minus_signs(tmp_path: Path, made: Any) -> None:
    card = made.column("gain", "ΔNLL")
    made.write(made.make("a", {"t": made.entry({card: made.spread(-3.0, 0)})}), tmp_path)
    code = "import typer; from leaderboard.cli import register; app = typer.Typer(); register(app); app()"
    command = [sys.executable, "-c", code, "leaderboard", "--records", str(tmp_path)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert b"-3.00+-0.00" in done.stdout


def test_nothing_here_loads_torch(tmp_path: Path, made: Any) -> None:
    """Neither importing the modules nor showing and checking records."""
    made.write(made.make("a"), tmp_path)
    code = f"""
import sys, typer
from pathlib import Path
import leaderboard.gate.judge, leaderboard.gate.report, leaderboard.headings, leaderboard.store, leaderboard.table
from leaderboard.cli import register
heavy = [m for m in ("torch", "tasks", "baselines") if m in sys.modules]
assert not heavy, heavy
app = typer.Typer()
register(app)
for line in (["leaderboard", "--records"], ["check", "--committed", {str(tmp_path)!r}, "--fresh"]):
    app([*line, {str(tmp_path)!r}], standalone_mode=False)
heavy = [m for m in sys.modules if m == "torch" or m.split(".")[0] in ("tasks", "baselines")]
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "raw_ar" not in done.stderr


def test_registering_imports_nothing_heavy() -> None:
    code = """
import sys
import leaderboard.cli
slow = [m for m in ("numpy", "pydantic", "tabulate", "torch") if m in sys.modules]
assert not slow, slow
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
