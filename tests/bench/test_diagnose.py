"""`bench diagnose`: the declared rows, one record each, and the page beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from bench import diagnose, record
from bench.errors import BenchError
from bench.record import Record
from tests.conftest import Done
from tests.plugins import Lab


class Declared:
    ROWS: ClassVar = {"linear_v1": ("density",), "other": ("moves",)}
    SUITE = "tiny"

    @staticmethod
    def page(records: Sequence[Record]) -> str:
        return "page of " + ", ".join(f"{r.submission.name}: {', '.join(r.tasks)}" for r in records) + "\n"


@pytest.fixture
def declared(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    text = lab.path("cards/linear_v1.toml").read_text().replace('"linear_v1"', '"other"')
    lab.write("cards/other.toml", text)
    monkeypatch.setattr(diagnose, "diagnosis", Declared)
    return lab


def test_rows_are_made_and_the_page_is_written_beside_them(
    declared: Lab, bench: Callable[..., Done], tmp_path: Path
) -> None:
    where = ("--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out"))
    done = bench("diagnose", "--codec", "levels", *where)
    assert done.code == 0, done.err
    assert "page of linear_v1: density, other: moves" in done.out
    path = tmp_path / "out" / "levels--tiny--tiny.md"
    assert path.read_text() == "page of linear_v1: density, other: moves\n" and str(path) in done.out
    made = {record.read(p).submission.name: set(record.read(p).tasks) for p in (tmp_path / "out").glob("*.json")}
    assert made == {"linear_v1": {"density"}, "other": {"moves"}}


def test_a_faster_codec_is_stacked(declared: Lab, bench: Callable[..., Done], tmp_path: Path) -> None:
    done = bench("diagnose", "--codec", "nonesuch", "--out", str(tmp_path / "out"))
    assert done.code == 2 and "no codec 'nonesuch'" in done.err and done.err.count("\n") == 1
    done = bench("diagnose", "--codec", "levels+stack2", "--cache", str(tmp_path / "c"), "--out", str(tmp_path / "out"))
    assert done.code == 0 and (tmp_path / "out" / "levels_stack2--tiny--tiny.md").is_file()


def test_one_package_declares_the_page() -> None:
    assert set(diagnose.diagnosis().ROWS) >= {"codec_itself", "raw_ar_v1"}


def test_no_package_or_two_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnose, "entry_points", lambda group: [])
    with pytest.raises(BenchError, match="expected one package that declares latentbench.diagnoses, got 0"):
        diagnose.diagnosis()
