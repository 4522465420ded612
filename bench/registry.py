"""Looking plug-ins up by name, through entry points, without importing what was not asked for.

Groups: `latentbench.codecs`, `.datasets`, `.submissions`, `.tasks` name a class; `.suites` and `.cards` name
a package whose folder holds TOML files; `.commands` and `.reporters` are what packages above add to the
command line.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

from bench.config import Card, SubmissionCard, SuiteCard, TaskCard, read_card
from bench.errors import BenchError, CardError, PluginError, UnknownName

C = TypeVar("C", bound=Card)


def names(kind: str) -> dict[str, EntryPoint]:
    """Installed plug-ins of a kind ("codecs", "datasets", "submissions", "tasks", …) by name."""
    return {point.name: point for point in entry_points(group=f"latentbench.{kind}")}


def load(kind: str, name: str) -> Any:
    """Import the plug-in `name` of a kind.

    Raises:
        UnknownName: none is installed under that name.
        PluginError: it does not import.
    """
    found = names(kind)
    if name not in found:
        raise UnknownName(kind.removesuffix("s"), name, list(found))
    try:
        return found[name].load()
    except BenchError:
        raise
    except Exception as error:
        raise PluginError(
            f"{kind.removesuffix('s')} {name!r} ({found[name].value}) does not import: {error}"
        ) from error


def module_of(kind: str, name: str) -> str:
    """The module that holds the plug-in."""
    found = names(kind)
    if name not in found:
        raise UnknownName(kind.removesuffix("s"), name, list(found))
    return found[name].module


def build(kind: str, spec: str) -> Any:
    """A codec or dataset from `NAME` or `NAME:ARGUMENT`.

    Raises:
        UnknownName, PluginError: as `load`; a factory that raises anything but a BenchError.
    """
    name, _, argument = spec.partition(":")
    factory = load(kind, name)
    return calling(f"{kind.removesuffix('s')} {name!r}", factory, argument)


def calling(who: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call into a plug-in; whatever it raises becomes one line that names it."""
    try:
        return function(*args, **kwargs)
    except BenchError:
        raise
    except Exception as error:
        raise PluginError(f"{who} raised {type(error).__name__}: {error}") from error


def suite_card(name: str) -> SuiteCard:
    """The suite of that name, or the one in the TOML file of that path."""
    return _card("suite", name, suite_files(), SuiteCard)


def submission_card(name: str) -> SubmissionCard:
    """The submission card of that name, or the one in the TOML file of that path."""
    return _card("submission", name, submission_files(), SubmissionCard)


def task_cards() -> dict[str, TaskCard]:
    """Cards of all installed tasks, read without importing their scorers."""
    return {name: task_card_of(name) for name in names("tasks")}


def task_card_of(name: str) -> TaskCard:
    """The card beside the module of task `name`."""
    spec = importlib.util.find_spec(module_of("tasks", name))
    if spec is None or spec.origin is None:
        raise PluginError(f"task {name!r}: its module {module_of('tasks', name)} is not installed")
    card = read_card(Path(spec.origin).with_suffix(".toml"), TaskCard)
    if card.name != name:
        raise CardError(f"{spec.origin}: the card's name is {card.name!r}, its entry point's {name!r}")
    return card


@cache
def _files(kind: str) -> Mapping[str, Path]:
    found: dict[str, Path] = {}
    for point in names(kind).values():
        spec = importlib.util.find_spec(point.value)
        for folder in spec.submodule_search_locations or () if spec else ():
            for path in sorted(Path(folder).glob("*.toml")):
                found[path.stem] = path
    return found


def suite_files() -> Mapping[str, Path]:
    """Installed suites: name → TOML file."""
    return _files("suites")


def submission_files() -> Mapping[str, Path]:
    """Installed submission cards: name → TOML file."""
    return _files("cards")


def _card(kind: str, name: str, files: Mapping[str, Path], card: type[C]) -> C:
    if name in files:
        path = files[name]
    elif name.endswith(".toml"):
        path = Path(name)
    else:
        raise UnknownName(kind, name, list(files))
    return read_card(path, card)
