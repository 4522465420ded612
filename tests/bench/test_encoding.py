"""Dataset × codec → store: kills and resumption, who is encoded, what is said, and the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import latents
from bench.batching import Plan
from bench.cache import Cache
from bench.contract import CodecInfo, Split, Utterance
from bench.encoding import ahead, encode_into, identity_of, read_ahead
from bench.errors import BenchError, DataError, PluginError
from bench.progress import Bar
from bench.store import LatentStore
from bench.store.manifest import Manifest
from tests.conftest import Done
from tests.plugins import Lab

# the killed runs are processes with one thread; what they leave behind names the number of threads
pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
RATE, HOP = 1000, 80
COUNTS: Mapping[Split, int] = {"train": 17, "valid": 3, "test": 5}
PLAN = Plan(window=1.5, batch=1.0)


class Sounds:
    """Noise of .2 to .8 s."""

    name, digest, grammar, speakers_known = "sounds", "d", None, True
    refused: Mapping[str, str] = {}
    converted: Mapping[str, int] = {}

    def __init__(self, counts: Mapping[Split, int] = COUNTS) -> None:
        self.counts = counts

    def utterances(self, split: Split) -> Sequence[Utterance]:
        return [Utterance(f"{split}-{i:02d}", f"s{i % 3}", split, f"text {i}") for i in range(self.counts[split])]

    def audio(self, utterance: Utterance, sample_rate: int) -> np.ndarray:
        rng = np.random.default_rng(list(utterance.id.encode()))
        return rng.uniform(-1, 1, int(rng.integers(200, 800))).astype(np.float32)


class Firsts:
    """Two samples of each frame; may die at its n-th call, or peek at the end of what it is given."""

    def __init__(self, dies_at: int = 0, peeks: bool = False, lookahead: int = 0) -> None:
        self.info = CodecInfo("firsts", RATE, HOP, 2, codebooks=(8, 8, 8), lookahead=lookahead)
        self.dies_at, self.peeks = dies_at, peeks
        self.calls, self.encoded = 0, 0

    def to(self, device: torch.device) -> Firsts:
        return self

    def encode(self, audio: Tensor) -> Tensor:
        self.calls += 1
        self.encoded += len(audio)
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        padded = torch.nn.functional.pad(audio[:, 0], (0, -audio.shape[-1] % HOP))
        x = padded.unflatten(1, (-1, HOP))[..., :2].contiguous()
        return x + audio.mean(-1, keepdim=True) if self.peeks else x

    def decode(self, latents: Tensor) -> Tensor:
        raise AssertionError

    def codes(self, latents: Tensor) -> Tensor:
        return (latents.sum(-1, keepdim=True).abs() * torch.tensor([1.0, 2.0, 3.0])).long().clamp(max=7)

    def from_codes(self, codes: Tensor) -> Tensor:
        raise AssertionError


def run(root: Path, codec: Any = None, dataset: Any = None, codes: bool = False, **more: Any) -> Manifest:
    codec, dataset = codec or Firsts(), dataset or Sounds()
    identity = identity_of(dataset, codec, "", "float32", codes)
    options = {"plan": PLAN, "part_seconds": 2.0, "shard_bytes": 1500, **more}
    return encode_into(root, dataset, codec, identity, CPU, Bar(quiet=True), **options)


def contents(root: Path) -> Mapping[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A store made in one go."""
    made = run(tmp_path / "whole")
    assert made.totals.complete and made.totals.utterances == 25
    # several shards of several parts: otherwise the tests below would say little
    assert len([shard for shard in made.shards if shard.split == "train"]) >= 2
    return tmp_path / "whole"


def test_latents_are_those_of_the_cache(tmp_path: Path, whole: Path) -> None:
    store = LatentStore(whole)
    cached = latents.encode(Sounds(), Firsts(), {}, Cache(tmp_path / "cache"), CPU, lambda *_: None)  # type: ignore[arg-type]
    for split in ("train", "valid", "test"):
        for ours, theirs in zip(store.utterances(split), cached.splits[split], strict=True):
            assert (ours.id, ours.speaker) == (theirs.id, theirs.speaker)
            assert torch.equal(ours.x, theirs.x)
            assert store.row(ours.id).samples == cached.samples[ours.id]


# --- kills -------------------------------------------------------------------------------------------------


