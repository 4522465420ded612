"""The table between the markers of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import BenchError
from leaderboard.markers import END, START, between, write_between

PAGE = f"# Title\n\n{START}\nold\n{END}\n\nrest\n"


def test_only_what_is_between_changes() -> None:
    assert between(PAGE, "new\nlines") == f"# Title\n\n{START}\n\nnew\nlines\n\n{END}\n\nrest\n"


def test_a_second_time_changes_nothing() -> None:
    once = between(PAGE, "| a |\n")
    assert between(once, "| a |\n") == once


@pytest.mark.parametrize("body", ["", r"a \1 \g<0> b", "\n\nx\n\n"])
def test_any_body_is_taken_as_it_is(body: str) -> None:
    assert body.strip("\n") in between(PAGE, body)
    assert between(PAGE, body).endswith("\n\nrest\n")


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("no markers", "expected one line <!-- leaderboard:start -->, got 0"),
        (START, "expected one line <!-- leaderboard:end -->, got 0"),
        (PAGE + START, "got 2"),
        (END + START, "before"),
    ],
)
def test_broken_markers_leave_the_file_alone(tmp_path: Path, page: str, message: str) -> None:
    path = tmp_path / "page.md"
    path.write_text(page)
    with pytest.raises(BenchError, match=message) as raised:
        write_between(path, "table")
    assert str(path) in str(raised.value)
    assert path.read_text() == page


def test_windows_line_ends_and_the_mode_stay(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_bytes(PAGE.replace("\n", "\r\n").encode())
    path.chmod(0o640)
    write_between(path, "a\nb")
    found = path.read_bytes()
    assert b"a\r\nb\r\n" in found
    assert found.count(b"\n") == found.count(b"\r\n")
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link_and_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "real.md").write_text(PAGE)
    link = tmp_path / "link.md"
    link.symlink_to("real.md")
    write_between(link, "new")
    assert link.is_symlink()
    assert "new" in (tmp_path / "real.md").read_text()
    assert {p.name for p in tmp_path.iterdir()} == {"real.md", "link.md"}


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.md"
    path.write_text(PAGE)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("leaderboard.markers.os.replace", full)
    with pytest.raises(BenchError, match="No space left"):
        write_between(path, "new")
    assert path.read_text() == PAGE
    assert [p.name for p in tmp_path.iterdir()] == ["page.md"]


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_an_unreadable_file_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "page.md"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BenchError, match=r"page\.md"):
        write_between(path, "new")
