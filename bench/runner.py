"""The data's way: audio → codec latents (cached) → submission.fit → task.score → record.

Every stage is looked up in the cache under the digest of what decides it, so that a second run computes
nothing and a killed one goes on where it stopped.
"""

from __future__ import annotations

import copy
import datetime
import io
import json
import logging
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from bench import checked, curves, environment, latents, registry, selftest
from bench import device as devices
from bench.cache import CHOOSE, Cache, digest, file_digest, replacing
from bench.checked import Checked
from bench.config import TaskCard, merged, overridden
from bench.contract import (
    Codec,
    Dataset,
    FitContext,
    HasCodes,
    LatentUtterance,
    ReadsCodes,
    Split,
    Submission,
    missing_capability,
)
from bench.errors import BenchError, CacheError, CardError, PluginError
from bench.fingerprint import code_key, source_digest
from bench.outputs import Outputs, keep, waveform_digest
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
from bench.tensorboard import Events

log = logging.getLogger(__name__)
R = TypeVar("R")
OUTPUTS = "outputs"
"""The cache's kind of waveforms, and the note of a task that says under which keys they lie."""
KEPT = "kept"
"""The same of those few that lie beside the record."""


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
    tensorboard: Path | None = None

    def command(self, seed: int | None) -> str:
        """The command line that makes the row again; `seed` where it is not the suite's."""
        parts = ["bench", "run", "--submission", self.submission, "--suite", self.suite]
        parts += ["--codec", self.codec] if self.codec else []
        parts += ["--dataset", self.dataset] if self.dataset else []
        parts += ["--device", self.device] if self.device != "auto" else []
        parts += [] if seed is None else ["--seed", str(seed)]
        for name in self.tasks:
            parts += ["--task", name]
        return shlex.join(parts)


