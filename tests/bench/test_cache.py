"""The store: made once, whole or not at all, and one line where it cannot be written."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import cache as store
from bench.cache import Cache, digest, file_digest, replacing
from bench.errors import CacheError

KEY = {"what": "thing", "n": 3}


def visible(root: Path) -> list[str]:
    """Entries, as a reader that lists a folder sees them; locks aside."""
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and p.suffix != ".lock")


def never() -> Any:
    raise AssertionError("made again")


@pytest.fixture
def torch() -> Any:
    # here, so that the processes this module starts do not load it
    import torch

    return torch


def test_a_key_is_a_value_not_a_spelling() -> None:
    assert digest({"a": 1, "b": [1.5, None]}) == digest({"b": [1.5, None], "a": 1})
    assert len({digest(v) for v in ({"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"}, {"a": [1]}, {"a": 1.5})}) == 6


def test_a_file_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert file_digest(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_value_is_made_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    value = {"x": [1, 2.5, None], "name": "é"}
    assert cache.json("k", KEY, lambda: value) == value
    assert cache.json("k", KEY, never) == value
    assert Cache(tmp_path).json("k", KEY, never) == value
    assert cache.made == 1


@pytest.mark.parametrize("value", [None, 0, False, "", [], {}])
def test_a_value_that_is_nothing_is_still_made_once(tmp_path: Path, value: Any) -> None:
    Cache(tmp_path).json("k", KEY, lambda: value)
    assert Cache(tmp_path).json("k", KEY, never) == value


def test_tensors_come_back_bit_for_bit(tmp_path: Path, torch: Any) -> None:
    tensors = {
        "normal": torch.randn(3, 4),
        "turned": torch.randn(3, 4).T,
        "nothing": torch.zeros(2, 0),
        "whole": torch.tensor(2**40),
        "subnormal": torch.tensor([1e-45, -0.0, 3e38]),
    }
    first = Cache(tmp_path).tensors("k", KEY, lambda: tensors)
    again = Cache(tmp_path).tensors("k", KEY, never)
    for name, tensor in tensors.items():
        for got in (first[name], again[name]):
            assert got.dtype == tensor.dtype
            assert got.shape == tensor.shape
            assert got.contiguous().numpy().tobytes() == tensor.contiguous().numpy().tobytes()


def test_what_is_made_is_what_a_later_run_reads(tmp_path: Path) -> None:
    # a tuple becomes a list in JSON: the first run must go on with the list, too
    made = Cache(tmp_path).json("k", KEY, lambda: {"a": (1, 2)})
    assert made == {"a": [1, 2]} == Cache(tmp_path).json("k", KEY, never)


def test_other_keys_and_kinds_are_other_entries(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert [cache.json(kind, {"n": n}, lambda k=kind, m=n: [k, m]) for kind in "ab" for n in (1, 2)] == [
        ["a", 1],
        ["a", 2],
        ["b", 1],
        ["b", 2],
    ]


def test_entries_can_be_read_by_others(tmp_path: Path, torch: Any) -> None:
    cache = Cache(tmp_path)
    cache.json("k", KEY, lambda: 1)
    cache.tensors("k", KEY, lambda: {"x": torch.ones(1)})
    cache.put_json("k", {"put": 1}, 1)
    with replacing(tmp_path / "plain") as temporary:
        temporary.write_text("x")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in visible(tmp_path)}
    assert len(visible(tmp_path)) == 4
    assert modes == {0o644}


# --- damage ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"", b"{", b"\x00" * 40, b'{"x": 1}garbage', b"\xff\xfe"])
def test_a_damaged_value_is_made_again(tmp_path: Path, damage: bytes) -> None:
    cache = Cache(tmp_path)
    cache.json("k", KEY, lambda: {"x": 1})
    cache.path("k", KEY, ".json").write_bytes(damage)
    assert cache.json("k", KEY, lambda: {"x": 2}) == {"x": 2}
    assert cache.json("k", KEY, never) == {"x": 2}


@pytest.mark.parametrize("keep", [0, 7, 60, -1])
def test_damaged_tensors_are_made_again(tmp_path: Path, keep: int, torch: Any) -> None:
    cache = Cache(tmp_path)
    cache.tensors("k", KEY, lambda: {"x": torch.arange(100.0)})
    path = cache.path("k", KEY, ".safetensors")
    path.write_bytes(path.read_bytes()[:keep])
    assert torch.equal(cache.tensors("k", KEY, lambda: {"x": torch.ones(3)})["x"], torch.ones(3))
    assert torch.equal(cache.tensors("k", KEY, never)["x"], torch.ones(3))


# --- processes ---------------------------------------------------------------------------------------------


def slow_value(root: Path, start: Any, log: Path) -> None:
    start.wait()

    def make() -> int:
        with log.open("a") as file:
            file.write("made\n")
        time.sleep(0.3)
        return os.getpid()

    value = Cache(root).json("k", KEY, make)
    with log.open("a") as file:
        file.write(f"{value}\n")


def test_processes_that_race_make_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, log = context.Event(), tmp_path / "log"
    racers = [context.Process(target=slow_value, args=(tmp_path / "c", start, log)) for _ in range(3)]
    for racer in racers:
        racer.start()
    start.set()
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
    lines = log.read_text().split()
    assert lines.count("made") == 1
    values = {line for line in lines if line != "made"}
    assert len(values) == 1
    assert int(values.pop()) in {racer.pid for racer in racers}


def dies_while_making(root: Path, when: str) -> None:
    def die(*_: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    if when == "written":
        store.os.replace = die  # type: ignore[assignment]
    elif when == "half written":

        def half(self: Path, data: bytes) -> int:
            with self.open("wb") as file:
                file.write(data[: len(data) // 2])
                file.flush()
                die()
            return 0

        Path.write_bytes = half  # type: ignore[method-assign, assignment]
    Cache(root).json("k", KEY, die if when == "making" else lambda: list(range(1000)))


@pytest.mark.parametrize("when", ["making", "half written", "written"])
def test_a_writer_that_dies_leaves_nothing(tmp_path: Path, when: str) -> None:
    before = Cache(tmp_path).json("k", {"earlier": 1}, lambda: "kept")
    process = multiprocessing.get_context("spawn").Process(target=dies_while_making, args=(tmp_path, when))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    entry = Cache(tmp_path).path("k", KEY, ".json")
    assert not entry.exists()
    # what is left is hidden, has no entry's suffix, and goes when the entry is made; the lock is free
    left = [p.name for p in entry.parent.iterdir() if p.suffix not in (".lock", ".json")]
    assert all(name.startswith(".") and name.endswith(".tmp") for name in left)
    assert len(left) == (0 if when == "making" else 1)
    assert Cache(tmp_path).json("k", KEY, lambda: [1]) == [1]
    assert not [p.name for p in entry.parent.iterdir() if p.name.endswith(".tmp")]
    assert Cache(tmp_path).json("k", {"earlier": 1}, never) == before


def test_an_error_while_making_leaves_nothing_and_frees_the_lock(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(ZeroDivisionError):
        cache.json("k", KEY, lambda: 1 // 0)
    assert visible(tmp_path) == []
    assert cache.json("k", KEY, lambda: 1) == 1


def test_what_is_no_json_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Cache(tmp_path).json("k", KEY, lambda: float("nan"))
    assert visible(tmp_path) == []


# --- what cannot be written --------------------------------------------------------------------------------


def one_line(message: str) -> bool:
    return "\n" not in message and len(message) < 400


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_root_that_is_a_file(tmp_path: Path, below: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("precious")
    cache = Cache(tmp_path / "file" / below)
    for attempt in (lambda: cache.json("k", KEY, lambda: 1), lambda: cache.put_json("k", KEY, 1)):
        with pytest.raises(CacheError, match=r"cannot write .*file.*choose another with --cache") as caught:
            attempt()
        assert one_line(str(caught.value))
    assert (tmp_path / "file").read_text() == "precious"
    assert not caplog.records


def test_a_root_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path)
    cache.json("k", {"earlier": 1}, lambda: "kept")

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    # what is there is used; what is not is one line
    assert cache.json("k", {"earlier": 1}, never) == "kept"
    with pytest.raises(CacheError, match=r"cannot write .*Read-only file system; choose another with --cache"):
        cache.json("k", KEY, lambda: 1)


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path)
    cache.json("k", KEY, lambda: 1)

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_text", refuse)
    # not "damaged": to make it again would fail, too, after all the work
    with pytest.raises(CacheError, match=r"cannot read .*Permission denied"):
        cache.json("k", KEY, never)


def full_write(self: Path, data: bytes) -> int:
    with self.open("wb") as file:
        file.write(data[: len(data) // 2])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_disk(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


FULL: list[tuple[object, str, Callable[..., Any]]] = [
    (Path, "write_bytes", full_write),
    (os, "replace", full_disk),
    (tempfile, "mkstemp", full_disk),
    (Path, "mkdir", full_disk),
]


@pytest.mark.parametrize(("where", "name", "fault"), FULL, ids=[name for _, name, _ in FULL])
@pytest.mark.parametrize("form", ["json", "tensors"])
def test_a_full_disk(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    torch: Any,
    where: object,
    name: str,
    fault: Callable[..., Any],
    form: str,
) -> None:
    cache = Cache(tmp_path)
    cache.json("k", {"earlier": 1}, lambda: "kept")
    before = visible(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(where, name, fault)
        with pytest.raises(CacheError, match="no space left on the disk") as caught:
            getattr(cache, form)(
                "new", KEY, lambda: {"x": torch.ones(1000)} if form == "tensors" else list(range(1000))
            )
    assert one_line(str(caught.value))
    assert visible(tmp_path) == before
    assert cache.json("k", {"earlier": 1}, never) == "kept"
    assert cache.json("new", KEY, lambda: 5) == 5


def test_an_entry_that_is_replaced_on_a_full_disk_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path)
    cache.put_json("k", KEY, "old")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full_write)
        with pytest.raises(CacheError, match="no space left"):
            cache.put_json("k", KEY, "new")
    assert cache.json("k", KEY, never) == "old"
    cache.put_json("k", KEY, "new")
    assert cache.json("k", KEY, never) == "new"


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: Any, **__: Any) -> Any:
        raise NotImplementedError("flock")

    monkeypatch.setattr(store.FileLock, "acquire", no_locks)
    with pytest.raises(CacheError, match="has no locks"):
        Cache(tmp_path).json("k", KEY, lambda: 1)
