"""What the pages written by hand must not leave out."""

from __future__ import annotations

import re

import pytest

from bench.config import SubmissionCard, read_card
from leaderboard.board import boards
from leaderboard.store import committed_folder, read_rows
from leaderboard.view import task_views
from leaderboard.words import UNBELIEVED, legend
from tests.docs.blocks import ROOT

DOCS = ROOT / "docs"


@pytest.mark.parametrize("package", ["metrics", "calibration"])
def test_the_api_lists_every_module(package: str) -> None:
    there = {path.stem for path in (ROOT / "bench" / package).glob("*.py")} - {"__init__"}
    text = (DOCS / "api" / f"{package}.md").read_text("utf-8")
    assert sorted(re.findall(rf"^::: bench\.{package}\.(\w+)$", text, re.MULTILINE)) == sorted(there)


def test_every_mark_of_a_table_is_explained() -> None:
    text = (DOCS / "guide" / "read_the_table.md").read_text("utf-8").partition("## Columns")[2]
    found = boards(read_rows(committed_folder()))
    lines = [line for board in found for line in legend(task_views(board), "**", str)]
    marks = {line.split()[0].rstrip(":") for line in lines if not line.startswith("controls")}
    for mark in {*marks, UNBELIEVED, "†", "≥", "≤", "UNTRAINED", "(new)", "[n = 1]", "failed", "–", "!", "detectable"}:
        assert mark in text, mark


def test_every_control_is_explained() -> None:
    text = (DOCS / "concepts.md").read_text("utf-8")
    cards = [read_card(path, SubmissionCard) for path in (ROOT / "submissions").glob("*.toml")]
    assert not [card.name for card in cards if card.control and f"`{card.name}`" not in text]


def test_the_questions_are_questions() -> None:
    headings = re.findall(r"^## (.+)$", (DOCS / "faq.md").read_text("utf-8"), re.MULTILINE)
    assert len(headings) >= 10
    assert [h for h in headings if "?" not in h and "–" not in h] == []
