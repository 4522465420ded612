"""What every task must keep, scored over toy latents with small budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor, nn

from bench import checked, registry
from bench.calibration.lab import LabContext, fit_context
from bench.config import overridden
from bench.conformance.rule import (
    BARE,
    Broken,
    Guard,
    NotApplicable,
    Result,
    applied,
    globals_left_alone,
    same,
    shortened,
)
from bench.conformance.toy import ToyCodec, ToyDataset, ToyModel, utterances
from bench.contract import CAPABILITIES, Split, missing_capability
from bench.errors import BenchError

DIM, FRAMES = 3, 44
QUICK = "quick"
COUNTS: dict[Split, int] = {"train": 16, "valid": 4, "test": 3}


class RowLab(LabContext):
    """`bench.contract.RowContext` of the toy: what it generates is not kept, and it has no knobs."""

    knobs: ClassVar[Mapping[str, Sequence[Any]]] = {}

    def outputs(
        self, mode: str, key: Mapping[str, Any], make: Callable[[], Mapping[str, Tensor]]
    ) -> Mapping[str, Tensor]:
        del mode, key
        return make()

    def keep(self, waveforms: Mapping[str, Mapping[str, Tensor]]) -> None:
        pass

    def parts(self, submission: Any) -> Mapping[str, Sequence[nn.Module]]:
        del submission
        return {}

    def variant(self, settings: Mapping[str, Any]) -> Any:
        raise BenchError(f"the toy has no settings, asked for {', '.join(settings)}")


class Subject:
    """A task, a fitted toy and the splits to score it on.

    Raises:
        BenchError: the card or the scorer cannot be read.
    """

    def __init__(self, name: str) -> None:
        self.name, self.who = name, f"task {name!r}"
        self.card = registry.task_card_of(name)
        self.scorer = registry.made("tasks", self.who, registry.load("tasks", name))
        self.guard = Guard()
        self.splits = {split: utterances(DIM, split, n, FRAMES) for split, n in COUNTS.items()}
        self.parameters = shortened(overridden(self.card.parameters, _quick(name), self.who))
        self.model, self.used = ToyModel(), Guard()
        self.model.fit(self.splits["train"], self.splits["valid"], fit_context(DIM))
        self.before = {name: tensor.clone() for name, tensor in self.tensors().items()}

    def only(self, capabilities: Sequence[str]) -> Any:
        """The fitted toy with these capabilities and no other."""
        return self.used.around(self.model, [*capabilities, *BARE])

    def tensors(self) -> dict[str, Tensor]:
        """All that a scoring must not write into: the toy's state and the latents."""
        latents = {f"latents of {u.id}": u.x for utterances in self.splits.values() for u in utterances}
        return {**{f"the submission's {name}": t for name, t in self.model.state().items()}, **latents}

    @cached_property
    def sparse(self) -> dict[str, Any]:
        """What the task gives for the toy with no capability but those that the card needs."""
        return self.scored(self.only(self.card.needs))

    @cached_property
    def whole(self) -> dict[str, Any]:
        """What the task gives for the toy with every capability."""
        return self.scored(self.only(tuple(CAPABILITIES)))

    def scored(self, submission: Any) -> dict[str, Any]:
        """What the task gives for `submission`, checked as a run checks it."""
        context = RowLab(self.card, self.splits, ToyCodec(DIM), self.parameters)
        context.dataset = ToyDataset(self.splits)  # type: ignore[assignment]
        wrapped = checked.Checked(submission, "the toy submission")
        score = self.guard.around(self.scorer, ("score",)).score
        results = registry.calling(self.who, score, wrapped, context)
        return checked.scores(self.card, results, {u.id for u in self.splits[self.card.split]})


def card_is_valid(subject: Subject) -> str:
    """The card beside the module declares columns, needs and parameters, and the scorer holds that card."""
    if subject.scorer.card != subject.card:
        raise Broken("the scorer's card is not the one beside its module")
    if sum(column.headline for column in subject.card.columns) == len(subject.card.columns) > 1:
        raise Broken("every column is a headline")
    return f"version {subject.card.version}, {len(subject.card.columns)} columns"


def needs_are_enough(subject: Subject) -> str:
    """A submission with what the card needs and nothing more is scored, other columns skipped with a reason."""
    found = subject.sparse
    given = ", ".join(subject.card.needs) or "nothing"
    return f"with {given}: {len(found['columns'])} scored, {len(found['skipped'])} skipped"


def needs_are_used(subject: Subject) -> str:
    """A submission that lacks what the card needs is turned away by name, and for nothing that is never called."""
    if not subject.card.needs:
        raise NotApplicable("it needs nothing")
    for name in subject.card.needs:
        rest = subject.only([other for other in CAPABILITIES if other != name])
        if missing_capability(rest, subject.card.needs) != name:
            raise Broken(f"a submission without {name} would be scored")
    _ = subject.whole
    if idle := [name for name in subject.card.needs if name not in subject.used.called]:
        raise Broken(f"it needs {idle[0]}, but never calls it")
    return f"needs {', '.join(subject.card.needs)}"


def columns_are_answered(subject: Subject) -> str:
    """Every declared column has finite values of known utterances, or a reason, and nothing else is answered."""
    found = subject.whole
    return f"{len(found['columns'])} scored, {len(found['skipped'])} skipped"


def scores_repeat(subject: Subject) -> str:
    """The same seed gives the same values, whatever else the submission offers."""
    again = subject.sparse["columns"]
    for column, found in subject.whole["columns"].items():
        if column in again and found["values"] != again[column]["values"]:
            raise Broken(f"{column}: other values at the second scoring")
    return f"{len(again.keys() & subject.whole['columns'].keys())} columns equal"


def submission_is_left_alone(subject: Subject) -> str:
    """Scoring changes no tensor of the submission and no latent."""
    _ = subject.sparse, subject.whole
    for name, tensor in subject.tensors().items():
        same(name, subject.before[name], tensor)
    return f"{len(subject.before)} tensors equal"


def process_is_left_alone(subject: Subject) -> str:
    """Scoring changes no global generator, the default dtype, the gradient mode nor the thread count."""
    return globals_left_alone(subject.guard)


RULES: tuple[Callable[[Subject], str], ...] = (
    card_is_valid,
    needs_are_enough,
    needs_are_used,
    columns_are_answered,
    scores_repeat,
    submission_is_left_alone,
    process_is_left_alone,
)


def check(name: str) -> list[Result]:
    """Every rule on a task.

    Raises:
        BenchError: its card or scorer cannot be read.
    """
    subject = Subject(name)
    return applied(subject.who, RULES, subject)


def _quick(name: str) -> Mapping[str, Any]:
    """What the first of the quick suites says of the task."""
    names = sorted((n for n in registry.suite_files() if n.endswith(QUICK)), key=lambda n: (n != QUICK, n))
    said = (registry.suite_card(suite).parameters.get(name) for suite in names)
    return next((parameters for parameters in said if parameters), {})
