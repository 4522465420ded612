"""Which division a row is of: closed, where all rows had the same to work with, or open, where one says what it had.

A row is closed when dataset, task parameters, probe and budgets are its suite's, and its model has learned from the
training split alone. All of that is read from the record and compared with the installed cards; the training data is
the one thing that a card states and nobody can derive. The codec is no part of it: every table is of one codec.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bench.cache import digest
from bench.config import TRAINING_SPLIT, SuiteCard, TaskCard, merged
from bench.record import Record

NOTHING = "none"
"""The training data of a row that learns nothing: controls, and codecs that are asked without a model."""


@dataclass(frozen=True)
class Division:
    """`reasons` say why a row is open; a closed one has none."""

    reasons: tuple[str, ...] = ()

    @property
    def name(self) -> Literal["closed", "open"]:
        """Of the division."""
        return "open" if self.reasons else "closed"


def division(record: Record, suite: SuiteCard | None, tasks: Mapping[str, TaskCard]) -> Division:
    """The division of a row.

    Args:
        suite: the installed suite of that name; None where there is none.
        tasks: task → installed card. A task that is not here, or of another version, is not compared: tables refuse
            to mix versions of their own accord.
    """
    return Division((*_setting(record, suite, tasks), *_learned(record)))


def undisclosed(record: Record) -> str:
    """What an open row leaves unsaid, or nothing. Only other data and foreign weights have to be disclosed."""
    entry = record.submission
    if not _learned(record) or entry.disclosure is not None:
        return ""
    return "its card has no [disclosure]: training_hours, training_languages, pretrained and overlap"


def _learned(record: Record) -> tuple[str, ...]:
    entry = record.submission
    reasons = []
    if entry.training_data not in (TRAINING_SPLIT, NOTHING):
        reasons.append(f"trained on {entry.training_data}")
    if entry.disclosure is not None and entry.disclosure.pretrained:
        reasons.append(f"weights from elsewhere: {', '.join(entry.disclosure.pretrained)}")
    return tuple(reasons)


def _setting(record: Record, suite: SuiteCard | None, tasks: Mapping[str, TaskCard]) -> tuple[str, ...]:
    """How the ground differs from the suite's."""
    if suite is None:
        return (f"no installed suite {record.suite}",)
    reasons = []
    if record.suite_digest != digest(suite.model_dump(mode="json")):
        reasons.append(f"made under another form of the suite {suite.name}")
    elif other := _other_parameters(record, suite, tasks):
        reasons.append(f"other parameters than the suite's: {', '.join(other)}")
    asked = _option(record.command, "--dataset") or suite.dataset
    if asked != suite.dataset or _plugin(record.dataset.name) != _plugin(suite.dataset):
        reasons.append(f"on {record.dataset.name}, the suite's dataset is {suite.dataset}")
    return tuple(reasons)


def _other_parameters(record: Record, suite: SuiteCard, tasks: Mapping[str, TaskCard]) -> list[str]:
    return [
        name
        for name, entry in record.tasks.items()
        if name in tasks
        and tasks[name].version == entry.version
        and entry.parameters != merged(tasks[name].parameters, suite.parameters.get(name, {}))
    ]


def _plugin(spec: str) -> str:
    return spec.partition(":")[0].partition("@")[0]


def _option(command: str, option: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError:  # no shell would take it, and so it asked for nothing
        return ""
    return next((value for name, value in itertools.pairwise(words) if name == option), "")
