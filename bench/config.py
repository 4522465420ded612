"""Cards: the TOML files that declare tasks, suites and submissions. Unknown keys are refused."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from bench.contract import CAPABILITIES
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
    sweeps: bool = False
    """Whether a submission's knobs decide the scores: another sweep then scores it again."""
    columns: tuple[ColumnCard, ...]
    parameters: dict[str, Any] = {}
    """Everything that a suite may set, with its default."""

    @field_validator("needs")
    @classmethod
    def _known(cls, needs: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in needs if name not in CAPABILITIES]:
            raise ValueError(f"no capability {unknown[0]!r}; there are: {', '.join(CAPABILITIES)}")
        return needs

    @field_validator("columns")
    @classmethod
    def _named_once(cls, columns: tuple[ColumnCard, ...]) -> tuple[ColumnCard, ...]:
        names = [column.name for column in columns]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{twice[0]} is declared twice")
        return columns

    def decisive(self) -> dict[str, Any]:
        """What may move a number: all but titles, texts, how a column is shown, and margins."""
        card = self.model_dump(mode="json", exclude={"title", "question", "paper", "columns", "sweeps"})
        shown = {"title", "shown", "ranked", "headline", "margin", "decimals", "bound", "help"}
        return card | {"columns": [c.model_dump(mode="json", exclude=shown) for c in self.columns]}


class SuiteCard(Card):
    """Which tasks run on what, and what each may spend."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str
    codec: str
    dataset: str
    tasks: tuple[str, ...]
    seed: int = 0
    minutes: dict[Literal["train", "valid", "test"], Annotated[float, Field(gt=0)]] = {}
    """At most this much audio of a split, taken round-robin over speakers; a split not named is whole."""
    parameters: dict[str, dict[str, Any]] = {}
    """Task → parameters laid over the task card's."""
    beside: str = Field("", exclude=True)
    """The suite with whose tables this one's are shown; it decides no number, and so is in no digest."""

    @model_validator(mode="after")
    def _of_its_tasks(self) -> SuiteCard:
        if unknown := [task for task in self.parameters if task not in self.tasks]:
            raise ValueError(f"parameters.{unknown[0]} is for no task of the suite; its tasks: {', '.join(self.tasks)}")
        return self


Control = Literal["", "floor", "ceiling", "replicate"]
"""A floor is what no model should lose to (silence, shuffled time), a ceiling what none can beat (the codec
itself), a replicate another row's model under another seed."""


TRAINING_SPLIT = "the training split of the row's dataset, nothing else"
"""What a row of the closed division was trained on."""


class DisclosureCard(Card):
    """What a row says that learned from more than the training split."""

    training_hours: float = Field(ge=0)
    training_languages: tuple[str, ...]
    """As BCP 47 has them: "en", "pt-BR"; "zxx" for what is no language."""
    pretrained: tuple[str, ...] = ()
    """Weights that came from elsewhere, each with its revision."""
    overlap: str = Field(min_length=1)
    """What is known of speakers, recordings or texts of the test split in the training data, and how."""

    @field_validator("training_languages", "pretrained", mode="before")
    @classmethod
    def _as_read(cls, value: Any) -> Any:
        # a record is read as Python values, where an array is a list
        return tuple(value) if isinstance(value, list) else value


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
    training_data: str = TRAINING_SPLIT
    disclosure: DisclosureCard | None = None
    """Of a row that was trained on anything else: it is of the open division, and says what it had."""
    control: Control = ""
    """What the row is for, where it is no model: shown apart, never ranked."""
    parameters: dict[str, Any] = {}
    suite_parameters: dict[str, dict[str, Any]] = {}
    """Suite → parameters laid over `parameters`."""
    knobs: dict[str, tuple[Any, ...]] = {}
    """Parameters of generation, dotted as in `head.steps`, and the values a sweep takes; nothing is fitted again."""
    parts: dict[Literal["backbone", "head", "z_rec"], tuple[str, ...]] = {}
    """Part → modules of the plug-in's `network` whose FLOPs are its, dotted."""

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


def overridden(declared: Mapping[str, Any], over: Mapping[str, Any], who: str) -> dict[str, Any]:
    """`merged`, where `over` may only set what `declared` names, to a value of the same type.

    Raises:
        CardError: another key or type; names `who` and the key.
    """
    for key, value in over.items():
        if key not in declared:
            known = ", ".join(sorted(declared)) or "none"
            raise CardError(f"{who}: parameter {key} is unknown; there are: {known}")
        if isinstance(declared[key], Mapping) and isinstance(value, Mapping):
            overridden(declared[key], value, f"{who}.{key}")
        elif type(value) is not type(declared[key]) and (type(value), type(declared[key])) != (int, float):
            kind = type(declared[key]).__name__
            raise CardError(f"{who}: parameter {key} must be of type {kind}, got {value!r}")
    return merged(declared, over)


C = TypeVar("C", bound=Card)
P = TypeVar("P")


def read_card(path: Path, kind: type[C]) -> C:
    """Read a card of the given kind.

    Raises:
        CardError: unreadable, not TOML, or with missing, unknown or ill-typed keys; names file and key.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CardError(f"{path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CardError(f"{path}: not TOML: {error}") from error
    for where in _not_finite(raw):
        raise CardError(f"{path}: {where}: expected a finite number")
    try:
        # strict validation takes a JSON array for a tuple, but not a Python list
        return kind.model_validate_json(json.dumps(raw, default=str))
    except ValidationError as error:
        raise CardError(f"{path}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


def _not_finite(value: Any, where: str = "") -> Iterator[str]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield from _not_finite(part, f"{where}.{key}" if where else str(key))
    if isinstance(value, float) and not math.isfinite(value):
        yield where


def parameters(kind: type[P], values: Mapping[str, Any], who: str) -> P:
    """A plug-in's frozen configuration dataclass from its card's parameters.

    Raises:
        CardError: an unknown key or an ill-typed value; names the plug-in and the field.
    """
    _refuse_unknown(kind, values, who, "")
    try:
        return TypeAdapter(kind).validate_json(json.dumps(dict(values), default=_plain), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CardError(f"{who}: parameter {where}: {first['msg'].lower()}, got {first['input']!r}") from error


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


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
