"""Stored outputs scored again, without generating: has the scorer moved, or the model?

A record names the outputs that its scores were made from. Scored again, they give the record's values to the last bit
while scorer, packages and machine are the same; where they do not, the scorer has drifted, and a comparison of that
record with a fresh one would mix both kinds of change. Only tasks that keep outputs can be asked.
"""

from __future__ import annotations

import itertools
import json
import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate
from torch import Tensor

from bench import checked, registry, runner
from bench.cache import Cache
from bench.config import TaskCard
from bench.errors import RecordError
from bench.progress import Bar
from bench.record import Record, TaskEntry

OPTIONS = {"--submission": "submission", "--suite": "suite", "--codec": "codec", "--dataset": "dataset"}


@dataclass(frozen=True)
class Rescored:
    """One column, before and after.

    Attributes:
        utterances: that both have.
        changed: of these, how many differ; and those that only one side has.
        worst: the largest difference, in the column's unit.
    """

    task: str
    column: str
    utterances: int
    changed: int
    worst: float


class StoredContext(runner.TaskContext):
    """A task's context in which the submission has already generated.

    Args:
        stored: mode → utterance id → waveform.
    """

    def __init__(self, row: runner.Row, card: TaskCard, stored: Mapping[str, Mapping[str, Tensor]]) -> None:
        super().__init__(row, card)
        self._stored = stored

    def outputs(
        self, mode: str, key: Mapping[str, Any], make: Callable[[], Mapping[str, Tensor]]
    ) -> Mapping[str, Tensor]:
        del key, make
        if mode not in self._stored:
            raise RecordError(f"the record has no outputs of {mode}")
        return self._stored[mode]


def rescore(record: Record, cache: Path, bar: Bar) -> list[Rescored]:
    """Score the record's outputs again.

    Raises:
        RecordError: the record keeps no outputs, or its outputs are not in the cache.
        BenchError: its codec, dataset or plug-in cannot be built here.
    """
    entries = {name: e for name, e in record.tasks.items() if e.status == "scored" and runner.OUTPUTS in e.notes}
    if not entries:
        raise RecordError(f"{record.submission.name}: no task of this record kept what was generated")
    stored = {name: _stored(record, entry, cache) for name, entry in entries.items()}
    row = runner.Row(request(record, cache, tuple(entries)), bar)
    if row.name != record.submission.name:
        raise RecordError(f"{record.submission.name}: its command makes {row.name}; only that row can be scored again")
    row.encode()
    out: list[Rescored] = []
    for name, entry in entries.items():
        card = row.tasks[name]
        context = StoredContext(row, card, stored[name])
        scorer = registry.made("tasks", f"task {name!r}", registry.load("tasks", name))
        # never fitted: what it can do decides the modes, and nothing is asked of it
        results = registry.calling(f"task {name!r}", scorer.score, row.bare(), context)
        ids = {u.id for u in row.latents.splits[card.split]}
        found = checked.scores(card, results, ids)["columns"]
        out += _compared(name, entry, found)
    return out


def request(record: Record, cache: Path, tasks: tuple[str, ...] = (), device: str = "cpu") -> runner.Request:
    """What the record's command asked for, of these tasks."""
    words, given = shlex.split(record.command), dict[str, Any]()
    for option, value in itertools.pairwise(words):
        if option in OPTIONS:
            given[OPTIONS[option]] = value
    return runner.Request(**given, cache=cache, seed=record.seed, device=device, tasks=tasks)


def terminal(found: Sequence[Rescored]) -> str:
    """What changed, a line a column, and a sentence."""
    moved = [one for one in found if one.changed]
    said = f"{len(found)} columns scored again from stored outputs; {len(moved)} changed"
    if not moved:
        return f"{said}: the scorer gives what it gave"
    rows = [(one.task, one.column, f"{one.changed} of {one.utterances}", f"{one.worst:.3g}") for one in moved]
    table = tabulate(rows, headers=["task", "column", "utterances", "largest change"], disable_numparse=True)
    return f"{table}\n\n{said}: the scorer has drifted, whatever the model did"


def as_json(record: Record, found: Sequence[Rescored]) -> str:
    """What `bench check --rescored` reads: the record by its digest, and its columns."""
    columns = [
        {"task": one.task, "column": one.column, "utterances": one.utterances, "changed": one.changed} for one in found
    ]
    return json.dumps({"record": record.digest, "columns": columns}, indent=1, ensure_ascii=False) + "\n"


def _compared(task: str, entry: TaskEntry, found: Mapping[str, Any]) -> Iterator[Rescored]:
    for column in {**entry.columns, **found}:
        before = entry.columns[column].values if column in entry.columns else {}
        after = found[column]["values"] if column in found else {}
        both = before.keys() & after.keys()
        moved = [abs(before[i] - after[i]) for i in both]
        changed = sum(d > 0 for d in moved) + len(before.keys() ^ after.keys())
        yield Rescored(task, column, len(both), changed, max(moved, default=math.nan))


def _stored(record: Record, entry: TaskEntry, cache: Path) -> dict[str, dict[str, Tensor]]:
    """The outputs under the names that the record gives."""
    store, out = Cache(cache), {}
    for mode, name in entry.notes[runner.OUTPUTS].items():
        found = store.named(runner.OUTPUTS, name)
        if found is None:
            raise RecordError(
                f"{record.submission.name}: its outputs of {mode} are not in {cache}; "
                f"`{record.command}` generates them again"
            )
        out[mode] = found
    return out