def test_stopped_at_any_call_it_resumes_to_the_same_bytes(tmp_path: Path, whole: Path) -> None:
    at, stopped = 0, True
    while stopped:
        at, root = at + 1, tmp_path / f"codec-{at}"
        try:
            run(root, Firsts(dies_at=at))
            stopped = False
        except KeyboardInterrupt:
            again = Firsts()
            kept = LatentStore(root, partial=True).manifest.totals.utterances
            run(root, again)
            # what was stored is not encoded again; one more is encoded to hold a batch against it
            assert 25 - kept <= again.encoded <= 25 - kept + 1
        assert contents(root) == contents(whole), f"codec call {at}"
    assert at > 10


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_stopped_at_any_write_it_resumes_to_the_same_bytes(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real, calls, at, stopped = getattr(os, name), 0, 0, True

    def dying(*given: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        real(*given)

    while stopped:
        at, calls, root = at + 1, 0, tmp_path / f"{name}-{at}"
        monkeypatch.setattr(os, name, dying)
        try:
            run(root)
            stopped = False
        except KeyboardInterrupt:
            monkeypatch.setattr(os, name, real)
            run(root)
        assert contents(root) == contents(whole), f"{name} {at}"
    assert at > 10


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.bench.test_encoding import Firsts, run
name, at = sys.argv[2], int(sys.argv[3])
real, calls = getattr(os, name), 0
def dying(*given):
    global calls
    calls += 1
    if calls == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given)
setattr(os, name, dying)
run(Path(sys.argv[1]))
"""


@pytest.mark.parametrize(("name", "at"), [("replace", 5), ("replace", 8), ("fsync", 13)])
def test_killed_it_resumes_to_the_same_bytes(tmp_path: Path, whole: Path, name: str, at: int) -> None:
    root = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, str(root), name, str(at)]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    left = contents(root)
    assert left != contents(whole)
    assert any(file.endswith((".tmp", ".arrow")) for file in left)
    kept = LatentStore(root, partial=True).manifest.totals.utterances
    assert 0 < kept < 25
    again = Firsts()
    run(root, again)
    assert again.encoded <= 25 - kept + 1
    assert contents(root) == contents(whole)


def test_a_finished_store_is_not_encoded_again(whole: Path) -> None:
    before, again = contents(whole), Firsts()
    run(whole, again)
    assert again.calls == 0
    assert contents(whole) == before


def test_only_a_damaged_shard_is_encoded_again_to_the_same_bytes(whole: Path) -> None:
    before = contents(whole)
    shards = LatentStore(whole).manifest.shards
    worst = next(shard for shard in shards if shard.split == "train" and shard.start > 0)
    (whole / worst.file).write_bytes(b"x" * worst.bytes)
    again = Firsts()
    run(whole, again)
    assert worst.utterances <= again.encoded <= worst.utterances + 1
    assert contents(whole) == before


# --- who is encoded, and what is refused -------------------------------------------------------------------


def test_codes_are_those_of_the_latents(tmp_path: Path) -> None:
    run(tmp_path, codes=True)
    store = LatentStore(tmp_path)
    for utterance in store.utterances("test"):
        assert torch.equal(store.codes(utterance.id), Firsts().codes(utterance.x))


def test_codes_of_a_codec_without_are_refused() -> None:
    codec = Firsts()
    codec.info = CodecInfo("firsts", RATE, HOP, 2)
    with pytest.raises(BenchError, match="codec firsts: --codes: expected a codec with codes"):
        identity_of(Sounds(), codec, "", "float32", True)


def test_a_codec_whose_batches_are_not_what_it_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        PluginError, match="codec 'firsts': latents in a padded batch must be those .* `batches = False`"
    ):
        run(tmp_path / "a", Firsts(peeks=True))
    # one that says that it looks ahead is asked for one utterance at a time
    looking = Firsts(peeks=True, lookahead=1)
    assert run(tmp_path / "b", looking).totals.complete
    assert looking.calls == 25


def test_one_utterance_twice_and_no_utterances_are_refused(tmp_path: Path) -> None:
    class Twice(Sounds):
        def utterances(self, split: Split) -> Sequence[Utterance]:
            return [Utterance(f"u{i % 16}", "s", split) for i in range(self.counts[split])]

    with pytest.raises(PluginError, match="dataset sounds: two utterances are called 'u0'"):
        run(tmp_path / "a", dataset=Twice())
    with pytest.raises(DataError, match="dataset sounds: every split is empty"):
        run(tmp_path / "b", dataset=Sounds(dict.fromkeys(COUNTS, 0)))
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()


def test_a_dataset_that_raises_is_named_and_nothing_stored_is_lost(tmp_path: Path) -> None:
    class Breaking(Sounds):
        def audio(self, utterance: Utterance, sample_rate: int) -> np.ndarray:
            if utterance.id == "test-03":
                raise RuntimeError("gone")
            return super().audio(utterance, sample_rate)

    with pytest.raises(PluginError, match="dataset sounds raised RuntimeError: gone"):
        run(tmp_path, dataset=Breaking())
    assert LatentStore(tmp_path, partial=True).manifest.totals.utterances == 20


# --- reading ahead -----------------------------------------------------------------------------------------


def test_more_readers_give_the_same_bytes(tmp_path: Path, whole: Path) -> None:
    run(tmp_path / "three", readers=3)
    assert contents(tmp_path / "three") == contents(whole)


def test_reading_goes_on_while_the_last_window_is_used() -> None:
    asked = threading.Event()

    def items() -> Any:
        yield 1
        asked.set()
        yield 2

    following = ahead(items())
    assert next(following) == 1
    # without another call of next
    assert asked.wait(10)
    assert list(following) == [2]


def test_readers_work_at_the_same_time_and_keep_the_order() -> None:
    both = threading.Barrier(2)

    def read(u: Utterance) -> str:
        both.wait(10)  # which one alone would never pass
        time.sleep(0.02 if u.id == "0" else 0.0)
        return u.id

    given = (Utterance(str(i), "s", "test") for i in range(4))
    assert list(read_ahead(given, read, 2)) == ["0", "1", "2", "3"]


# --- the command -------------------------------------------------------------------------------------------


def test_the_command_makes_a_store_and_says_so(bench: Callable[..., Done], lab: Lab, tmp_path: Path) -> None:
    out = tmp_path / "store"
    given = ("encode", "--suite", "tiny", "--out", out, "--precision", "float16")
    done = bench(*given)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "tiny × levels: 4 dimensions at 12.5 Hz"
    assert lines[1].startswith(f"  {out}: 0.02 h, ") and lines[1].endswith(" MB of float16")
    assert lines[2].startswith("  train: 24 utterances, 0.8 min, ")
    assert lines[5].startswith("  rounding: at most 0.00048 of a value and ")
    assert done.err.startswith("tiny × levels: encode (")
    assert len(LatentStore(out).utterances("train")) == 24
    assert bench(*given, "--quiet").err == ""
    refused = bench("encode", "--suite", "tiny", "--out", out)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        f"bench: {out}: expected, as it is stored, precision float16, got float32; choose another with --out\n"
    )
    (out / "train-000000000.arrow").write_bytes(b"x")
    looked = bench("latents", "inspect", out)
    assert looked.code == 2
    assert "bench encode --codec levels --dataset tiny --precision float16 --out" in looked.err
    assert bench(*given).code == 0
    assert bench("latents", "inspect", out).code == 0


def test_the_command_refuses_what_makes_no_sense(bench: Callable[..., Done], lab: Lab, tmp_path: Path) -> None:
    for more in (("--precision", "float16"), ("--codes",), ("--readers", 2)):
        done = bench("encode", "--suite", "tiny", *more)
        assert done.code == 2
        assert (
            done.err == "bench: encode: --precision, --codes and --readers are for a store: expected --out FOLDER too\n"
        )
    done = bench("encode", "--suite", "tiny", "--out", tmp_path / "s", "--codes")
    assert done.err == "bench: codec levels: --codes: expected a codec with codes, this one has none\n"


def test_hours_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[tuple[float, float]] = []
    monkeypatch.setattr(Bar, "audio", lambda self, what, hours, total, speed: told.append((hours, total)))
    made = run(tmp_path)
    assert told[-1] == pytest.approx((made.totals.hours, made.totals.hours))
    assert [hours for hours, _ in told] == sorted(hours for hours, _ in told)
    # what is left is a guess from what was read
    assert all(0.5 * made.totals.hours < total < 2 * made.totals.hours for _, total in told)
