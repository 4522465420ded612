"""Blocks between markers."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.markers import replace_block

TEXT = "before\n<!-- a:start -->\nold\n<!-- a:end -->\nbetween\n<!-- b:start -->\n<!-- b:end -->\nafter"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_only_the_block_changes(page: Path) -> None:
    replace_block(page, "a", "\nné\nw\n\n")
    assert page.read_text("utf-8") == TEXT.replace("old", "né\nw")
    replace_block(page, "b", "x")
    assert page.read_text("utf-8") == TEXT.replace("old", "né\nw").replace(
        "<!-- b:start -->\n", "<!-- b:start -->\nx\n"
    )


def test_a_second_time_changes_nothing(page: Path) -> None:
    replace_block(page, "a", "new")
    once = page.read_bytes()
    replace_block(page, "a", "new")
    assert page.read_bytes() == once


@pytest.mark.parametrize("text", ["", "<!-- a:start -->", "<!-- a:end -->", "<!-- a:end --> <!-- a:start -->", "a"])
def test_missing_markers(page: Path, text: str) -> None:
    page.write_text(text)
    with pytest.raises(BenchError, match="expected the markers <!-- a:start --> and <!-- a:end -->"):
        replace_block(page, "a", "new")
    assert page.read_text() == text


def test_a_file_that_cannot_be_read(page: Path) -> None:
    with pytest.raises(BenchError, match="No such file"):
        replace_block(page.with_name("other"), "a", "new")
    page.write_bytes(b"\xff <!-- a:start --><!-- a:end -->")
    with pytest.raises(BenchError, match="expected UTF-8"):
        replace_block(page, "a", "new")


def test_a_link_stays_a_link(page: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.md"
    link.symlink_to(page)
    replace_block(link, "a", "new")
    assert link.is_symlink()
    assert page.read_text() == TEXT.replace("old", "new")
