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
from leaderboard import cli, store

Run = Callable[..., tuple[int, str]]
ROOT = Path(__file__).parents[2]
START, END = "<!-- leaderboard:start -->", "<!-- leaderboard:end -->"


@pytest.fixture
def committed(tmp_path: Path, made: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the rows a and b, standing for the packaged one."""
    folder = tmp_path / "committed"
    for name, level in (("a", 1.0), ("b", 1.02)):
        made.write(made.make(name, made.planned_tasks(level)), folder)
    monkeypatch.setattr(store, "committed_folder", lambda: folder)
    return folder


def worse(made: Any, by: float) -> dict[str, Any]:
    """The tasks of row a with every 80 ms gain lower by `by` nats a frame, give or take 10 %."""
    tasks: dict[str, Any] = made.planned_tasks(1.0)
    column = tasks["delta_nll"]["columns"]["gain_80ms"]
    lost = made.spread(by, 0.1 * by, seed=77)
    column["values"] = {u: v - lost[u] for u, v in column["values"].items()}
    return tasks


def test_check_passes_what_did_not_change(tmp_path: Path, made: Any, run: Run, committed: Path) -> None:
    made.write(made.make("a", created="2026"), tmp_path / "fresh")
    code, said = run("check", "--fresh", tmp_path / "fresh", "--committed", committed)
    assert code == 0
    assert "0 regressed" in said
    assert "not run: mini / synthspeech / minicodec / b" in said


def test_check_fails_on_a_planted_regression(tmp_path: Path, made: Any, run: Run, committed: Path) -> None:
    made.write(made.make("a", worse(made, 0.1)), tmp_path / "fresh")
    code, said = run("check", "--fresh", tmp_path / "fresh")
    assert code == 1
    assert "1 regressed" in said
    assert "gain_80ms" in said
    code, said = run("check", "--fresh", tmp_path / "fresh", "--format", "json")
    assert code == 1
    regressed = [c["column"] for c in json.loads(said)["changes"] if c["verdict"] == "regressed"]
    assert regressed == ["gain_80ms"]


def test_check_tolerates_less_than_the_margin(tmp_path: Path, made: Any, run: Run, committed: Path) -> None:
    made.write(made.make("a", worse(made, 0.04)), tmp_path / "fresh")
    assert run("check", "--fresh", tmp_path / "fresh")[0] == 0


def test_check_all_fails_on_a_missing_row(tmp_path: Path, made: Any, run: Run, committed: Path) -> None:
    made.write(made.make("a"), tmp_path / "fresh")
    assert run("check", "--fresh", tmp_path / "fresh", "--all")[0] == 1
    made.write(made.make("b", made.planned_tasks(1.02)), tmp_path / "fresh")
    assert run("check", "--fresh", tmp_path / "fresh", "--all")[0] == 0


def test_a_task_that_was_not_run_fails_only_when_all_must_be(
    tmp_path: Path, made: Any, run: Run, committed: Path
) -> None:
    """As after `bench run --task delta_nll`."""
    made.write(made.make("a", {"delta_nll": made.planned_tasks()["delta_nll"]}), tmp_path / "fresh")
    made.write(made.make("b", made.planned_tasks(1.02)), tmp_path / "fresh")
    code, said = run("check", "--fresh", tmp_path / "fresh")
    assert code == 0
    assert "0 regressed" in said
    assert "not run: mini / synthspeech / minicodec / a / rollout_gap" in said
    assert run("check", "--fresh", tmp_path / "fresh", "--all")[0] == 1
    document = json.loads(run("check", "--fresh", tmp_path / "fresh", "--format", "json")[1])
    assert ["mini", "synthspeech", "minicodec", "a", "rollout_gap"] in document["tasks_not_run"]


def test_check_refuses_what_cannot_be_compared(tmp_path: Path, made: Any, run: Run, committed: Path) -> None:
    tasks = made.planned_tasks()
    tasks["delta_nll"]["version"] = 2
    made.write(made.make("a", tasks), tmp_path / "version")
    made.write(made.make("z"), tmp_path / "stranger")
    (tmp_path / "empty").mkdir()
    for folder, message in (
        ("version", "expected version 1 as committed, got 2"),
        ("stranger", "no fresh row has a committed one"),
        ("empty", "no records there"),
        ("missing", "no such folder"),
    ):
        code, said = run("check", "--fresh", tmp_path / folder)
        assert (code, message in said, "\n" in said) == (2, True, False)


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
    assert message in said
    assert path.name in said
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
    assert message in said


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
import leaderboard.changes, leaderboard.headings, leaderboard.regress, leaderboard.store, leaderboard.table
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
