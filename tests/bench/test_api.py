"""From Python a row is what the command line makes, quietly; records are read strictly."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import load_records, record, registry, run
from bench.errors import BenchError, RecordError, UnknownName
from bench.record import Record
from leaderboard.store import committed_folder, read_rows
from tests.conftest import Done
from tests.plugins import Lab, values, written


@pytest.fixture
def by_command(lab: Lab, bench: Callable[..., Done], tmp_path: Path) -> Record:
    folder = tmp_path / "command"
    options = ("--suite", "tiny", "--cache", tmp_path / "cache", "--records", folder, "--quiet")
    assert bench("run", "--submission", "linear_v1", *options).code == 0
    return written(folder)


def test_a_row_is_the_command_lines(by_command: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    made = run("linear_v1", suite="tiny", cache=tmp_path / "other")
    assert isinstance(made, Record)
    assert values(made) == values(by_command) and made.command == by_command.command
    assert made.digest == made.content_digest()
    assert capsys.readouterr() == ("", ""), "quiet unless asked"


def test_options_mean_what_they_mean_on_the_command_line(lab: Lab, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    made = run("linear_v1", "tiny", task="moves", seed=3, dataset="tiny:else", cache=cache)
    assert list(made.tasks) == ["moves"] and made.seed == 3 and made.dataset.name == "tiny:else"
    assert made.submission.name == "linear_v1@seed3"
    assert list(run("linear_v1", "tiny", task=("moves", "density"), cache=cache).tasks) == ["moves", "density"]
    card = lab.path("cards/linear_v1.toml")
    assert run(card, "tiny", task="moves", cache=cache).submission.name == "linear_v1"


def test_a_written_record_is_read_back_with_what_was_scored_before(lab: Lab, tmp_path: Path) -> None:
    options: dict[str, Any] = {"cache": tmp_path / "cache", "records": tmp_path / "records"}
    run("linear_v1", "tiny", task="moves", **options)
    made = run("linear_v1", "tiny", task="density", **options)
    assert set(made.tasks) == {"moves", "density"}
    assert load_records(tmp_path / "records") == [made] == [record.read(next((tmp_path / "records").glob("*.json")))]


def test_progress_is_shown_when_asked_for(lab: Lab, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run("linear_v1", "tiny", cache=tmp_path / "cache", quiet=False)
    out, err = capfd.readouterr()
    assert out == "" and "density" in err


def test_a_task_that_fails_is_in_the_record(lab: Lab, tmp_path: Path) -> None:
    lab.change("moves.py", "return [Score(", "raise ValueError('oh')\n        return [Score(")
    entry = run("linear_v1", "tiny", cache=tmp_path / "cache").tasks["moves"]
    assert entry.status == "failed" and "oh" in entry.reason


@pytest.mark.parametrize(
    "asked", [{"submission": "none"}, {"suite": "none"}, {"task": "none"}, {"dataset": "none"}, {"codec": "none"}]
)
def test_bad_input_raises_a_bench_error(lab: Lab, tmp_path: Path, asked: dict[str, str]) -> None:
    with pytest.raises(UnknownName):
        run(**{"submission": "linear_v1", "suite": "tiny", "cache": tmp_path / "cache", **asked})


def test_a_folder_that_cannot_be_written_costs_no_work(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordError):
        run("linear_v1", "tiny", cache=tmp_path / "cache", records=tmp_path / "file")
    assert not (tmp_path / "cache").exists()


def test_the_committed_records_are_those_of_the_leaderboard() -> None:
    assert load_records() == sorted(read_rows(committed_folder()), key=lambda r: r.key)


def test_an_installation_without_committed_records_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "names", lambda kind: {})
    with pytest.raises(RecordError, match="no installed package ships records"):
        load_records()


def test_a_folder_that_is_not_there_or_not_sound_raises(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no such folder"):
        load_records(tmp_path / "none")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(RecordError, match=r"a\.json"):
        load_records(str(tmp_path))


def test_asking_for_the_names_loads_no_torch_and_a_typo_is_an_attribute_error() -> None:
    code = """
import sys
from bench import Record, load_records, run
try:
    from bench import rum
except ImportError as error:
    assert "rum" in str(error)
assert load_records()
sys.exit("torch was loaded" if "torch" in sys.modules else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
