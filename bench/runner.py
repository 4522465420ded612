"""The data's way: audio → codec latents (cached) → submission.fit → task.score → record.

Every stage is looked up in the cache under the digest of what decides it, so that a second run computes
nothing and a killed one goes on where it stopped.
"""

from __future__ import annotations

import datetime
import io
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import device as devices
from bench import environment, latents, registry
from bench.cache import Cache, digest, file_digest, replacing
from bench.checked import Checked
from bench.config import SubmissionCard, SuiteCard, TaskCard, declared, merged
from bench.contract import (
    Codec,
    Dataset,
    FitContext,
    LatentUtterance,
    Score,
    Skipped,
    Split,
    Submission,
    missing_capability,
)
from bench.errors import BenchError, CacheError, PluginError
from bench.fingerprint import source_digest
from bench.progress import Bar
from bench.record import (
    CodecEntry,
    ColumnValues,
    DatasetEntry,
    Record,
    Stage,
    SubmissionEntry,
    TaskEntry,
    UtteranceEntry,
)
from bench.seeding import generator

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """One row to make. Empty `codec` and `dataset` take the card's and the suite's."""

    submission: str
    suite: str
    cache: Path
    codec: str = ""
    dataset: str = ""
    device: str = "auto"
    seed: int | None = None
    tasks: tuple[str, ...] = ()

    def command(self, card: SubmissionCard, suite: SuiteCard, seed: int) -> str:
        """The command line that makes the row again."""
        parts = ["bench run", f"--submission {card.name}", f"--suite {suite.name}"]
        parts += [f"--codec {self.codec}"] if self.codec else []
        parts += [f"--dataset {self.dataset}"] if self.dataset else []
        parts += [f"--seed {seed}"] if seed != suite.seed else []
        parts += [f"--task {name}" for name in self.tasks]
        return " ".join(parts)


