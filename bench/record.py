"""The record: one JSON file per submission × codec × dataset × suite, with raw values per utterance.

A record says what was run, with what, on what, and what failed; aggregates are never stored. Its `digest`
covers every other field, so that a hand edit shows.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from bench.cache import digest, replacing
from bench.config import ColumnCard, Control, DisclosureCard
from bench.errors import RecordError

SCHEMA = 2


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class UtteranceEntry(Model):
    """An utterance of the scored split."""

    speaker: str
    frames: int
    seconds: float
    seen: bool
    """Whether its speaker speaks in the training split."""


class ColumnValues(Model):
    """Values of one column. `values` and `weights` are by utterance id."""

    column: ColumnCard
    values: dict[str, float]
    weights: dict[str, float] | None = None
    unscored: dict[str, str] = {}


class TaskEntry(Model):
    """What one task gave.

    `status` is "scored", "skipped" (a capability is missing: `reason` says which) or "failed" (`reason` is
    the error). `skipped_columns` gives a reason per column of a scored task.
    """

    version: int
    status: Literal["scored", "skipped", "failed"]
    reason: str = ""
    scorer_digest: str
    parameters: dict[str, Any]
    columns: dict[str, ColumnValues] = {}
    skipped_columns: dict[str, str] = {}
    notes: dict[str, Any] = {}

    @property
    def attempted(self) -> int:
        """Utterances of the split that the task tried: the largest count over its columns."""
        return max((len(c.values) + len(c.unscored) for c in self.columns.values()), default=0)


class Stage(Model):
    """What one stage of the pipeline took when it was last really done."""

    seconds: float
    peak_mib: float
    cached: bool


class SubmissionEntry(Model):
    name: str
    title: str
    plugin: str
    authors: str
    paper: str
    training_data: str
    disclosure: DisclosureCard | None = None
    control: Control = ""
    parameters: dict[str, Any]
    code_digest: str
    weights_digest: str
    parameter_count: int

    @model_serializer(mode="wrap")
    def _without_what_is_not_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # a record of a row that discloses nothing has the bytes, and the digest, that it had before this field
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if name != "disclosure" or value is not None}


class CodecEntry(Model):
    name: str
    sample_rate: int
    hop: int
    dim: int
    lookahead: int
    codebooks: tuple[int, ...]
    weights_digest: str
    trained: bool

    @property
    def frame_rate(self) -> float:
        return self.sample_rate / self.hop


class DatasetEntry(Model):
    name: str
    digest: str
    split: str
    speakers_known: bool
    utterances: dict[str, UtteranceEntry]
    minutes: dict[str, float]
    """Split → minutes used."""
    refused: dict[str, str] = {}
    converted: dict[str, int] = {}


class SelfTestEntry(Model):
    """The self-test of the estimators that made the row: same code, same package versions.

    `digest` is of its report. A row without one, or with one that did not pass, is marked in every table.
    """

    digest: str
    preset: Literal["fast", "full"]
    passed: bool


ARITHMETIC = ("python", "platform", "processor", "threads", "device", "packages")
"""What of an environment decides the last bits of a number, beside code and inputs."""


class Environment(Model):
    """Where the numbers were made."""

    latentbench: str
    commit: str | None
    dirty: bool | None
    python: str
    platform: str
    processor: str
    threads: int
    device: str
    packages: dict[str, str]


class Record(Model):
    schema_version: int = SCHEMA
    suite: str
    suite_digest: str
    seed: int
    submission: SubmissionEntry
    codec: CodecEntry
    dataset: DatasetEntry
    tasks: dict[str, TaskEntry]
    selftest: SelfTestEntry | None = None
    stages: dict[str, Stage]
    environment: Environment
    created: str
    command: str
    digest: str = Field(default="")

    @property
    def key(self) -> tuple[str, str, str, str]:
        """(suite, dataset, codec, submission): one row of one table."""
        return (self.suite, self.dataset.name, self.codec.name, self.submission.name)

    @property
    def filename(self) -> str:
        """`<submission>--<codec>--<dataset>--<suite>.json`, safe for any file system."""
        parts = (self.submission.name, self.codec.name, self.dataset.name, self.suite)
        return "--".join("".join(c if c.isalnum() or c in "._-" else "_" for c in p) for p in parts) + ".json"

    def sealed(self) -> Record:
        """The same record with its digest."""
        return self.model_copy(update={"digest": self.content_digest()})

    def content_digest(self) -> str:
        """sha256 of every field but `digest`."""
        return digest(self.model_dump(mode="json", exclude={"digest"}))


def check_folder(folder: Path) -> None:
    """Create the folder and a file in it: what is not possible is better known before the work than after it.

    Raises:
        RecordError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RecordError(f"cannot write records to {folder}: {error.strerror or error}") from error


