"""`bench check` and `bench calibrate-noise`: exit codes, folders, and several outputs of one run."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leaderboard.gate import noise

Run = Callable[..., tuple[int, str]]


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


def test_the_noise_that_lies_with_the_suite_is_used(tmp_path: Path, made: Any, run: Run, committed: Path) -> None:
    """The shipped noise of mini is of version 2 of delta_nll; these rows have 1, and it is said."""
    made.write(made.make("a", worse(made, 0.1), weights_digest="w2"), tmp_path / "fresh")
    code, said = run("check", "--fresh", tmp_path / "fresh", "--format", "json")
    assert code == 1
    assert "its noise was measured at version 2, the rows have 1: not used" in " ".join(json.loads(said)["notes"])


def test_check_all_refuses_a_missing_row(tmp_path: Path, made: Any, run: Run, committed: Path) -> None:
    made.write(made.make("a"), tmp_path / "fresh")
    code, said = run("check", "--fresh", tmp_path / "fresh", "--all")
    assert code == 2
    assert "refused: mini/synthspeech/minicodec/b: a committed row that was not run" in said
    made.write(made.make("b", made.planned_tasks(1.02)), tmp_path / "fresh")
    assert run("check", "--fresh", tmp_path / "fresh", "--all")[0] == 0


def test_a_task_that_was_not_run_is_refused_only_when_all_must_be(
    tmp_path: Path, made: Any, run: Run, committed: Path
) -> None:
    """As after `bench run --task delta_nll`."""
    made.write(made.make("a", {"delta_nll": made.planned_tasks()["delta_nll"]}), tmp_path / "fresh")
    made.write(made.make("b", made.planned_tasks(1.02)), tmp_path / "fresh")
    code, said = run("check", "--fresh", tmp_path / "fresh")
    assert code == 0
    assert "0 regressed" in said
    assert "not run: mini / synthspeech / minicodec / a / rollout_gap" in said
    assert run("check", "--fresh", tmp_path / "fresh", "--all")[0] == 2
    document = json.loads(run("check", "--fresh", tmp_path / "fresh", "--format", "json")[1])
    assert ["mini", "synthspeech", "minicodec", "a", "rollout_gap"] in document["tasks_not_run"]


def test_check_refuses_what_cannot_be_compared(tmp_path: Path, made: Any, run: Run, committed: Path) -> None:
    tasks = made.planned_tasks()
    tasks["delta_nll"]["version"] = 2
    made.write(made.make("a", tasks), tmp_path / "version")
    made.write(made.make("z"), tmp_path / "stranger")
    made.write(made.make("a", dirty=True), tmp_path / "dirty")
    (tmp_path / "empty").mkdir()
    for folder, message in (
        ("version", "expected version 1 as committed, got 2"),
        ("stranger", "no fresh row has a committed one"),
        ("dirty", "uncommitted changes"),
        ("empty", "no records there"),
        ("missing", "no such folder"),
    ):
        code, said = run("check", "--fresh", tmp_path / folder)
        assert (code, message in " ".join(said.split())) == (2, True), said
    assert run("check", "--fresh", tmp_path / "dirty", "--allow-dirty")[0] == 0


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.replace('"name": "a"', '"name": "x"', 1), "edited after it was written"),
        (lambda t: t.replace('"schema_version": 2', '"schema_version": 99'), "expected schema version 2, got 99"),
        (lambda t: t[:1000], "not a record"),
    ],
)
def test_edited_records_are_refused_and_the_rest_is_judged(
    tmp_path: Path, made: Any, committed: Path, run: Run, edit: Callable[[str], str], message: str
) -> None:
    fresh = tmp_path / "fresh"
    made.write(made.make("b", made.planned_tasks(1.02)), fresh)
    path = made.write(made.make("a"), fresh)
    path.write_text(edit(path.read_text("utf-8")), encoding="utf-8")
    (fresh / "second.json").write_text("{")
    code, said = run("check", "--fresh", fresh, "--format", "json")
    document = json.loads(said[: said.rindex("}") + 1])
    assert code == document["exit_code"] == 2
    assert [path.name in line and message in line for line in document["refused"]] == [True, False]
    assert "second.json" in document["refused"][1]
    assert {change["submission"] for change in document["changes"]} == {"b"}


def test_one_run_writes_several_outputs(tmp_path: Path, made: Any, run: Run, committed: Path) -> None:
    fresh = tmp_path / "fresh"
    path = made.write(made.make("a", worse(made, 0.1)), fresh)
    junit, comment = tmp_path / "check.xml", tmp_path / "comment.md"
    code, said = run("check", "--fresh", fresh, "--format", "github", "--junit", junit, "--comment", comment)
    assert code == 1
    assert said.startswith(f"::error file={path.as_posix()},title=a")
    assert ElementTree.parse(junit).getroot().get("failures") == "1"
    words = comment.read_text("utf-8")
    assert "<code>delta_nll.gain_80ms</code>" in words and "<code>bench run</code>" in words
    # the fresh row stands among the committed ones
    assert "a (new)" in words and "| b" in words
    for form, mark in (("junit", "<?xml"), ("md", "<!-- bench check -->"), ("terminal", "a: delta_nll"), ("json", "{")):
        again, said = run("check", "--fresh", fresh, "--format", form)
        assert (again, said.startswith(mark)) == (1, True)


def test_an_output_that_cannot_be_written_is_one_line(tmp_path: Path, made: Any, run: Run, committed: Path) -> None:
    made.write(made.make("a"), tmp_path / "fresh")
    code, said = run("check", "--fresh", tmp_path / "fresh", "--junit", tmp_path / "no" / "check.xml")
    assert (code, "\n" in said, said.startswith("--junit: ")) == (2, False, True)


def test_calibrate_noise_lists_and_writes(tmp_path: Path, made: Any, run: Run) -> None:
    for name, level in (("a", 1.0), ("a@seed1", 1.1)):
        made.write(made.make(name, made.planned_tasks(level, seed=int(level > 1))), tmp_path / "rows")
    code, said = run("calibrate-noise", "--records", tmp_path / "rows")
    assert code == 0
    assert "gain_80ms" in said and "from 2 rows" in said
    assert max(map(len, said.splitlines())) <= 80
    path = tmp_path / "mini.toml"
    assert run("calibrate-noise", "--records", tmp_path / "rows", "--write", path) == (0, "")
    assert {c.df for c in noise.read(path).columns} == {1}
    code, said = run("calibrate-noise", "--records", tmp_path / "rows", "--suite", "quick")
    assert (code, "suite quick has no row under a second seed" in said) == (2, True)
