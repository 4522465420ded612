"""Links out of the documentation, and tables shown in two places."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import BenchError
from tests.modules import script

hooks = script("docs_hooks")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/one.py").touch()
    (tmp_path / "docs/other.md").touch()
    (tmp_path / "README.md").write_text("<!-- rows:start -->\n\n| a |\n\n<!-- rows:end -->\n", encoding="utf-8")
    return tmp_path / "docs"


@pytest.mark.parametrize(
    ("given", "repository", "expected"),
    [
        ("[tasks/one.py](../tasks/one.py)", "", "`tasks/one.py`"),
        ("[`one.py`](../tasks/one.py)", "", "`tasks/one.py`"),
        ("[the code](../tasks/one.py#L3)", "", "the code (`tasks/one.py`)"),
        ("[the code](../tasks/one.py#L3)", "https://host/o/r/", "[the code](https://host/o/r/tasks/one.py#L3)"),
        ("[another page](other.md#part)", "https://host", "[another page](other.md#part)"),
        ("[gone](../tasks/two.py)", "https://host", "[gone](../tasks/two.py)"),
        ("[out](../../etc/passwd)", "https://host", "[out](../../etc/passwd)"),
        ("[a site](https://host/x)", "", "[a site](https://host/x)"),
        ("```\n[tasks/one.py](../tasks/one.py)\n```\n", "", "```\n[tasks/one.py](../tasks/one.py)\n```\n"),
    ],
)
def test_a_link_out_of_the_pages(docs: Path, given: str, repository: str, expected: str) -> None:
    assert hooks.outward(given, docs / "page.md", docs, repository) == expected


def test_an_included_block_is_the_one_between_the_markers(docs: Path) -> None:
    assert hooks.included("before\n<!-- include: README.md rows -->\nafter", docs.parent) == "before\n| a |\nafter"


def test_a_block_that_is_not_there_is_an_error(docs: Path) -> None:
    with pytest.raises(BenchError, match="expected a block columns in README.md"):
        hooks.included("<!-- include: README.md columns -->", docs.parent)
