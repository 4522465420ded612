"""Cards of installed tasks are found beside their modules, and no module is imported for it."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from leaderboard import headings

CARD = """
name = "{name}"
version = 3
title = "Title of {name}"
question = "What?"
[[columns]]
name = "x"
title = "x"
unit = "1"
better = "none"
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Tasks of a package whose every module raises on import."""
    package = tmp_path / "strangers_tasks"
    (package / "deep").mkdir(parents=True)
    for path in ("__init__.py", "one.py", "deep/__init__.py", "deep/two.py", "broken.py"):
        (package / path).write_text("raise RuntimeError('imported')")
    (package / "one.toml").write_text(CARD.format(name="one"))
    (package / "deep/two.toml").write_text(CARD.format(name="two"))
    (package / "broken.toml").write_text("name = 3")
    (tmp_path / "alone_task.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "alone_task.toml").write_text(CARD.format(name="alone"))
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = {
        "one": "strangers_tasks.one",
        "two": "strangers_tasks.deep.two",
        "broken": "strangers_tasks.broken",
        "alone": "alone_task",
        "gone": "no_such_package.gone",
    }
    points = [EntryPoint(name, f"{module}:Task", headings.GROUP) for name, module in modules.items()]
    monkeypatch.setattr(headings, "entry_points", lambda group: points if group == headings.GROUP else [])
    return points


def test_cards_are_read_without_importing(installed: list[EntryPoint]) -> None:
    cards = headings.installed_cards([point.name for point in installed] + ["unknown"])
    assert {name: card.title for name, card in cards.items()} == {
        "one": "Title of one",
        "two": "Title of two",
        "alone": "Title of alone",
    }
    assert not [m for m in sys.modules if m.startswith(("strangers_tasks", "alone_task"))]


def test_only_the_tasks_asked_for_are_read(installed: list[EntryPoint]) -> None:
    assert list(headings.installed_cards(["two"])) == ["two"]
