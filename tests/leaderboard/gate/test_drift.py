"""Why a column's values differ, by what the two records were made with."""

from __future__ import annotations

from typing import Any

import pytest

from leaderboard.gate.drift import WORDS, cause, fitted_again
from leaderboard.gate.judge import compare

OLD_OUTPUTS = {"outputs": {"continuation": "o1"}}
NEW_OUTPUTS = {"outputs": {"continuation": "o2"}}


def pair(made: Any, task: dict[str, Any] | None = None, notes: tuple[Any, Any] = ({}, {}), **more: Any) -> Any:
    """Two records of one row: what `task` and `more` say is changed in the second."""
    card, values = made.column("c", "c", margin=0.1), made.spread(1.0)
    old = made.make(tasks={"t": made.entry({card: values}, notes=notes[0])})
    new = made.make(tasks={"t": made.entry({card: values}, notes=notes[1], **(task or {}))}, **more)
    return old, new


@pytest.mark.parametrize(
    ("changed", "expected", "again"),
    [
        ({}, "unexplained", False),
        ({"weights_digest": "w2"}, "model", True),
        ({"code_digest": "c2"}, "model", True),
        ({"parameters": {"width": 9}}, "model", True),
        ({"task": {"scorer_digest": "s2"}}, "scorer", False),
        ({"task": {"scorer_digest": "s2"}, "weights_digest": "w2"}, "model and scorer", True),
        ({"packages": {"torch": "9"}}, "environment", True),
        ({"task": {"scorer_digest": "s2"}, "packages": {"torch": "9"}}, "scorer", True),
        ({"seed": 1}, "unexplained", True),
        # kept outputs say what the scorer heard, whatever became of the weights
        ({"notes": (OLD_OUTPUTS, OLD_OUTPUTS), "weights_digest": "w2"}, "unexplained", False),
        (
            {"notes": (OLD_OUTPUTS, OLD_OUTPUTS), "weights_digest": "w2", "task": {"scorer_digest": "s2"}},
            "scorer",
            False,
        ),
        ({"notes": (OLD_OUTPUTS, NEW_OUTPUTS)}, "model", True),
        ({"notes": (OLD_OUTPUTS, NEW_OUTPUTS), "task": {"scorer_digest": "s2"}}, "model and scorer", True),
        ({"notes": (OLD_OUTPUTS, {}), "weights_digest": "w2"}, "model", True),
    ],
)
def test_cause(made: Any, changed: dict[str, Any], expected: str, again: bool) -> None:
    old, new = pair(made, **changed)
    assert cause(old, new, "t") == expected
    assert fitted_again(old, new, "t") is again
    assert expected in WORDS


def test_values_that_do_not_differ_have_no_cause(made: Any) -> None:
    old, new = pair(made, weights_digest="w2")
    (change,) = compare([old], [new]).changes
    assert (change.cause, change.seeded, change.verdict) == ("", "", "unchanged")


@pytest.mark.parametrize(
    ("moved", "changed", "expected"),
    [
        # other code that scores the stored outputs as before is no cause
        (False, {"weights_digest": "w2", "task": {"scorer_digest": "s2"}}, "model"),
        (False, {"task": {"scorer_digest": "s2"}}, "unexplained"),
        (True, {"weights_digest": "w2", "task": {"scorer_digest": "s2"}}, "model and scorer"),
        (True, {"weights_digest": "w2", "packages": {"torch": "9"}}, "model and scorer"),
        (True, {"packages": {"torch": "9"}}, "environment"),
        (True, {"task": {"scorer_digest": "s2"}}, "scorer"),
        (None, {"weights_digest": "w2", "task": {"scorer_digest": "s2"}}, "model and scorer"),
    ],
)
def test_stored_outputs_scored_again_decide(
    made: Any, moved: bool | None, changed: dict[str, Any], expected: str
) -> None:
    assert cause(*pair(made, **changed), "t", moved) == expected


def test_the_check_reads_what_bench_score_wrote(tmp_path: Any, made: Any, run: Any) -> None:
    """As written by `bench.rescoring.as_json`, for a record whose model and scorer both changed."""
    from bench.rescoring import Rescored, as_json

    old, new = pair(made, weights_digest="w2", task={"scorer_digest": "s2"})
    tasks = dict(new.tasks)
    column = tasks["t"].columns["c"]
    moved = column.model_copy(update={"values": {u: v + 1e-3 for u, v in column.values.items()}})
    tasks["t"] = tasks["t"].model_copy(update={"columns": {"c": moved}})
    made.write(old, tmp_path / "old")
    made.write(new.model_copy(update={"tasks": tasks}), tmp_path / "new")
    path = tmp_path / "scored.json"
    check = ("check", "--fresh", tmp_path / "new", "--committed", tmp_path / "old", "--wide")
    assert "model and scorer both changed" in run(*check)[1]
    for changed, words in ((0, "c: model drift"), (7, "model and scorer both changed")):
        path.write_text(as_json(old, [Rescored("t", "c", 40, changed, 0.1)]), encoding="utf-8")
        code, said = run(*check, "--rescored", path)
        assert (code, words in said) == (0, True), said
    path.write_text("[]", encoding="utf-8")
    code, said = run(*check, "--rescored", path)
    assert (code, "not what `bench score --write` writes" in said) == (2, True)