def write(record: Record, folder: Path) -> Path:
    """Write a sealed record into `folder`, atomically, and return its path.

    A record of the same model on the same ground that is already there keeps the tasks that this one has not:
    scoring one task again costs no other.
    """
    path = folder / record.filename
    record = _completed(record, path)
    with replacing(path) as temporary:
        temporary.write_text(record.sealed().model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path


SAME = ("suite", "suite_digest", "seed", "submission", "codec", "dataset", "environment")
"""What two records must agree in for the tasks of one to stand in the other."""


def _completed(record: Record, path: Path) -> Record:
    try:
        old = read(path)
    except RecordError:
        return record
    if any(getattr(old, name) != getattr(record, name) for name in SAME):
        return record
    kept = {name: entry for name, entry in old.tasks.items() if name not in record.tasks}
    if not kept:
        return record
    order = [*(n for n in old.tasks), *(n for n in record.tasks if n not in old.tasks)]
    tasks = {**kept, **record.tasks}
    stages = {**{n: s for n, s in old.stages.items() if n not in record.stages}, **record.stages}
    selftest = _both(old.selftest, record.selftest)
    command = old.command if set(old.tasks) == set(tasks) else record.command
    update = {"tasks": {n: tasks[n] for n in order}, "stages": stages, "selftest": selftest, "command": command}
    return record.model_copy(update=update)


def _both(first: SelfTestEntry | None, second: SelfTestEntry | None) -> SelfTestEntry | None:
    """The self-test of tasks that were scored under two; None where either had none."""
    if first is None or second is None or first == second:
        return first if first == second else None
    return SelfTestEntry(
        digest=digest([first.digest, second.digest]),
        preset="full" if first.preset == second.preset == "full" else "fast",
        passed=first.passed and second.passed,
    )


def read(path: Path) -> Record:
    """Read a record.

    Raises:
        RecordError: unreadable, not JSON, of another schema, with a value that is not finite, or edited
            after it was sealed.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: not a record: {error}") from error
    found = raw.get("schema_version") if isinstance(raw, dict) else None
    if found != SCHEMA:
        newer = "; a newer latentbench wrote it" if isinstance(found, int) and found > SCHEMA else ""
        raise RecordError(f"{path}: expected schema version {SCHEMA}, got {found}{newer}")
    try:
        record = Record.model_validate(raw)
        sealed = record.content_digest()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{path}: {where}: {first['msg']}") from error
    except ValueError as error:
        # parameters and notes may be any JSON, and Python's takes NaN
        raise RecordError(f"{path}: a parameter or note is not finite") from error
    if record.digest != sealed:
        raise RecordError(f"{path}: the digest does not match; the record was edited after it was written")
    return record


def read_folder(folder: Path) -> list[Record]:
    """All records of a folder, sorted by key. A missing folder has none."""
    return sorted((read(p) for p in folder.glob("*.json")), key=lambda r: r.key)


def by_key(records: Iterable[Record]) -> dict[tuple[str, str, str, str], Record]:
    """Records by `key`; a later one replaces an earlier one."""
    return {r.key: r for r in records}
