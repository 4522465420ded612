"""Titles and questions of tasks, from the cards of the installed tasks.

A task's module may import torch, so that nothing of it is imported: its card lies beside it under a known name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from bench.config import SuiteCard, TaskCard, read_card
from bench.errors import BenchError

GROUP = "latentbench.tasks"
SUITES = "latentbench.suites"


def installed_cards(names: Iterable[str]) -> dict[str, TaskCard]:
    """Task → its card. A task that is not installed, or whose card cannot be read, is absent."""
    wanted = set(names)
    cards = {}
    for entry in entry_points(group=GROUP):
        if entry.name in wanted and (path := _card_path(entry.module)) is not None:
            try:
                cards[entry.name] = read_card(path, TaskCard)
            except BenchError:
                continue  # a table of old records can do without the words of a broken card
    return cards


def suites_beside(suite: str) -> set[str]:
    """Installed suites whose cards say that their tables are shown with those of `suite`."""
    found = set()
    for path in _suite_files():
        try:
            card = read_card(path, SuiteCard)
        except BenchError:
            continue  # `bench list suites` says what is wrong with it
        if card.beside == suite:
            found.add(card.name)
    return found


def suite_folders() -> list[Path]:
    """The folders of the installed packages that hold suites."""
    found = []
    for entry in entry_points(group=SUITES):
        spec = find_spec(entry.value.partition(".")[0])
        roots = (spec.submodule_search_locations or []) if spec else []
        found += [Path(root, *entry.value.split(".")[1:]) for root in roots]
    return found


@cache
def installed_suite(name: str) -> SuiteCard | None:
    """The installed suite of that name; None where there is none, or its card cannot be read."""
    for path in _suite_files():
        if path.stem == name:
            try:
                return read_card(path, SuiteCard)
            except BenchError:
                return None
    return None


def _suite_files() -> Iterator[Path]:
    return (path for folder in suite_folders() for path in sorted(folder.glob("*.toml")))


def _card_path(module: str) -> Path | None:
    package, *rest = module.split(".")
    # only the top package is looked up: finding a submodule's spec would import its parents
    spec = find_spec(package)
    if spec is None:
        return None
    roots = list(spec.submodule_search_locations or [])
    candidates = [Path(root, *rest).with_suffix(".toml") for root in roots] if rest else []
    if not rest and spec.origin is not None:
        candidates = [Path(spec.origin).with_suffix(".toml")]
    return next((path for path in candidates if path.is_file()), None)
