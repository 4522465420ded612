"""Blocks between markers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.markers import between, replace_block

START, END = "<!-- a:start -->", "<!-- a:end -->"
TEXT = f"before\n{START}\nold\n{END}\nbetween\n<!-- b:start -->\n<!-- b:end -->\nafter"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_only_the_block_changes(page: Path) -> None:
    replace_block(page, "a", "\nné\nw\n\n")
    once = TEXT.replace("\nold\n", "\n\nné\nw\n\n")
    assert page.read_text("utf-8") == once
    replace_block(page, "b", "x")
    assert page.read_text("utf-8") == once.replace("<!-- b:start -->\n", "<!-- b:start -->\n\nx\n\n")


def test_a_second_time_changes_nothing(page: Path) -> None:
    replace_block(page, "a", "| new |\n")
    once = page.read_bytes()
    replace_block(page, "a", "| new |\n")
    assert page.read_bytes() == once


@pytest.mark.parametrize("text", ["", r"a \1 \g<0> b", "\n\nx\n\n"])
def test_any_text_is_taken_as_it_is(text: str) -> None:
    found = between(TEXT, "a", text)
    assert found.startswith(f"before\n{START}\n\n{text.strip()}")
    assert found.endswith("<!-- b:end -->\nafter")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"expected one line {START}, got 0"),
        (START, f"expected one line {END}, got 0"),
        (END, f"expected one line {START}, got 0"),
        (f"{END} {START}", f"expected {START} before {END}"),
        (TEXT + START, f"expected one line {START}, got 2"),
    ],
)
def test_broken_markers_leave_the_file_alone(page: Path, text: str, message: str) -> None:
    page.write_text(text)
    with pytest.raises(BenchError, match=message) as raised:
        replace_block(page, "a", "new")
    assert str(page) in str(raised.value)
    assert page.read_text() == text


def test_windows_line_ends_and_the_mode_stay(page: Path) -> None:
    page.write_bytes(TEXT.replace("\n", "\r\n").encode())
    page.chmod(0o640)
    replace_block(page, "a", "x\ny")
    found = page.read_bytes()
    assert b"x\r\ny\r\n" in found
    assert found.count(b"\n") == found.count(b"\r\n")
    assert page.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link_and_nothing_is_left_behind(page: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.md"
    link.symlink_to(page.name)
    replace_block(link, "a", "new")
    assert link.is_symlink()
    assert "new" in page.read_text()
    assert {p.name for p in tmp_path.iterdir()} == {"page.md", "link.md"}


def test_a_failed_write_leaves_the_old_file(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.cache.os.replace", full)
    with pytest.raises(BenchError, match="no space left"):
        replace_block(page, "a", "new")
    assert page.read_text() == TEXT
    assert [p.name for p in page.parent.iterdir()] == ["page.md"]


def test_a_file_that_cannot_be_read(page: Path) -> None:
    with pytest.raises(BenchError, match=r"other: No such file"):
        replace_block(page.with_name("other"), "a", "new")
    page.write_bytes(b"\xff <!-- a:start --><!-- a:end -->")
    with pytest.raises(BenchError, match=r"page\.md: expected UTF-8"):
        replace_block(page, "a", "new")


def test_it_loads_no_torch() -> None:
    code = "import sys, bench.markers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], timeout=120).returncode == 0
