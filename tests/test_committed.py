"""The committed leaderboard: no row of an outdated task version, plug-in, card or suite, and no typed number."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from bench import outputs, record, registry, selftest
from bench.cache import digest
from bench.config import overridden
from bench.fingerprint import source_digest
from bench.record import Record
from leaderboard import families, heard
from leaderboard.board import boards
from leaderboard.formats import TableFormat
from leaderboard.show import tables_of

ROOT = Path(__file__).parents[1]
RECORDS = sorted((ROOT / "leaderboard" / "records").glob("*.json"))
AGAIN = "make records"
HEARD = ("mini", "generation")


@pytest.fixture(scope="module", params=RECORDS, ids=lambda path: path.stem.partition("--")[0])
def row(request: pytest.FixtureRequest) -> Record:
    return record.read(request.param)


def test_there_are_rows() -> None:
    names = {path.stem.partition("--")[0] for path in RECORDS}
    assert {"raw_ar_v1", "rvq_ar_v1", "calm_v1", "rssm_v1", "engram_v1"} <= names
    assert {"control_raw_ar_seed", "engram_no_memory_active_v1", "rssm_ae_v1", "rssm_note_v1"} <= names
    families = ("raw_ar_v1", "rvq_ar_v1", "calm_v1", "rssm_v1", "engram_v1")
    assert {f"{name}_seed1" for name in families} <= names, "every family has a row under a second seed"


def test_what_is_heard_has_the_rows_of_mini_and_one_that_speaks() -> None:
    names = {suite: {p.stem.partition("--")[0] for p in RECORDS if p.stem.endswith(f"--{suite}")} for suite in HEARD}
    once = {name for name in names["mini"] if not name.endswith("_seed1")}
    assert names["generation"] >= once | {"raw_ar_text_v1"}


def test_samples_lie_beside_what_is_heard() -> None:
    for path in (path for path in RECORDS if path.stem.endswith("--generation")):
        kept = outputs.load(path.parent / "samples" / path.stem).outputs
        assert {"original", "codec"} < set(kept) and all(len(of_mode) == 2 for of_mode in kept.values()), path.stem


def test_its_file_has_its_name(row: Record) -> None:
    assert row.filename in {path.name for path in RECORDS}


def test_its_suite_and_card_are_the_present_ones(row: Record) -> None:
    suite, card = registry.suite_card(row.suite), registry.submission_card(row.submission.name.partition("@")[0])
    assert row.suite_digest == digest(suite.model_dump(mode="json")), AGAIN
    assert row.submission.parameters == card.resolved(row.suite), AGAIN
    assert (row.submission.plugin, row.submission.control) == (card.plugin, card.control)
    assert set(row.tasks) == set(suite.tasks), AGAIN


def test_its_plug_in_is_the_present_one(row: Record) -> None:
    now = source_digest(registry.module_of("submissions", row.submission.plugin))
    assert row.submission.code_digest == now, AGAIN


def test_its_tasks_are_the_present_ones(row: Record) -> None:
    suite = registry.suite_card(row.suite)
    for name, entry in row.tasks.items():
        card = registry.task_card_of(name)
        assert entry.version == card.version, f"{name}: {AGAIN}"
        assert entry.scorer_digest == source_digest(registry.module_of("tasks", name)), f"{name}: {AGAIN}"
        assert entry.parameters == overridden(card.parameters, suite.parameters.get(name, {}), name), f"{name}: {AGAIN}"
        assert entry.status != "failed", f"{name}: {entry.reason}"


def test_it_ran_under_a_self_test_that_passed(row: Record) -> None:
    assert row.selftest is not None and row.selftest.passed


def test_it_was_made_from_a_commit(row: Record) -> None:
    assert row.environment.commit is not None and row.environment.dirty is False


def block(page: str, marker: str) -> list[str]:
    """The words between a pair of markers of a page."""
    text = (ROOT / page).read_text("utf-8")
    (found,) = re.findall(rf"<!-- {marker}:start -->\n(.*?)<!-- {marker}:end -->", text, re.S)
    return str(found).split()


@pytest.mark.parametrize(("page", "brief"), [("README.md", True), ("docs/leaderboard.md", False)])
def test_the_readme_and_the_leaderboards_page_show_these_rows(page: str, brief: bool) -> None:
    found = [board for board in boards([record.read(path) for path in RECORDS]) if not board.of_codecs]
    shown = [board for board in found if not brief or board.suite == "mini"]
    assert block(page, "leaderboard") == tables_of(shown, TableFormat.md, False, brief).split(), AGAIN


def test_the_page_about_families_shows_these_rows() -> None:
    text = families.report([record.read(path) for path in RECORDS])
    assert block("docs/baselines.md", "families") == text.split(), "bench findings --write docs/baselines.md"


@pytest.mark.parametrize(("page", "brief"), [("README.md", True), ("docs/generation.md", False)])
def test_the_pages_about_what_is_heard_show_these_rows(page: str, brief: bool) -> None:
    rows = [record.read(path) for path in RECORDS]
    assert block(page, "heard") == heard.report(rows, brief=brief).split(), "make generation"


def test_the_frontier_shows_these_rows() -> None:
    svg = (ROOT / "docs" / "figures" / "generation.svg").read_text("utf-8")
    rows = [record.read(path) for path in RECORDS if path.stem.endswith("--generation")]
    swept = [
        r.submission.name for r in rows if r.tasks["cost_at_quality"].notes.get("points") and not r.submission.control
    ]
    assert len(swept) > 10 and all(f">{name}<" in svg for name in swept), "make generation"


def test_the_page_about_codecs_shows_its_rows() -> None:
    found = [board for board in boards([record.read(path) for path in RECORDS]) if board.of_codecs]
    assert {board.dataset for board in found} >= {"synthspeech"}
    text = tables_of(found, TableFormat.md, False)
    rows, _, _ = " ".join(block("docs/codecs.md", "codecs")).partition("### Without a row yet")
    assert rows.split() == text.split(), "make codecs"


def test_the_shipped_self_test_passed_and_covers_every_group() -> None:
    outcome = json.loads((files("bench.calibration") / selftest.SHIPPED).read_text("utf-8"))
    assert set(outcome) == set(selftest.groups())
    assert all(entry["passed"] for entry in outcome.values())


def test_the_shipped_self_test_is_of_the_present_code() -> None:
    outcome = json.loads((files("bench.calibration") / selftest.SHIPPED).read_text("utf-8"))
    for name, point in selftest.groups().items():
        if outcome[name]["packages"] == selftest.packages_of(point):
            assert outcome[name]["code"] == selftest.code_of(point), f"{name}: make selftest"
        assert outcome[name]["source"] == source_digest(point.module), f"{name}: make selftest"
