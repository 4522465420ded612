"""What is read of a stream: in parts that a killed run goes on from, whole or not at all."""

import errno
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.cache import Cache
from bench.datasets import imported
from bench.datasets.imported import Entry, Imported
from bench.datasets.options import Options
from bench.datasets.rows import Described, Row
from bench.errors import CacheError, DataError
from tests.recordings import tone


class Counting:
    """Rows that are counted as they are read, and that break off once at a given one."""

    root = None

    def __init__(self, count: int, breaks_at: int = -1) -> None:
        self.count, self.breaks_at, self.read = count, breaks_at, [0]
        self.read.clear()

    def described(self) -> Described:
        return Described({"all": self.count}, {})

    def rows(self, split: str, state: Any) -> Iterator[tuple[Row, Callable[[], Any]]]:
        for i in range(state or 0, self.count):
            if i == self.breaks_at:
                raise DataError("broken")
            self.read.append(i)
            yield Row("", f"s{i % 2}", data=tone(i)), lambda i=i: i + 1  # type: ignore[misc]


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imported, "PART", 4)


def all_of(source: Counting, cache: Path, options: Options = Options()) -> list[Entry]:  # noqa: B008
    found, refused = Imported(source, "key", options, Cache(cache), lambda *_: None).split("all", source.count)
    assert not refused
    return found


def test_a_broken_reading_goes_on_from_its_last_part(small_parts: None, tmp_path: Path) -> None:
    broken, whole = Counting(11, breaks_at=9), Counting(11)
    with pytest.raises(DataError, match="broken"):
        all_of(broken, tmp_path)
    assert broken.read == list(range(9))
    found = all_of(whole, tmp_path)
    assert whole.read == [8, 9, 10]
    assert found == all_of(Counting(11), tmp_path / "fresh")
    assert [entry.name for entry in found] == [f"all-{i:06d}" for i in range(11)]
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("count", [0, 4, 5, 8])
def test_parts_end_where_rows_do(small_parts: None, tmp_path: Path, count: int) -> None:
    source = Counting(count)
    assert len(all_of(source, tmp_path)) == count
    assert source.read == list(range(count))
    again = Counting(count)
    assert len(all_of(again, tmp_path)) == count
    assert again.read == []


def test_limits_hold_across_parts(small_parts: None, tmp_path: Path) -> None:
    source = Counting(30)
    found = all_of(source, tmp_path, Options(minutes=0.06))  # 3.6 s of 0.6 s
    assert len(found) == 6 and source.read == list(range(6))
    found = all_of(Counting(30), tmp_path, Options(per_speaker=3))
    assert [entry.name for entry in found] == [f"all-{i:06d}" for i in range(6)]


def test_audio_that_somebody_deleted_is_read_again(small_parts: None, tmp_path: Path) -> None:
    owner = Imported(Counting(9), "key", Options(), Cache(tmp_path), lambda *_: None)
    found, _ = owner.split("all", 9)
    owner.file(found[5]).unlink()
    source = Counting(9)
    assert all_of(source, tmp_path) == found
    assert source.read == [4, 5, 6, 7]
    assert owner.file(found[5]).read_bytes() == tone(5)


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    small_parts: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, room = Path.write_bytes, [5]

    def full(path: Path, data: bytes) -> int:
        if path.parent.parent.name == "audio":
            room[0] -= 1
            if room[0] < 0:
                write(path, data[:100])
                raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CacheError, match="no space left on the disk"):
        all_of(Counting(11), tmp_path)
    files = [path for path in (tmp_path / "audio").rglob("*") if path.is_file()]
    assert sorted(path.read_bytes() for path in files) == sorted(tone(i) for i in range(5))
    monkeypatch.setattr(Path, "write_bytes", write)
    source = Counting(11)
    assert len(all_of(source, tmp_path)) == 11
    assert source.read == list(range(4, 11))


def test_progress_counts_rows(small_parts: None, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    Imported(Counting(6), "key", Options(), Cache(tmp_path), lambda *said: seen.append(said)).split("all", 6)
    assert seen == [("read all", i, 6) for i in range(1, 7)]


def test_another_key_or_other_columns_are_read_anew(tmp_path: Path) -> None:
    all_of(Counting(3), tmp_path)
    for options in (Options(text="t"), Options(keep="0")):
        source = Counting(3)
        all_of(source, tmp_path, options)
        assert source.read == [0, 1, 2]


def test_parts_are_plain_json(tmp_path: Path) -> None:
    all_of(Counting(2), tmp_path)
    (part,) = (tmp_path / "datasets").rglob("*.json")
    first = json.loads(part.read_text())["entries"][0]
    assert first["speaker"] == "s0" and first["seconds"] == 0.6 and not first["path"]
