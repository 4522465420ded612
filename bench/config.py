"""Cards: the TOML files that declare tasks, suites and submissions. Unknown keys are refused."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bench.errors import CardError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Card(BaseModel):
    """Base of every card: strict, frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ColumnCard(Card):
    """One number a task reports.

    `unit` is the record's, `shown` the table's: "nats/frame" may be shown as "bit/s", and a share as "%".
    `margin` is how much worse, in `unit`, a row may get before `bench check` calls it a regression.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    unit: str
    shown: str = ""
    better: Literal["higher", "lower", "one", "none"]
    ranked: bool = False
    headline: bool = False
    margin: float | None = None
    aggregate: Literal["mean", "median"] = "mean"
    decimals: int = 2
    bound: bool = False
    help: str = ""


class TaskCard(Card):
    """One question: what is asked, of whom, on which split, and in which columns."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: int = Field(ge=1)
    title: str
    question: str
    paper: str = ""
    split: Literal["train", "valid", "test"] = "test"
    needs: tuple[str, ...] = ()
    horizons_ms: tuple[int, ...] = ()
    columns: tuple[ColumnCard, ...]
    parameters: dict[str, Any] = {}


def declared(card: TaskCard, column: str) -> ColumnCard:
    """The card's column of that name."""
    return next(c for c in card.columns if c.name == column)


class SuiteCard(Card):
    """Which tasks run on what, and what each may spend."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str
    codec: str
    dataset: str
    tasks: tuple[str, ...]
    seed: int = 0
    minutes: dict[Literal["train", "valid", "test"], float] = {}
    """At most this much audio of a split, taken round-robin over speakers; a split not named is whole."""
    parameters: dict[str, dict[str, Any]] = {}
    """Task → parameters laid over the task card's."""


class SubmissionCard(Card):
    """One row: a plug-in, its parameters and where it comes from."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    plugin: str
    title: str
    description: str
    authors: str
    paper: str = ""
    codec: str = ""
    """The codec the row is pinned to; empty: the suite's."""
    training_data: str = "the training split of the row's dataset, nothing else"
    parameters: dict[str, Any] = {}
    suite_parameters: dict[str, dict[str, Any]] = {}
    """Suite → parameters laid over `parameters`."""

    def resolved(self, suite: str) -> dict[str, Any]:
        """The parameters that a run under `suite` uses."""
        return merged(self.parameters, self.suite_parameters.get(suite, {}))


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`, table by table.

    >>> merged({"fit": {"steps": 9, "lr": 1}}, {"fit": {"steps": 3}})
    {'fit': {'steps': 3, 'lr': 1}}
    """
    out = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merged(out[key], value) if both else value
    return out


C = TypeVar("C", bound=Card)
P = TypeVar("P")


def read_card(path: Path, kind: type[C]) -> C:
    """Read a card of the given kind.

    Raises:
        CardError: unreadable, not TOML, or with missing, unknown or ill-typed keys; names file and key.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CardError(f"{path}: {error}") from error
    try:
        return kind.model_validate_json(_as_json(raw))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CardError(f"{path}: {where}: {first['msg']}") from error


def _as_json(raw: dict[str, Any]) -> str:
    # strict validation takes a JSON array for a tuple, but not a Python list
    import json

    return json.dumps(raw, default=str)


def parameters(kind: type[P], values: Mapping[str, Any], who: str) -> P:
    """A plug-in's frozen configuration dataclass from its card's parameters.

    Raises:
        CardError: an unknown key or an ill-typed value; names the plug-in and the field.
    """
    _refuse_unknown(kind, values, who, "")
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CardError(f"{who}: parameter {where}: {first['msg'].lower()}, got {first['input']!r}") from error


def _refuse_unknown(kind: Any, values: Mapping[str, Any], who: str, prefix: str) -> None:
    # pydantic ignores unknown keys of plain dataclasses
    hints = get_type_hints(kind)
    known = {f.name for f in fields(kind)}
    for key, value in values.items():
        if key not in known:
            names = ", ".join(sorted(known))
            raise CardError(f"{who}: parameter {prefix}{key} is unknown; there are: {names}")
        if is_dataclass(hints[key]) and isinstance(value, Mapping):
            _refuse_unknown(hints[key], value, who, f"{prefix}{key}.")


def task_card(module_file: str) -> TaskCard:
    """The card beside a task's module: `tasks/delta_nll.py` → `tasks/delta_nll.toml`."""
    return read_card(Path(module_file).with_suffix(".toml"), TaskCard)