class FileCheckpoint:
    """A fit's progress in one file, replaced atomically."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, Any] | None:
        try:
            return dict(torch.load(self.path, weights_only=True))
        except FileNotFoundError:
            return None
        except Exception as error:
            log.warning("checkpoint %s is damaged (%s); the fit starts again", self.path, error)
            return None

    def save(self, state: Mapping[str, Any]) -> None:
        # serialised in memory first: what fails on a full disk is then an OSError that says so
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        with replacing(self.path) as temporary:
            temporary.write_bytes(buffer.getvalue())


class TaskContext:
    """`bench.contract.Context` of one task of one row."""

    def __init__(self, row: Row, card: TaskCard) -> None:
        self.codec, self.dataset, self.device = row.codec, row.dataset, row.device
        self.parameters = merged(card.parameters, row.suite.parameters.get(card.name, {}))
        self.notes: dict[str, Any] = {}
        self._row, self._card = row, card

    def latents(self, split: Split) -> Sequence[LatentUtterance]:
        return self._row.latents.splits[split]

    def generator(self, *keys: str | int) -> torch.Generator:
        return generator(self._row.seed, self._card.name, *keys)

    def _key(self, key: Mapping[str, Any]) -> dict[str, Any]:
        code = source_digest(registry.module_of("tasks", self._card.name))
        return {**key, "latents": self._row.latents.key, "code": code, "seed": self._row.seed}

    def cached_json(self, key: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        return self._row.cache.json("shared", self._key(key), make)

    def cached_tensors(self, key: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        return self._row.cache.tensors("shared", self._key(key), make)

    @contextmanager
    def track(self, what: str, items: Sequence[Any]) -> Iterator[Iterator[Any]]:
        def each() -> Iterator[Any]:
            for done, item in enumerate(items):
                self.progress(what, done, len(items))
                yield item
            self.progress(what, len(items), len(items))

        yield each()

    def progress(self, what: str, done: int, total: int) -> None:
        self._row.bar.update(f"{self._card.name}: {what}", done, total)

    def note(self, key: str, value: Any) -> None:
        self.notes[key] = value


class Row:
    """One submission × codec × dataset × suite on its way to a record."""

    def __init__(self, request: Request, bar: Bar) -> None:
        self.request, self.bar = request, bar
        self.cache = Cache(request.cache)
        self.suite = registry.suite_card(request.suite)
        self.card = registry.submission_card(request.submission)
        self.tasks = {name: registry.task_card_of(name) for name in request.tasks or self.suite.tasks}
        self.device = devices.choose(request.device)
        self.seed = self.suite.seed if request.seed is None else request.seed
        self.parameters = self.card.resolved(self.suite.name)
        # built before anything slow, so that a bad card or path shows at once
        self._plugin()
        self.dataset: Dataset = registry.build("datasets", request.dataset or self.suite.dataset)
        self.codec: Codec = registry.build("codecs", request.codec or self.card.codec or self.suite.codec)
        self.codec = self.codec.to(self.device)
        self.stages: dict[str, Stage] = {}
        bar.row(self.card.name)

    def run(self) -> Record:
        """The whole way; a failing task is recorded and the others go on."""
        with self._stage("encode") as stage:
            self.latents = latents.encode(
                self.dataset, self.codec, dict(self.suite.minutes), self.cache, self.device, self.bar.update
            )
            self._settle("encode", {"latents": self.latents.key}, stage)
        fitted, weights = self._fit()
        entries = {name: self._score(name, card, fitted, weights) for name, card in self.tasks.items()}
        return self._record(entries, weights)

    def _plugin(self) -> Submission:
        factory = registry.load("submissions", self.card.plugin)
        submission: Submission = registry.calling(f"submission {self.card.name!r}", factory, **self.parameters)
        return submission

    # --- fit -----------------------------------------------------------------------------------------------

    def _fit_key(self) -> dict[str, Any]:
        return {
            "latents": self.latents.key,
            "plugin": self.card.plugin,
            "code": source_digest(registry.module_of("submissions", self.card.plugin)),
            "parameters": self.parameters,
            "seed": self.seed,
        }

    def _fit(self) -> tuple[Submission, dict[str, Any]]:
        key, who = self._fit_key(), f"submission {self.card.name!r}"
        path = self.cache.path("fit", key, ".safetensors")
        checkpoint = FileCheckpoint(path.with_suffix(".checkpoint"))

        def make() -> dict[str, Tensor]:
            submission = self._plugin()
            context = FitContext(self.codec.info, self.device, self.seed, checkpoint, self.bar.update)
            splits = self.latents.splits
            registry.calling(who, submission.fit, splits["train"], splits["valid"], context)
            state: dict[str, Tensor] = registry.calling(who, submission.state)
            bad = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
            if bad:
                raise PluginError(f"{who}: {bad[0]} is not finite after fit")
            return state

        with self._stage("fit") as stage:
            state = self.cache.tensors("fit", key, make)
            checkpoint.path.unlink(missing_ok=True)
            self._settle("fit", key, stage)
        submission = self._plugin()
        registry.calling(who, submission.load_state, state, self.codec.info, self.device)
        count = sum(t.numel() for t in state.values() if t.is_floating_point())
        return submission, {"key": digest(key), "digest": file_digest(path), "parameters": count}

    # --- score ---------------------------------------------------------------------------------------------

    def _score(self, name: str, card: TaskCard, submission: Submission, weights: dict[str, Any]) -> TaskEntry:
        module = registry.module_of("tasks", name)
        context = TaskContext(self, card)
        entry = {
            "version": card.version,
            "scorer_digest": source_digest(module),
            "parameters": dict(context.parameters),
        }
        missing = missing_capability(submission, card.needs)
        if missing:
            reason = f"needs {missing}, which {self.card.name} does not offer"
            return TaskEntry(status="skipped", reason=reason, **entry)
        key = {**entry, "task": name, "card": card.model_dump(mode="json"), "fit": weights["key"], "seed": self.seed}

        def make() -> dict[str, Any]:
            scorer = registry.load("tasks", name)()
            who = f"submission {self.card.name!r}"
            results = registry.calling(f"task {name!r}", scorer.score, Checked(submission, who), context)
            return self._checked_scores(name, card, results) | {"notes": context.notes}

        try:
            with self._stage(name) as stage:
                found = self.cache.json("scores", key, make)
                self._settle(name, key, stage)
        except CacheError:
            raise
        except BenchError as error:
            self.bar.console.print(f"{name} failed: {error}", style="red", highlight=False, markup=False)
            return TaskEntry(status="failed", reason=str(error), **entry)
        columns = {
            column: ColumnValues(column=declared(card, column), **values) for column, values in found["columns"].items()
        }
        return TaskEntry(
            status="scored", columns=columns, skipped_columns=found["skipped"], notes=found["notes"], **entry
        )

    def _checked_scores(self, name: str, card: TaskCard, results: Sequence[Score | Skipped]) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        skipped: dict[str, str] = {}
        known = {column.name for column in card.columns}
        for result in results:
            if isinstance(result, Skipped):
                skipped[result.column or "*"] = result.reason
                continue
            if result.column not in known:
                raise PluginError(f"task {name!r}: column {result.column!r} is not in its card")
            bad = [u for u, v in result.values.items() if not math.isfinite(v)]
            if bad:
                raise PluginError(f"task {name!r}: {result.column} of {bad[0]} is not finite")
            columns[result.column] = {
                "values": dict(result.values),
                "weights": None if result.weights is None else dict(result.weights),
                "unscored": dict(result.unscored),
            }
        silent = known - columns.keys() - skipped.keys()
        if silent and "*" not in skipped:
            raise PluginError(f"task {name!r}: columns without a score or a reason: {', '.join(sorted(silent))}")
        return {"columns": columns, "skipped": skipped}

    # --- record --------------------------------------------------------------------------------------------

    @contextmanager
    def _stage(self, name: str) -> Iterator[dict[str, float]]:
        environment.reset_peak_memory()
        measured = {"start": time.monotonic()}
        yield measured
        if name in self.stages:
            self.bar.finished(name, self.stages[name].seconds, self.stages[name].cached)

    def _settle(self, name: str, key: Mapping[str, Any], measured: dict[str, float]) -> None:
        """Keep what the stage took when it was last really done."""
        fresh = {"seconds": time.monotonic() - measured["start"], "peak_mib": environment.peak_memory_mib()}
        made = False

        def make() -> dict[str, float]:
            nonlocal made
            made = True
            return fresh

        kept = self.cache.json("stages", {"stage": name, "key": digest(dict(key))}, make)
        self.stages[name] = Stage(**kept, cached=not made)

    def _record(self, entries: dict[str, TaskEntry], weights: dict[str, Any]) -> Record:
        info, card = self.codec.info, self.card
        train_speakers = {u.speaker for u in self.latents.splits["train"]}
        return Record(
            suite=self.suite.name,
            suite_digest=digest(self.suite.model_dump(mode="json")),
            seed=self.seed,
            submission=SubmissionEntry(
                name=card.name,
                title=card.title,
                plugin=card.plugin,
                authors=card.authors,
                paper=card.paper,
                training_data=card.training_data,
                parameters=self.parameters,
                code_digest=source_digest(registry.module_of("submissions", card.plugin)),
                weights_digest=weights["digest"],
                parameter_count=weights["parameters"],
            ),
            codec=CodecEntry(
                name=info.name,
                sample_rate=info.sample_rate,
                hop=info.hop,
                dim=info.dim,
                lookahead=info.lookahead,
                codebooks=info.codebooks,
                weights_digest=info.weights_digest,
                trained=info.trained,
            ),
            dataset=DatasetEntry(
                name=self.dataset.name,
                digest=self.dataset.digest,
                split="test",
                speakers_known=self.dataset.speakers_known,
                utterances={
                    u.id: UtteranceEntry(
                        speaker=u.speaker,
                        frames=len(u.x),
                        seconds=self.latents.samples[u.id] / info.sample_rate,
                        seen=u.speaker in train_speakers,
                    )
                    for u in self.latents.splits["test"]
                },
                minutes=self.latents.minutes,
                refused=dict(self.dataset.refused),
                converted=dict(self.dataset.converted),
            ),
            tasks=entries,
            stages=self.stages,
            environment=environment.capture(devices.describe(self.device)),
            created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            command=self.request.command(card, self.suite, self.seed),
        )


def run(request: Request, bar: Bar | None = None) -> Record:
    """Make one row.

    Raises:
        BenchError: bad input, a codec or dataset that fails, or a submission that does not fit. A task that
            fails is recorded, not raised.
    """
    return Row(request, bar or Bar(quiet=True)).run()
