"""Records: what is written is what is read, and an edit, a NaN or another schema shows."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from bench import record as records
from bench.config import ColumnCard
from bench.errors import CacheError, RecordError
from bench.record import Record

COLUMN = ColumnCard(name="gain", title="gain", unit="nats/frame", better="higher")


def made(**more: Any) -> Record:
    raw: dict[str, Any] = {
        "suite": "mini",
        "suite_digest": "d",
        "seed": 0,
        "submission": {
            "name": "rssm_v1",
            "title": "RSSM",
            "plugin": "rssm",
            "authors": "A",
            "paper": "",
            "training_data": "train",
            "parameters": {"fit": {"lr": 0.1, "steps": 3}, "horizons": [1, 2]},
            "code_digest": "c",
            "weights_digest": "w",
            "parameter_count": 10,
        },
        "codec": {
            "name": "minicodec",
            "sample_rate": 16000,
            "hop": 1280,
            "dim": 32,
            "lookahead": 0,
            "codebooks": [1024] * 8,
            "weights_digest": "m",
            "trained": True,
        },
        "dataset": {
            "name": "synthspeech",
            "digest": "a",
            "split": "test",
            "speakers_known": True,
            "utterances": {"u1": {"speaker": "s", "frames": 25, "seconds": 2.0, "seen": True}},
            "minutes": {"test": 0.1},
            "refused": {"é.wav": "silent"},
        },
        "tasks": {
            "delta_nll": {
                "version": 1,
                "status": "scored",
                "scorer_digest": "s",
                "parameters": {"draws": 3},
                "columns": {
                    "gain": {"column": COLUMN, "values": {"u1": 0.1 + 0.2}, "weights": {"u1": 25.0}, "unscored": {}}
                },
                "notes": {"curve": [[1, 0.5], [2, 1e-300]], "none": None},
            },
            "rollout_gap": {
                "version": 1,
                "status": "failed",
                "reason": "boom",
                "scorer_digest": "s",
                "parameters": {},
            },
        },
        "stages": {"fit": {"seconds": 1.25, "peak_mib": 300.0, "cached": False}},
        "environment": {
            "latentbench": "0.1.0",
            "commit": None,
            "dirty": None,
            "python": "3.11",
            "platform": "Linux",
            "processor": "x",
            "threads": 2,
            "device": "cpu",
            "packages": {"torch": "2"},
        },
        "created": "2025-01-02T03:04:05+00:00",
        "command": "bench run",
    }
    return Record.model_validate(raw | more).sealed()


@pytest.mark.parametrize("value", [0.1 + 0.2, 1e-320, -0.0, 1.7976931348623157e308, 3.0, 1 / 3])
def test_comes_back_to_the_last_bit(tmp_path: Path, value: float) -> None:
    record = made()
    column = record.tasks["delta_nll"].columns["gain"].model_copy(update={"values": {"u1": value}})
    task = record.tasks["delta_nll"].model_copy(update={"columns": {"gain": column}})
    record = record.model_copy(update={"tasks": {"delta_nll": task}}).sealed()
    path = records.write(record, tmp_path)
    again = records.read(path)
    assert again == record
    assert again.tasks["delta_nll"].columns["gain"].values["u1"].hex() == value.hex()
    # and once more: the same bytes
    before = path.read_bytes()
    records.write(again, tmp_path)
    assert path.read_bytes() == before


def test_writing_seals(tmp_path: Path) -> None:
    unsealed = made().model_copy(update={"seed": 7})
    read = records.read(records.write(unsealed, tmp_path))
    assert read.seed == 7
    assert read.digest == unsealed.content_digest() != made().digest


def test_others_may_read_it(tmp_path: Path) -> None:
    path = records.write(made(), tmp_path / "new" / "folder")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_name_and_key_of_a_row() -> None:
    record = made()
    assert record.filename == "rssm_v1--minicodec--synthspeech--mini.json"
    assert record.key == ("mini", "synthspeech", "minicodec", "rssm_v1")
    odd = record.model_copy(update={"dataset": record.dataset.model_copy(update={"name": "folder:../a b/ü"})})
    assert odd.filename == "rssm_v1--minicodec--folder_.._a_b_ü--mini.json"


def test_attempted_counts_values_and_failures() -> None:
    task = made().tasks["delta_nll"]
    column = task.columns["gain"].model_copy(update={"unscored": {"u2": "short", "u3": "short"}})
    assert task.model_copy(update={"columns": {"gain": column}}).attempted == 3
    assert made().tasks["rollout_gap"].attempted == 0


def edit(path: Path, change: Any) -> None:
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


def gain(raw: dict[str, Any]) -> dict[str, Any]:
    return dict.__getitem__(raw["tasks"]["delta_nll"]["columns"], "gain")


EDITS = {
    "a value": lambda raw: gain(raw)["values"].update(u1=9.0),
    "a weight": lambda raw: gain(raw)["weights"].update(u1=1.0),
    "an utterance": lambda raw: gain(raw)["values"].update(u2=0.1),
    "a speaker": lambda raw: raw["dataset"]["utterances"]["u1"].update(speaker="t"),
    "a parameter": lambda raw: raw["submission"]["parameters"]["fit"].update(lr=0.2),
    "a direction": lambda raw: gain(raw)["column"].update(better="lower"),
    "a note": lambda raw: raw["tasks"]["delta_nll"]["notes"].update(none=1),
    "the date": lambda raw: raw.update(created="2020-01-01T00:00:00+00:00"),
    "a task removed": lambda raw: raw["tasks"].pop("rollout_gap"),
    "the seal": lambda raw: raw.update(digest="0" * 64),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edited_record_is_refused(tmp_path: Path, what: str) -> None:
    path = records.write(made(), tmp_path)
    edit(path, EDITS[what])
    with pytest.raises(RecordError, match="the digest does not match") as caught:
        records.read(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_layout_is_no_edit(tmp_path: Path) -> None:
    path = records.write(made(), tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True, indent=4))
    assert records.read(path) == made()


@pytest.mark.parametrize(
    ("version", "expected"),
    [(3, r"expected schema version 2, got 3; a newer"), (0, "got 0$"), (None, "got None$"), ("1", "got 1$")],
)
def test_another_schema_is_refused(tmp_path: Path, version: Any, expected: str) -> None:
    path = records.write(made(), tmp_path)
    edit(path, lambda raw: raw.update(schema_version=version))
    with pytest.raises(RecordError, match=expected):
        records.read(path)


NAN = {
    "value": lambda raw, bad: gain(raw)["values"].update(u1=bad),
    "weight": lambda raw, bad: gain(raw)["weights"].update(u1=bad),
    "seconds": lambda raw, bad: raw["dataset"]["utterances"]["u1"].update(seconds=bad),
    "parameter": lambda raw, bad: raw["submission"]["parameters"].update(lr=bad),
    "note": lambda raw, bad: raw["tasks"]["delta_nll"]["notes"].update(none=[bad]),
}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", NAN)
def test_what_is_not_finite_is_refused(tmp_path: Path, where: str, bad: float) -> None:
    path = records.write(made(), tmp_path)
    edit(path, lambda raw: NAN[where](raw, bad))
    with pytest.raises(RecordError, match="finite"):
        records.read(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not a record"),
        (b"{", "not a record"),
        (b"\xff", "not a record"),
        (b"[1, 2]", "expected schema version 2, got None"),
        (b'{"schema_version": 2}', "suite: Field required"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=expected):
        records.read(path)


def test_an_unknown_field_is_refused(tmp_path: Path) -> None:
    path = records.write(made(), tmp_path)
    edit(path, lambda raw: gain(raw).update(mean=1.0))
    with pytest.raises(RecordError, match=r"tasks\.delta_nll\.columns\.gain\.mean: Extra inputs"):
        records.read(path)


def test_a_folder_is_read_in_order(tmp_path: Path) -> None:
    for suite in ("quick", "mini"):
        records.write(made(suite=suite), tmp_path)
    read = records.read_folder(tmp_path)
    assert [r.suite for r in read] == ["mini", "quick"]
    assert records.by_key(read)["quick", "synthspeech", "minicodec", "rssm_v1"].suite == "quick"
    assert records.read_folder(tmp_path / "missing") == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RecordError, match="cannot write records to .*file"):
        records.check_folder(tmp_path / "file")
    with pytest.raises(CacheError, match=r"cannot write .*file") as caught:
        records.write(made(), tmp_path / "file")
    assert "--cache" not in str(caught.value)
    records.check_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def tasks_of(record: records.Record, *names: str) -> records.Record:
    return record.model_copy(update={"tasks": {n: record.tasks[n] for n in names}})


def test_scoring_one_task_again_costs_no_other(tmp_path: Path) -> None:
    whole = made()
    records.write(whole, tmp_path)
    entry = whole.tasks["rollout_gap"].model_copy(update={"reason": "again"})
    one = whole.model_copy(update={"tasks": {"rollout_gap": entry}, "command": "bench run --task rollout_gap"})
    again = records.read(records.write(one, tmp_path))
    assert list(again.tasks) == ["delta_nll", "rollout_gap"]
    assert again.tasks["delta_nll"] == whole.tasks["delta_nll"]
    assert again.tasks["rollout_gap"].reason == "again"
    assert again.command == whole.command


@pytest.mark.parametrize("what", ["submission", "dataset", "codec", "environment", "seed"])
def test_tasks_of_another_model_or_ground_are_not_kept(tmp_path: Path, what: str) -> None:
    records.write(tasks_of(made(), "delta_nll"), tmp_path)
    other = {
        "submission": lambda r: r.submission.model_copy(update={"weights_digest": "other"}),
        "dataset": lambda r: r.dataset.model_copy(update={"digest": "other"}),
        "codec": lambda r: r.codec.model_copy(update={"weights_digest": "other"}),
        "environment": lambda r: r.environment.model_copy(update={"threads": 7}),
        "seed": lambda r: 3,
    }[what]
    fresh = tasks_of(made(), "rollout_gap")
    fresh = fresh.model_copy(update={what: other(fresh)})
    assert list(records.read(records.write(fresh, tmp_path)).tasks) == ["rollout_gap"]


def test_tasks_scored_under_two_self_tests_have_passed_if_both_did(tmp_path: Path) -> None:
    def under(task: str, digest: str, preset: str, passed: bool) -> records.Record:
        entry = records.SelfTestEntry.model_validate({"digest": digest, "preset": preset, "passed": passed})
        return tasks_of(made(), task).model_copy(update={"selftest": entry})

    records.write(under("delta_nll", "a", "full", True), tmp_path)
    both = records.read(records.write(under("rollout_gap", "b", "fast", True), tmp_path)).selftest
    assert both is not None and (both.preset, both.passed) == ("fast", True) and both.digest not in ("a", "b")
    path = records.write(under("rollout_gap", "c", "fast", False), tmp_path)
    # the entry replaced was made under a and b; what stands must not be better than any of them
    found = records.read(path).selftest
    assert found is not None and not found.passed
    records.write(tasks_of(made(), "delta_nll"), tmp_path)
    assert records.read(path).selftest is None
