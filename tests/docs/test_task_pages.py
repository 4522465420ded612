"""The tasks' pages are what the cards and the shipped self-test say, and each answers the same questions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import registry
from bench.config import ColumnCard, TaskCard
from bench.markers import block
from tests.docs.blocks import ROOT
from tests.modules import script

pages_of = script("write_task_pages")
TASKS = ROOT / "docs" / "tasks"
OWN = sorted(path.stem for path in (ROOT / "tasks").glob("*.toml"))
SECTIONS = ("Question", "Definition", "Estimator", "Bias", "Validity", "Columns", "Parameters", "Calibration", "Paper")


@pytest.fixture(scope="module")
def made() -> dict[Path, dict[str, str]]:
    return dict(pages_of.pages())


def test_every_task_of_this_repository_has_a_page(made: dict[Path, dict[str, str]]) -> None:
    assert sorted(path.stem for path in TASKS.glob("*.md")) == sorted([*OWN, "index"])
    assert set(made) == set(TASKS.glob("*.md"))


def test_the_committed_pages_are_what_the_generator_writes(made: dict[Path, dict[str, str]]) -> None:
    stale = [f"{path.name}: {name}" for path, parts in made.items() for name, text in parts.items()
             if block(path, name) != text.strip()]  # fmt: skip
    assert not stale, "run `python scripts/write_task_pages.py`"


@pytest.mark.parametrize("name", OWN)
def test_a_page_answers_every_question(name: str) -> None:
    text = (TASKS / f"{name}.md").read_text("utf-8")
    assert tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) == SECTIONS
    for section in SECTIONS:
        body = text.partition(f"## {section}\n")[2].partition("\n## ")[0]
        assert len(re.sub(r"<!--.*?-->", "", body).split()) > 5 or section == "Parameters", section
    assert 'class="formula"' in text


@pytest.mark.parametrize("name", OWN)
def test_every_column_stands_on_its_page_once(name: str) -> None:
    text = block(TASKS / f"{name}.md", "columns")
    shown = []
    for cell in re.findall(r"^\| `([^`]+)`", text, re.MULTILINE):
        head, _, rest = cell.partition("{")
        numbers, _, tail = rest.partition("}")
        shown += [f"{head}{number}{tail}" for number in numbers.split(", ")] if rest else [cell]
    assert sorted(shown) == sorted(column.name for column in registry.task_cards()[name].columns)


def test_columns_that_differ_in_more_than_a_number_are_told_apart() -> None:
    def column(name: str, **more: object) -> ColumnCard:
        return ColumnCard(**{"name": name, "title": f"gain {name[5:-2]} ms", "unit": "1", "better": "higher", **more})  # type: ignore[arg-type]

    card = TaskCard(
        name="toy", version=1, title="Toy", question="?",
        columns=(column("gain_80ms", ranked=True), column("gain_160ms", ranked=True), column("gain_320ms"),
                 column("gain_640ms", help="a | b < c")),
    )  # fmt: skip
    text = pages_of.columns(card)
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `")] == [
        "`gain_{80, 160}ms`",
        "`gain_320ms`",
        "`gain_640ms`",
    ]
    assert "gain h ms" in text
    assert "a \\| b &lt; c" in text


def test_a_group_without_a_report_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such group"):
        pages_of.calibration("nothing", "### delta_nll (full)", {"passed": True})
