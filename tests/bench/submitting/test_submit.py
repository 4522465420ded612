"""`bench submit` lets a whole row pass, and finds each thing that can be wrong with one, alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import environment, record
from bench.config import DisclosureCard
from bench.conformance.rule import Broken
from bench.record import ColumnValues, Record, SelfTestEntry
from bench.submitting import spot
from tests.conftest import Done
from tests.plugins import Lab

Bench = Callable[..., Done]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def home(lab: Lab, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a record of the tiny suite, as if made from a commit."""
    monkeypatch.setattr(environment, "_commit", lambda: (COMMIT, False))
    monkeypatch.setenv("LATENTBENCH_CACHE", str(tmp_path / "cache"))
    # what the tiny dataset does not trouble with, and a plug-in that is proposed must keep
    lab.change("data.py", 'f"text {i}"', 'f"text {split} {i}"')
    lab.change("data.py", "1280)", "1280 * sample_rate // 16000)")
    done = bench("run", "--submission", "linear_v1", "--suite", "tiny", "--records", tmp_path / "records", "--quiet")
    assert done.code == 0, done.err
    return tmp_path


def path_of(home: Path) -> Path:
    (path,) = (home / "records").glob("*.json")
    return path


def edit(home: Path, **changes: Any) -> Path:
    """The record with other fields, sealed, and with a self-test that passed unless told otherwise."""
    path = path_of(home)
    known = {"selftest": SelfTestEntry(digest="t1", preset="fast", passed=True)}
    made = record.read(path).model_copy(update=known | changes)
    path.write_text(made.sealed().model_dump_json(), encoding="utf-8")
    return path


def failed(said: str) -> list[str]:
    """The statements that do not hold."""
    joined = " ".join(said.split())
    return [part.split(".")[0] for part in joined.split("[FAILED] ")[1:]]


def test_a_whole_row_passes_and_the_files_of_the_pull_request_are_named(home: Path, bench: Bench) -> None:
    path = edit(home)
    done = bench("submit", path)
    assert done.code == 0, done.out
    assert "linear_v1: fit (" in done.err and "\n: " not in f"\n{done.err}"
    assert failed(done.out) == [] and done.out.count("[ok]") == 9
    assert f"leaderboard/records/{path.name}" in done.out and "submissions/linear_v1.toml" in done.out
    assert "equal to the last bit" in done.out and COMMIT[:10] in done.out
    assert max(len(line) for line in done.out.splitlines() if not line.startswith("    ")) <= 80


@pytest.mark.parametrize(
    ("field", "changes", "statement", "why"),
    [
        ("environment", {"dirty": True}, "It was made from a commit", "had changes"),
        ("environment", {"commit": None, "dirty": None}, "It was made from a commit", "no commit is known"),
        ("submission", {"authors": "FILL IN"}, "Authors, title and training data", "authors is not filled in"),
        ("submission", {"code_digest": "other"}, "Task versions and digests", "the code of linear"),
        ("submission", {"parameters": {}}, "Task versions and digests", "the card of linear_v1"),
        ("dataset", {"digest": "other"}, "Task versions and digests", "the dataset tiny"),
        ("submission", {"weights_digest": "other"}, "Its cheapest task", "other weights"),
    ],
)
def test_one_thing_wrong_is_the_one_thing_found(
    home: Path, bench: Bench, field: str, changes: dict[str, Any], statement: str, why: str
) -> None:
    part = getattr(record.read(path_of(home)), field)
    done = bench("submit", edit(home, **{field: part.model_copy(update=changes)}), "--quiet")
    assert done.code == 1
    (found,) = failed(done.out)
    assert found.startswith(statement) and why in " ".join(done.out.split())
    assert "git commit" not in done.out and "1 of 9 points to mend" in done.out


@pytest.mark.parametrize("outcome", [None, SelfTestEntry(digest="t1", preset="fast", passed=False)])
def test_a_self_test_that_did_not_pass_is_found(home: Path, bench: Bench, outcome: SelfTestEntry | None) -> None:
    done = bench("submit", edit(home, selftest=outcome), "--quiet")
    assert done.code == 1 and failed(done.out) == ["The estimators of this very code recover what is known"]


def test_a_task_that_is_missing_has_failed_or_moved_is_found(home: Path, bench: Bench) -> None:
    tasks = record.read(path_of(home)).tasks
    without = {"density": tasks["density"]}
    done = bench("submit", edit(home, tasks=without), "--quiet")
    assert done.code == 1 and "not in the record: moves" in " ".join(done.out.split())
    broken = tasks["moves"].model_copy(update={"status": "failed", "reason": "it broke", "columns": {}})
    done = bench("submit", edit(home, tasks=tasks | {"moves": broken}), "--quiet")
    assert done.code == 1 and "moves: it broke" in done.out
    older = tasks["moves"].model_copy(update={"version": 7})
    done = bench("submit", edit(home, tasks=tasks | {"moves": older}), "--quiet")
    assert done.code == 1 and "task moves is at version 1, not 7" in " ".join(done.out.split())


def moved(made: Record, task: str, by: float) -> dict[str, Any]:
    """Every value of a task's only column, shifted."""
    entry = made.tasks[task]
    ((name, column),) = entry.columns.items()
    values = {u: v + by for u, v in column.values.items()}
    other = column.model_copy(update={"values": values})
    return {**made.tasks, task: entry.model_copy(update={"columns": {name: other}})}


def test_a_value_that_does_not_come_back_is_found_though_it_is_sealed(home: Path, bench: Bench) -> None:
    made = record.read(path_of(home))
    done = bench("submit", edit(home, tasks=moved(made, spot.cheapest(made), 1e-9)), "--quiet")
    assert done.code == 1 and failed(done.out) == ["Its cheapest task, scored again, gives the record's values"]
    assert "differs in 8 of 8 utterances" in " ".join(done.out.split())


