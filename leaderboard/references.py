"""Published figures, from `references.toml`: shown beside measured rows and never ranked.

A reference is one published table, or the part of it that this harness can be held against. Its figures are as they
were printed; where a sign or a unit was turned, its `protocol` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, model_validator

from bench.config import Card, read_card
from bench.protocol import Case, Protocol, Target

FILE = Path(__file__).with_name("references.toml")
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
Text = Annotated[str, Field(min_length=1)]


class Metric(Card):
    """What a published figure counts.

    `column` is the nearest column of this harness, TASK:COLUMN, where there is one; `measured` the metric of
    `bench.metrics.fidelity` that is the same quantity.
    """

    title: Text
    unit: str
    better: Literal["higher", "lower", "one", "none"]
    column: str = Field(default="", pattern=r"^([a-z0-9_]+:[a-z0-9_]+)?$")
    measured: str = ""


class Entry(Card):
    """One model of a published table. `codec` is its spec here, "" where no plug-in is that codec."""

    model: Text
    codec: str = ""
    values: dict[str, FiniteFloat] = Field(min_length=1)


class Validation(Card):
    """The part of a reference that `bench validate --against NAME` makes again.

    `dataset` is a spec, "" where no plug-in gives the data; `tolerances`: metric → how far a measurement may be
    away, in the metric's unit. They are this project's, not the source's.
    """

    name: Name
    codecs: tuple[str, ...] = Field(min_length=1)
    dataset: str
    splits: tuple[Literal["train", "valid", "test"], ...] = Field(min_length=1)
    data: Text
    tolerances: dict[str, Annotated[FiniteFloat, Field(gt=0)]] = Field(min_length=1)


class Reference(Card):
    """One published table.

    `headline` names the metrics that stand under the tables of its `tasks` whatever their codec; rows of a table's
    own codec stand there in full. `differs` says why none of it is ranked.
    """

    name: Name
    title: Text
    authors: Text
    year: int | None = None
    source: Text
    tasks: tuple[str, ...] = Field(min_length=1)
    dataset: Text
    protocol: Text
    differs: Text
    headline: tuple[str, ...] = ()
    rows: tuple[Entry, ...] = Field(min_length=1)
    validations: tuple[Validation, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics of its rows, in the order in which they first come."""
        return tuple(dict.fromkeys(metric for row in self.rows for metric in row.values))

    @property
    def cited(self) -> str:
        """Authors, year and place, in one line."""
        return f"{self.authors}{f' {self.year}' if self.year else ''}, {self.source}"

    @model_validator(mode="after")
    def _whole(self) -> Reference:
        if unknown := [name for name in self.headline if name not in self.metrics]:
            raise ValueError(f"headline {unknown[0]!r}: no row has it")
        for validation in self.validations:
            for codec in validation.codecs:
                row = next((row for row in self.rows if codec and row.codec == codec), None)
                if row is None:
                    raise ValueError(f"validation {validation.name}: no row has the codec {codec!r}")
                if missing := [name for name in validation.tolerances if name not in row.values]:
                    raise ValueError(f"validation {validation.name}: {row.model} has no {missing[0]}")
        return self


class References(Card):
    """The whole file: metrics by key, and the references that use them."""

    metrics: dict[str, Metric]
    references: tuple[Reference, ...]

    @model_validator(mode="after")
    def _known(self) -> References:
        names = [reference.name for reference in self.references]
        names += [validation.name for reference in self.references for validation in reference.validations]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"the name {twice[0]!r} is used twice")
        for reference in self.references:
            if unknown := [name for name in reference.metrics if name not in self.metrics]:
                known = ", ".join(self.metrics)
                raise ValueError(f"{reference.name}: no metric {unknown[0]!r}; there are: {known}")
            for validation in reference.validations:
                if blind := [name for name in validation.tolerances if not self.metrics[name].measured]:
                    raise ValueError(f"{validation.name}: nothing here measures {blind[0]!r}")
        return self


def read_references(path: Path | None = None) -> References:
    """The references of a file, or those that ship with this package.

    Raises:
        CardError: unreadable, not TOML, or with missing, unknown or ill-typed keys, in one line.
    """
    return read_card(path or FILE, References)


def plugin_of(codec: str) -> str:
    """The plug-in's name in a codec's spec.

    >>> plugin_of("mimi@rvq8+stack2:random")
    'mimi'
    """
    for mark in ":+@":
        codec = codec.partition(mark)[0]
    return codec


def about(references: Sequence[Reference], codec: str | None = None, task: str | None = None) -> list[Reference]:
    """The references on a codec and a task, each with the rows of that codec alone.

    Args:
        codec: a plug-in's name, or one row's whole spec; None for all.
        task: None for all.
    """
    found = []
    for reference in references:
        if task is not None and task not in reference.tasks:
            continue
        rows = tuple(row for row in reference.rows if codec is None or codec in (row.codec, plugin_of(row.codec)))
        if rows:
            found.append(reference.model_copy(update={"rows": rows}))
    return found


def protocols(path: Path | None = None) -> dict[str, Protocol]:
    """What `bench validate` can be run against, by name: the entry point of `latentbench.protocols`."""
    read = read_references(path)
    return {
        validation.name: _protocol(reference, validation, read)
        for reference in read.references
        for validation in reference.validations
    }


def _protocol(reference: Reference, validation: Validation, read: References) -> Protocol:
    rows = {row.codec: row for row in reference.rows}
    return Protocol(
        name=validation.name,
        title=reference.title,
        source=reference.cited,
        dataset=validation.dataset,
        splits=validation.splits,
        data=validation.data,
        differs=reference.differs,
        cases=tuple(_case(rows[codec], validation, read) for codec in validation.codecs),
    )


def _case(row: Entry, validation: Validation, read: References) -> Case:
    targets = []
    for name, tolerance in validation.tolerances.items():
        metric = read.metrics[name]
        targets.append(Target(metric.title, metric.measured, metric.unit, row.values[name], tolerance))
    return Case(row.codec, row.model, tuple(targets))