class FileCheckpoint:
    """A fit's progress in one file, replaced atomically."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, Any] | None:
        try:
            return dict(torch.load(self.path, weights_only=True))
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever damaged it
            log.warning("checkpoint %s is damaged (%s); the fit starts again", self.path, error)
            return None

    def save(self, state: Mapping[str, Any]) -> None:
        # serialised in memory first: what fails on a full disk is then an OSError that says so
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        with replacing(self.path, CHOOSE) as temporary:
            temporary.write_bytes(buffer.getvalue())


class TaskContext:
    """`bench.contract.RowContext` of one task of one row."""

    def __init__(self, row: Row, card: TaskCard) -> None:
        self.codec, self.dataset, self.device = row.codec, row.dataset, row.device
        # its own copy: what a task writes into it moves no key and no card
        self.parameters = copy.deepcopy(row.task_parameters(card))
        self.notes: dict[str, Any] = {}
        self.knobs: Mapping[str, Sequence[Any]] = row.card.knobs
        self._row, self._card = row, card

    def latents(self, split: Split) -> Sequence[LatentUtterance]:
        return self._row.latents.splits[split]

    def generator(self, *keys: str | int) -> torch.Generator:
        return generator(self._row.seed, self._card.name, *keys)

    def _key(self, key: Mapping[str, Any]) -> dict[str, Any]:
        return {"for": dict(key), **self._row.scoring_key(self._card)}

    def cached_json(self, key: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        return self._row.cache.json("shared", self._key(key), make)

    def cached_tensors(self, key: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        return self._row.cache.tensors("shared", self._key(key), make)

    def outputs(
        self, mode: str, key: Mapping[str, Any], make: Callable[[], Mapping[str, Tensor]]
    ) -> Mapping[str, Tensor]:
        # the task's name is in its generators
        whole = {"for": dict(key), "mode": mode, "task": self._card.name, **self._row.output_key()}
        self.note(OUTPUTS, self.notes.get(OUTPUTS, {}) | {mode: digest(whole)})
        return self._row.cache.tensors(OUTPUTS, whole, lambda: dict(make()))

    def keep(self, waveforms: Mapping[str, Mapping[str, Tensor]]) -> None:
        flat = {f"{mode}/{name}": w for mode, of_mode in waveforms.items() for name, w in of_mode.items()}
        key = {name: waveform_digest(w.numpy()) for name, w in flat.items()}
        self._row.cache.tensors(KEPT, key, lambda: flat)
        self.note(KEPT, digest(key))

    def parts(self, submission: Checked) -> Mapping[str, Sequence[nn.Module]]:
        return self._row.parts(submission)

    def variant(self, settings: Mapping[str, Any]) -> Checked:
        return self._row.variant(settings)

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
        try:
            self.notes[key] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise PluginError(f"task {self._card.name!r}: its note {key!r} is not JSON: {error}") from error


class Row:
    """One submission × codec × dataset × suite on its way to a record."""

    def __init__(self, request: Request, bar: Bar, built: dict[tuple[str, str], Any] | None = None) -> None:
        """Everything that can be refused at once is refused here; `built` shares codecs and datasets."""
        self.request, self.bar = request, bar
        self.cache = Cache(request.cache)
        self.suite = registry.suite_card(request.suite)
        self.card = registry.submission_card(request.submission)
        self.tasks = {name: registry.task_card_of(name) for name in request.tasks or self.suite.tasks}
        for card in self.tasks.values():
            self.task_parameters(card)
        self.device = devices.choose(request.device)
        self.seed = self.suite.seed if request.seed is None else request.seed
        self.parameters = self.card.resolved(self.suite.name)
        # a replicate at another seed is a row of its own, never a replacement of the suite's
        self.name = self.card.name if self.seed == self.suite.seed else f"{self.card.name}@seed{self.seed}"
        made = self._plugin()
        self.built: dict[tuple[str, str], Any] = {} if built is None else built
        self.dataset: Dataset = self._built("datasets", request.dataset or self.suite.dataset)
        self.codec_spec = request.codec or self.card.codec or self.suite.codec
        codec = self._built("codecs", self.codec_spec)
        self.codec: Codec = registry.calling(f"codec {self.codec_spec!r}", codec.to, self.device)
        if isinstance(made, ReadsCodes) and not (self.codec.info.codebooks and isinstance(self.codec, HasCodes)):
            raise CardError(f"{self._who}: needs a codec with codes, got {self.codec.info.name!r}")
        self.stages: dict[str, Stage] = {}
        self.events = None if request.tensorboard is None else Events(request.tensorboard / self.name)

    def run(self) -> Record:
        """The whole way; a failing task is recorded and the others go on."""
        self.encode()
        fitted, weights = self._fit()
        self.model, self.fitted = fitted, weights
        entries = {name: self._score(name, card, fitted, weights) for name, card in self.tasks.items()}
        return self._record(entries, weights)

    def encode(self) -> None:
        """Make the latents, or find them."""
        self.bar.row(self.name)
        argument, minutes = self.codec_spec.partition(":")[2], self.suite.minutes
        key = latents.latents_key(self.dataset, self.codec, argument, minutes, self.device)
        self.latents = self._stage(
            "encode",
            key,
            lambda: latents.encode(
                self.dataset, self.codec, minutes, self.cache, self.device, self.bar.update, argument
            ),
        )

    def export(self, made: Record, folder: Path) -> None:
        """Write what the tasks kept for listeners to FOLDER/<record>/, as FLAC with a manifest.

        Raises:
            CacheError: the folder cannot be written.
        """
        for name, entry in made.tasks.items():
            kept = self.cache.named(KEPT, entry.notes[KEPT]) if KEPT in entry.notes else None
            if kept is None:
                continue
            outputs: Outputs = {}
            for path, waveform in kept.items():
                mode, _, utterance = path.partition("/")
                outputs.setdefault(mode, {})[utterance] = waveform.numpy()
            texts = {u.id: u.text for u in self.dataset.utterances("test") if any(u.id in o for o in outputs.values())}
            about = {"row": self.name, "task": name, "command": made.command, "texts": texts}
            keep(folder / Path(made.filename).stem, outputs, self.codec.info.sample_rate, about)

    def export_curve(self, made: Record, folder: Path) -> None:
        """Write what the fit went through to FOLDER/<record>.json, where it remembers, from the cache or not.

        Raises:
            CacheError: the folder cannot be written.
        """
        curves.write(made, self.history, folder)

    def bare(self) -> Submission:
        """The plug-in, not fitted."""
        return self._reading()

    def task_parameters(self, card: TaskCard) -> dict[str, Any]:
        """The task card's parameters with the suite's laid over them."""
        over = self.suite.parameters.get(card.name, {})
        return overridden(card.parameters, over, f"suite {self.suite.name!r}: {card.name}")

    def scoring_key(self, card: TaskCard) -> dict[str, Any]:
        """What decides a score beside the task's own parameters and the submission."""
        return {
            "task": card.name,
            "latents": self.latents.key,
            "code": code_key(registry.module_of("tasks", card.name)),
            "seeding": source_digest("bench.seeding"),
            "packages": environment.scoring_packages(),
            "seed": self.seed,
        }

    def output_key(self) -> dict[str, Any]:
        """What decides what the submission makes, beside the task's own settings."""
        return {
            "fit": self.fitted["key"],
            "seeding": source_digest("bench.seeding"),
            "packages": environment.scoring_packages(),
            "seed": self.seed,
        }

    def variant(self, settings: Mapping[str, Any]) -> Checked:
        """The fitted submission with other parameters, dotted.

        Raises:
            CardError: a parameter that the plug-in does not have, or a value it refuses.
        """
        over: dict[str, Any] = {}
        for name, value in settings.items():
            *path, last = name.split(".")
            inner = over
            for part in path:
                inner = inner.setdefault(part, {})
            inner[last] = value
        submission = self._reading(merged(self.parameters, over))
        state = registry.calling(self._who, self.model.state)
        registry.calling(self._who, submission.load_state, state, self.codec.info, self.device)
        return Checked(submission, f"{self._who} with {', '.join(f'{k} = {v}' for k, v in settings.items())}")

    def parts(self, submission: Checked) -> dict[str, list[nn.Module]]:
        """Part → modules of the submission's `network`.

        Raises:
            CardError: a module that it does not have.
        """
        if not self.card.parts:
            return {}
        try:
            network = submission.attribute("network")
            return {part: [network.get_submodule(name) for name in names] for part, names in self.card.parts.items()}
        except AttributeError as error:
            raise CardError(f"{self._who}: parts: {error}") from error

    def _built(self, kind: str, spec: str) -> Any:
        if (kind, spec) not in self.built:
            self.built[kind, spec] = registry.build(kind, spec, self.bar.update, self.cache.root)
        return self.built[kind, spec]

    def _plugin(self, values: Mapping[str, Any] | None = None) -> Submission:
        factory = registry.load("submissions", self.card.plugin)
        submission: Submission = registry.made("submissions", self._who, factory, **(values or self.parameters))
        return submission

    def _reading(self, values: Mapping[str, Any] | None = None) -> Submission:
        """The plug-in, given the codec where it works on codes; `values` are other parameters than the row's."""
        submission = self._plugin(values)
        if isinstance(submission, ReadsCodes):
            registry.calling(self._who, submission.read_codes, self.codec)
        return submission

    @property
    def _who(self) -> str:
        return f"submission {self.card.name!r}"

    # --- fit -----------------------------------------------------------------------------------------------

    def _fit_key(self) -> dict[str, Any]:
        return {
            "latents": self.latents.key,
            "plugin": self.card.plugin,
            "code": code_key(registry.module_of("submissions", self.card.plugin)),
            "parameters": self.parameters,
            "seed": self.seed,
        }

    def _fit(self) -> tuple[Submission, dict[str, Any]]:
        key = self._fit_key()
        path = self.cache.path("fit", key, ".safetensors")
        checkpoint = FileCheckpoint(path.with_suffix(".checkpoint"))

        def make() -> dict[str, Tensor]:
            submission = self._reading()
            splits = self.latents.splits
            context = FitContext(
                self.codec.info,
                self.device,
                self.seed,
                checkpoint,
                self.bar.update,
                self._scalars,
                self.codec,
                self._texts(),
            )
            try:
                registry.calling(self._who, submission.fit, splits["train"], splits["valid"], context)
            finally:
                if self.events is not None:
                    self.events.close()
            return checked.tensors(self._who, registry.calling(self._who, submission.state))

        state = self._stage("fit", key, lambda: self.cache.tensors("fit", key, make))
        with suppress(OSError):  # a read-only cache may keep it
            checkpoint.path.unlink(missing_ok=True)
        submission = self._reading()
        registry.calling(self._who, submission.load_state, state, self.codec.info, self.device)
        self.history = {name: t for name, t in state.items() if name.startswith(curves.HISTORY)}
        learned = [t for name, t in state.items() if t.is_floating_point() and name not in self.history]
        count = sum(t.numel() for t in learned)
        return submission, {"key": digest(key), "digest": file_digest(path), "parameters": count}

    def _texts(self) -> dict[str, str]:
        """Transcripts of what a fit is given: never of the test split."""
        splits: tuple[Split, ...] = ("train", "valid")
        given = {u.id for split in splits for u in self.latents.splits[split]}
        every = (u for split in splits for u in self.dataset.utterances(split))
        return {u.id: u.text for u in every if u.text is not None and u.id in given}

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        self.bar.scalars(step, values)
        if self.events is not None:
            self.events(step, values)

    # --- score ---------------------------------------------------------------------------------------------

    def _score(self, name: str, card: TaskCard, submission: Submission, weights: dict[str, Any]) -> TaskEntry:
        context = TaskContext(self, card)
        entry: dict[str, Any] = {
            "version": card.version,
            "scorer_digest": source_digest(registry.module_of("tasks", name)),
            "parameters": self.task_parameters(card),
        }
        missing = missing_capability(submission, card.needs)
        if missing:
            reason = f"needs {missing}, which {self.card.name} does not offer"
            return TaskEntry(status="skipped", reason=reason, **entry)
        key = {**self.scoring_key(card), "card": card.decisive(), "fit": weights["key"]}
        key["parameters"] = entry["parameters"]
        if card.sweeps and self.card.knobs:
            key["knobs"] = {name: list(values) for name, values in self.card.knobs.items()}

        def make() -> dict[str, Any]:
            return self._answered(name, card, submission, context)

        try:
            found = self._stage(name, key, lambda: self.cache.json("scores", key, make))
        except CacheError:
            raise
        except BenchError as error:
            self.bar.failed(name, str(error))
            return TaskEntry(status="failed", reason=str(error), **entry)
        given = found["columns"]
        # as the card has them, whatever the order in which the task found them
        columns = {c.name: ColumnValues(column=c, **given[c.name]) for c in card.columns if c.name in given}
        return TaskEntry(
            status="scored", columns=columns, skipped_columns=found["skipped"], notes=found["notes"], **entry
        )

    def _answered(self, name: str, card: TaskCard, submission: Submission, context: TaskContext) -> dict[str, Any]:
        """Columns, skipped columns and notes of a task, as the scorer gives them now."""
        scorer = registry.made("tasks", f"task {name!r}", registry.load("tasks", name))
        results = registry.calling(f"task {name!r}", scorer.score, Checked(submission, self._who), context)
        ids = {u.id for u in self.latents.splits[card.split]}
        found = registry.calling(f"task {name!r}", checked.scores, card, results, ids)
        return {**found, "notes": context.notes}

    def score_again(self, name: str) -> dict[str, Mapping[str, float]]:
        """Column → utterance → value of a task, scored anew whatever scores are cached; the fit may be from the cache.

        Raises:
            BenchError: the task cannot be scored.
        """
        self.encode()
        self.model, self.fitted = self._fit()
        card = self.tasks[name]
        found = self._answered(name, card, self.model, TaskContext(self, card))
        return {column: given["values"] for column, given in found["columns"].items()}

    # --- record --------------------------------------------------------------------------------------------

    def _stage(self, name: str, key: Mapping[str, Any], work: Callable[[], R]) -> R:
        """Do the work of a stage and keep what it took when it was last really done."""
        environment.reset_peak_memory()
        start, made = time.monotonic(), self.cache.made
        result = work()
        took = {"seconds": time.monotonic() - start, "peak_mib": environment.peak_memory_mib()}
        cost = {"stage": name, "key": digest(dict(key))}
        cached = self.cache.made == made
        if cached:
            took = self.cache.json("stages", cost, lambda: took)
        else:
            self.cache.put_json("stages", cost, took)
        self.stages[name] = Stage(**took, cached=cached)
        self.bar.finished(name, took["seconds"], cached)
        return result

    def _self_tests(self) -> list[str]:
        """The tasks of the row, and its plug-in where that has a self-test of its own."""
        return [*self.tasks, *({self.card.plugin} & registry.names("selftests").keys())]

    def _record(self, entries: dict[str, TaskEntry], weights: dict[str, Any]) -> Record:
        info, card = self.codec.info, self.card
        train_speakers = {u.speaker for u in self.latents.splits["train"]}
        return Record(
            suite=self.suite.name,
            suite_digest=digest(self.suite.model_dump(mode="json")),
            seed=self.seed,
            submission=SubmissionEntry(
                name=self.name,
                title=card.title,
                plugin=card.plugin,
                authors=card.authors,
                paper=card.paper,
                training_data=card.training_data,
                disclosure=card.disclosure,
                control=card.control,
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
            selftest=selftest.passed_by(self._self_tests(), self.cache),
            stages=self.stages,
            environment=environment.capture(self.device),
            created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            command=self.request.command(None if self.seed == self.suite.seed else self.seed),
        )


def run(request: Request, bar: Bar | None = None) -> Record:
    """Make one row.

    Raises:
        BenchError: bad input, a codec or dataset that fails, or a submission that does not fit. A task that
            fails is recorded, not raised.
    """
    return Row(request, bar or Bar(quiet=True)).run()