def test_scores_in_the_cache_are_not_believed(home: Path, bench: Bench, lab: Lab) -> None:
    # the scorer gives something else where nothing in its digest says so: a file that it reads
    edit(home)
    made = record.read(path_of(home))
    name = spot.cheapest(made)
    column = {"density": "nll", "moves": "length"}[name]
    lab.change(f"{name}.py", "return [Score(", "import os\n        return [] if 'NONE' in os.environ else [Score(")
    done = bench("submit", path_of(home), "--quiet")
    assert done.code == 1 and f"the code of task {name}" in " ".join(done.out.split())
    assert column in made.tasks[name].columns


def test_another_machine_is_allowed_the_margin_and_no_more(home: Path, bench: Bench) -> None:
    made = record.read(path_of(home))
    elsewhere = made.environment.model_copy(update={"processor": "another"})
    name = spot.cheapest(made)
    ((_, column),) = made.tasks[name].columns.items()
    allowed = spot._allowed(column, {u: e.speaker for u, e in made.dataset.utterances.items()})
    assert allowed > 0
    for by, code in ((0.5 * allowed, 0), (1.5 * allowed, 1)):
        path = edit(home, environment=elsewhere, tasks=moved(made, name, by))
        done = bench("submit", path, "--quiet")
        assert done.code == code, done.out
        assert "another machine" in " ".join(done.out.split())


def test_a_row_of_other_data_discloses_it(home: Path, bench: Bench, lab: Lab) -> None:
    lab.change("cards/linear_v1.toml", 'authors = "Nobody"', 'authors = "Nobody"\ntraining_data = "a lot of radio"')
    path = edit(home, submission=entry(home, training_data="a lot of radio"))
    done = bench("submit", path, "--quiet")
    assert done.code == 1 and "has no [disclosure]" in " ".join(done.out.split())
    said = '[disclosure]\ntraining_hours = 9.5\ntraining_languages = ["en"]\noverlap = "none is known"\n\n'
    lab.change("cards/linear_v1.toml", "[parameters.fit]", f"{said}[parameters.fit]")
    card = DisclosureCard(training_hours=9.5, training_languages=("en",), overlap="none is known")
    path = edit(home, submission=entry(home, training_data="a lot of radio", disclosure=card))
    done = bench("submit", path, "--quiet")
    assert done.code == 0 and "open division: trained on a lot of radio" in " ".join(done.out.split())


def entry(home: Path, **changes: Any) -> Any:
    return record.read(path_of(home)).submission.model_copy(update=changes)


def test_a_plug_in_that_breaks_a_rule_is_found(home: Path, bench: Bench, lab: Lab) -> None:
    lab.change("data.py", 'f"text {split} {i}"', 'f"text {i}"')
    done = bench("submit", edit(home), "--quiet")
    assert done.code == 1 and "tiny breaks transcripts_are_disjoint" in " ".join(done.out.split())


def test_what_a_stranger_wrote_is_inert_in_the_checklist(home: Path, bench: Bench, lab: Lab) -> None:
    authors = "\x1b[2J<script>\u202e" + "x" * 10_000
    done = bench("submit", edit(home, submission=entry(home, authors=authors)), "--quiet")
    assert done.code == 1 and "authors in the card has changed" in " ".join(done.out.split())
    lab.change("cards/linear_v1.toml", '"Nobody"', '"\\u001b[2J<script>\\u202e' + "x" * 10_000 + '"')
    done = bench("submit", path_of(home), "--quiet")
    assert done.code == 0 and "<script>" in done.out
    assert not {"\x1b", "\u202e"} & set(done.out) and "x" * 1000 not in done.out.replace("\n", "").replace(" ", "")


@pytest.mark.parametrize("command", ["bench run", "bench run --submission none_such --suite tiny"])
def test_a_command_that_makes_no_row_is_said_and_no_traceback(home: Path, bench: Bench, command: str) -> None:
    done = bench("submit", edit(home, command=command), "--quiet")
    assert done.code == 1 and "Traceback" not in done.out + done.err
    assert "[ok]" in done.out


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 99}'])
def test_what_is_no_record_ends_with_one_line_and_code_2(tmp_path: Path, bench: Bench, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    done = bench("submit", tmp_path / "r.json")
    assert done.code == 2 and done.err.count("\n") == 1 and done.err.startswith("bench: ")


def test_an_edited_record_ends_with_code_2(home: Path, bench: Bench) -> None:
    path = path_of(home)
    path.write_text(path.read_text().replace("Nobody", "Somebody"))
    assert bench("submit", path).code == 2


def test_a_record_without_scores_has_nothing_to_repeat(home: Path) -> None:
    made = record.read(path_of(home))
    skipped = {n: e.model_copy(update={"status": "skipped", "columns": {}}) for n, e in made.tasks.items()}
    with pytest.raises(Broken, match="no task was scored"):
        spot.cheapest(made.model_copy(update={"tasks": skipped}))


def test_utterances_are_evenly_spaced() -> None:
    names = [f"u{i}" for i in range(10)]
    assert spot.spaced(names, 5) == names[::2] and spot.spaced(names, 99) == names


def test_a_column_without_a_margin_is_allowed_half_its_interval(home: Path) -> None:
    (column,) = record.read(path_of(home)).tasks["moves"].columns.values()
    flat = ColumnValues(column=column.column, values=dict.fromkeys(column.values, 2.0))
    assert spot._allowed(flat, dict.fromkeys(column.values, "s")) == 0.0
