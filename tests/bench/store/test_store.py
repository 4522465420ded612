"""A store written row by row and read back: by this package, by pyarrow and by datasets; and what is refused."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from bench.contract import Split, Utterance
from bench.errors import BenchError, CacheError, StoreError
from bench.store import LatentStore, Stored, StoreWriter
from bench.store.arrow import Row
from bench.store.manifest import Identity
from tests import needs

DIM, BOOKS = 3, (1024, 16)
INFO = {"name": "toy", "sample_rate": 1000, "hop": 80, "dim": DIM, "codebooks": list(BOOKS), "weights_digest": "w"}
COUNTS: dict[Split, int] = {"train": 5, "valid": 0, "test": 2}
MADE_BY = "bench encode --codec toy --dataset noise --out"


def identity(**changes: Any) -> Identity:
    stated = {"info": INFO, "argument": "", "code": "c", "dataset": "noise", "data": "d", "codes": False}
    return Identity(**{**stated, "precision": "float32", **changes})


def row(split: Split, i: int, codes: bool = False, scale: float = 1.0) -> Row:
    generator = torch.Generator().manual_seed(100 * len(split) + i)
    frames = 4 + i
    made = Utterance(f"{split}-{i}", f"s{i % 2}", split, None if i == 1 else f"text {i}")
    books = torch.randint(16, (frames, 2), generator=generator) if codes else None
    return Row(made, 80 * frames - 7, scale * torch.randn(frames, DIM, generator=generator), books)


def filled(root: Path, one: Identity | None = None, shard_bytes: int = 1 << 20, **more: Any) -> StoreWriter:
    """All rows of COUNTS, two a part."""
    one = one or identity()
    with StoreWriter(root, one, COUNTS, {"device": "cpu"}, MADE_BY, shard_bytes=shard_bytes) as writer:
        for split in COUNTS:
            for start, stop in writer.missing(split):
                for i in range(start, stop, 2):
                    writer.add(split, i, [row(split, j, one.codes, **more) for j in range(i, min(i + 2, stop))])
            writer.settle()
        assert [writer.missing(split) for split in COUNTS] == [[], [], []]
    return writer


def contents(root: Path) -> Mapping[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


# --- reading -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shard_bytes", [1, 1 << 20])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_what_was_stored_comes_back(tmp_path: Path, precision: str, shard_bytes: int) -> None:
    filled(tmp_path, identity(precision=precision, codes=True), shard_bytes)
    store = LatentStore(tmp_path)
    assert store.splits == ("train", "test")
    dtype = torch.float16 if precision == "float16" else torch.float32
    for split in store.splits:
        utterances = store.utterances(split)
        assert [u.id for u in utterances] == [f"{split}-{i}" for i in range(COUNTS[split])]
        for i, utterance in enumerate(utterances):
            expected = row(split, i, codes=True)
            assert torch.equal(store.latents(utterance.id), expected.x.to(dtype))
            assert utterance.x.dtype == torch.float32
            assert torch.equal(utterance.x, expected.x.to(dtype).float())
            assert expected.codes is not None and torch.equal(store.codes(utterance.id), expected.codes)
            u = expected.utterance
            assert store.row(u.id) == Stored(u.id, u.speaker, split, u.text, expected.samples, len(expected.x))
            assert utterance.speaker == u.speaker
    assert len(list(tmp_path.glob("train-*.arrow"))) == (3 if shard_bytes == 1 else 1)


def test_it_is_a_sequence(tmp_path: Path) -> None:
    filled(tmp_path, shard_bytes=1)
    train = LatentStore(tmp_path).utterances("train")
    assert len(train) == 5
    assert train[-1].id == "train-4"
    assert [u.id for u in train[1:4]] == ["train-1", "train-2", "train-3"]
    with pytest.raises(IndexError, match="below 5, got 5"):
        train[5]
    assert len(LatentStore(tmp_path).utterances("valid")) == 0


def test_latents_are_the_files_own_memory_and_writing_to_them_changes_no_file(tmp_path: Path) -> None:
    filled(tmp_path)
    before, store = contents(tmp_path), LatentStore(tmp_path)
    x = store.latents("train-2")
    x.zero_()
    # the second look is at the same memory, so nothing was copied
    assert store.latents("train-2").data_ptr() == x.data_ptr()
    assert torch.equal(store.utterances("train")[2].x, torch.zeros_like(x))
    mapped = Path("/proc/self/maps")
    if mapped.exists():
        assert str(tmp_path / "train-000000000.arrow") in mapped.read_text()
    assert contents(tmp_path) == before
    assert torch.equal(LatentStore(tmp_path).latents("train-2"), row("train", 2).x)


def test_nothing_is_opened_before_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, shard_bytes=1)
    opened = []
    memmap = np.memmap
    monkeypatch.setattr(np, "memmap", lambda path, mode: opened.append(path.name) or memmap(path, mode=mode))
    train = LatentStore(tmp_path).utterances("train")
    assert opened == []
    assert train[3].id == "train-3"
    assert opened == ["train-000000002.arrow"]


def test_one_pass_needs_one_shard_and_checks_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, identity(precision="float16"), shard_bytes=1)
    checked, sha256 = [], hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", lambda data: checked.append(len(data)) or sha256(data))
    train = LatentStore(tmp_path).utterances("train")
    maps = Path("/proc/self/maps")
    for _ in range(2):
        for i, utterance in enumerate(train):
            assert torch.equal(utterance.x, row("train", i).x.half().float())
            if maps.exists():
                assert maps.read_text().count(str(tmp_path)) == 1
    assert len(checked) == 3
    if maps.exists():
        assert maps.read_text().count(str(tmp_path)) == 0


def test_pyarrow_alone_reads_it(tmp_path: Path) -> None:
    filled(tmp_path, identity(codes=True, precision="float16"))
    with pa.memory_map(str(tmp_path / "train-000000000.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table.column_names == ["id", "speaker", "split", "text", "samples", "frames", "latents", "codes"]
    assert table["text"].to_pylist() == ["text 0", None, "text 2", "text 3", "text 4"]
    assert str(table.schema.field("latents").type) == "list<item: fixed_size_list<item: halffloat>[3]>"
    expected = row("train", 3, codes=True)
    assert expected.codes is not None
    assert table["codes"][3].as_py() == expected.codes.tolist()
    assert np.array_equal(np.array(table["latents"][3].as_py()), expected.x.half().numpy())


def test_datasets_reads_it(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason=needs.DATASETS)
    filled(tmp_path / "store", shard_bytes=1)
    files = {split: str(tmp_path / "store" / f"{split}-*.arrow") for split in ("train", "test")}
    datasets.disable_progress_bars()
    made = datasets.load_dataset("arrow", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert {split: len(made[split]) for split in made} == {"train": 5, "test": 2}
    assert made["train"]["id"][:] == [f"train-{i}" for i in range(5)]
    for i in range(5):
        assert torch.equal(torch.tensor(made["train"][i]["latents"]), row("train", i).x)


def test_the_manifest_counts(tmp_path: Path) -> None:
    filled(tmp_path, shard_bytes=1)
    made = json.loads((tmp_path / "manifest.json").read_text())
    rows = [row(split, i) for split, count in COUNTS.items() for i in range(count)]
    assert made["totals"]["frames"] == sum(len(one.x) for one in rows)
    assert made["totals"]["utterances"] == 7 and made["totals"]["complete"] is True
    assert made["totals"]["hours"] == pytest.approx(sum(one.samples for one in rows) / 1000 / 3600, rel=1e-12)
    assert [s["file"] for s in made["shards"]] == [
        "test-000000000.arrow",
        *(f"train-{i:09d}.arrow" for i in (0, 2, 4)),
    ]


# --- precision ---------------------------------------------------------------------------------------------


def stored(tmp_path: Path, x: Tensor, precision: str) -> LatentStore:
    made = Row(Utterance("u", "s", "train"), 80 * len(x), x)
    with StoreWriter(tmp_path, identity(precision=precision), {"train": 1, "valid": 0, "test": 0}, {}) as writer:
        writer.add("train", 0, [made])
        writer.settle()
    return LatentStore(tmp_path)


def test_float16_says_what_it_lost(tmp_path: Path) -> None:
    # exact, half a step of 2⁻¹⁰ above 1, below the normal numbers
    x = torch.tensor([[1.0, 1.0 + 2**-11, 3e-6]])
    store = stored(tmp_path, x, "float16")
    said = store.manifest.totals.rounding
    assert said.largest_relative == pytest.approx(2**-11 / (1 + 2**-11), rel=1e-6)
    assert said.largest_absolute == pytest.approx(2**-11, rel=1e-6)
    assert said.below_normal == 1
    kept = store.latents("u").double()
    assert float((kept - x).abs().max()) == pytest.approx(said.largest_absolute, rel=1e-6)


def test_float32_loses_nothing(tmp_path: Path) -> None:
    x = torch.tensor([[1e30, 1.0 + 2**-23, 1e-40]])
    store = stored(tmp_path, x, "float32")
    assert torch.equal(store.latents("u"), x)
    assert store.manifest.totals.rounding.largest_absolute == 0.0


def test_a_value_beyond_float16_is_refused(tmp_path: Path) -> None:
    x = torch.tensor([[0.0, -70000.0, 0.0]])
    with pytest.raises(StoreError, match="latents of u reach 7e\\+04, float16 ends at 65504: say --precision float32"):
        stored(tmp_path, x, "float16")
    assert stored(tmp_path / "other", x, "float32").latents("u")[0, 1] == -70000.0


# --- what does not belong, and what is damaged -------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"info": {**INFO, "name": "other"}}, "codec toy, got other"),
        ({"info": {**INFO, "weights_digest": "w2"}}, "codec's weights_digest w, got w2"),
        ({"code": "c2"}, "codec's code c, got c2"),
        ({"argument": "x"}, "codec's argument , got x"),
        ({"dataset": "speech"}, "dataset noise, got speech"),
        ({"data": "d2"}, "dataset's digest d, got d2"),
        ({"precision": "float16"}, "precision float32, got float16"),
        ({"codes": True}, "codes False, got True"),
    ],
)
def test_other_latents_are_refused_and_nothing_is_touched(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    filled(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(StoreError, match=f"expected, as it is stored, {expected}; choose another with --out"):
        filled(tmp_path, identity(**changes))
    assert contents(tmp_path) == before


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match=r"expected an empty folder or a latent store, got thesis\.tex"):
        filled(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "x"


def test_two_writers_at_once_are_refused(tmp_path: Path) -> None:
    with (
        StoreWriter(tmp_path, identity(), COUNTS, {}),
        pytest.raises(StoreError, match="another run writes into this store"),
        StoreWriter(tmp_path, identity(), COUNTS, {}),
    ):
        pass


def tampered(path: Path) -> None:
    data = bytearray(path.read_bytes())
    # a bit of the latents, which Arrow itself would not notice
    where = data.find(np.ascontiguousarray(row("train", 2).x.numpy()).tobytes())
    assert where > 0
    data[where + 5] ^= 1
    path.write_bytes(bytes(data))


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("harm", "expected"),
    [(tampered, "damaged: expected sha256"), (truncated, "truncated: expected"), (Path.unlink, "No such file")],
)
def test_a_damaged_shard_is_named_and_mended(
    tmp_path: Path, harm: Callable[[Path], None], expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path, shard_bytes=1)
    before = contents(tmp_path)
    harm(tmp_path / "train-000000002.arrow")
    with pytest.raises(StoreError) as refused:
        list(LatentStore(tmp_path).utterances("train"))
    assert f"train-000000002.arrow: {expected}" in str(refused.value)
    assert str(refused.value).endswith(f"`{MADE_BY} {tmp_path}` mends it")
    filled(tmp_path, shard_bytes=1)
    assert "train-000000002.arrow is" in caplog.text
    assert contents(tmp_path) == before


def test_a_store_that_is_not_finished_is_refused_unless_asked_for(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, identity(), COUNTS, {}, MADE_BY) as writer:
        writer.add("train", 0, [row("train", 0), row("train", 1)])
    with pytest.raises(StoreError, match=f"got 2 of 7 utterances; `{MADE_BY} {tmp_path}` goes on"):
        LatentStore(tmp_path)
    assert [u.id for u in LatentStore(tmp_path, partial=True).utterances("train")] == ["train-0", "train-1"]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"expected a latent store, got no manifest\.json"):
        LatentStore(tmp_path)
    filled(tmp_path)
    store = LatentStore(tmp_path)
    with pytest.raises(StoreError, match="no utterance 'nobody'"):
        store.latents("nobody")
    with pytest.raises(StoreError, match="has no codes"):
        store.codes("train-0")
    for text, expected in (("{", "damaged: file: Invalid JSON"), ("{}", "damaged: identity: Field required")):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(StoreError, match=expected):
            LatentStore(tmp_path)


def test_a_missing_pyarrow_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(BenchError, match=r"needs pyarrow: pip install 'latentbench\[data\]'"):
        filled(tmp_path)


# --- a full disk -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fsync", "replace", "mkstemp"])
def test_a_full_disk_at_any_moment_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    filled(tmp_path / "whole", shard_bytes=300)
    owner: Any = tempfile if name == "mkstemp" else os
    real, calls = getattr(owner, name), 0

    def full(*given: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*given, **more)

    monkeypatch.setattr(owner, name, full)
    at, stopped, said = 0, True, set()
    while stopped:
        at, calls, root = at + 1, 0, tmp_path / str(at)
        try:
            filled(root, shard_bytes=300)
            stopped = False
        except CacheError as error:
            said.add(str(error).partition(" of ")[0])
            assert not list(root.rglob("*.tmp"))
            at, again = 0, at
            filled(root, shard_bytes=300)  # space was made
            at = again
        assert contents(root) == contents(tmp_path / "whole"), f"call {at}"
    assert at > 8
    assert "no space left on the disk" in said
