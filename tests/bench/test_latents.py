"""Dataset × codec → latents: who is taken, what is kept of a run that died, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import latents
from bench.cache import Cache
from bench.contract import CodecInfo, Split, Utterance
from bench.errors import DataError, PluginError
from bench.latents import SHARD, encode, latents_key, round_robin

CPU = torch.device("cpu")
RATE, HOP = 16_000, 1280


class Sounds:
    """Utterance i of n has `seconds[i]` of constant level i + 1."""

    name, refused, converted, grammar, speakers_known = "sounds", {}, {}, None, True  # type: ignore[var-annotated]

    def __init__(self, seconds: Sequence[float] = (1.0,) * 40, speakers: int = 3, digest: str = "d") -> None:
        self.seconds, self.speakers, self.digest = seconds, speakers, digest

    def utterances(self, split: Split) -> list[Utterance]:
        return [Utterance(f"{split}-{i:03d}", f"s{i % self.speakers}", split) for i in range(len(self.seconds))]

    def audio(self, utterance: Utterance, sample_rate: int) -> np.ndarray:
        i = int(utterance.id[-3:])
        return np.full(round(self.seconds[i] * sample_rate), i + 1, np.float32)


class Means:
    """The mean of each hop; dies, if told, at its n-th call."""

    def __init__(self, dies_at: int = 0, **info: Any) -> None:
        self.info = CodecInfo(**{"name": "means", "sample_rate": RATE, "hop": HOP, "dim": 2, **info})
        self.calls, self.dies_at = 0, dies_at

    def to(self, device: torch.device) -> Means:
        return self

    def encode(self, audio: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        frames = -(-audio.shape[-1] // HOP)
        return audio[:, 0, :frames].unsqueeze(-1).expand(-1, -1, 2)

    def decode(self, latents: Tensor) -> Tensor:
        return latents[..., :1].repeat_interleave(HOP, 1).transpose(1, 2)


def run(
    cache: Path, dataset: Any = None, codec: Any = None, minutes: dict[Any, float] | None = None, **more: Any
) -> Any:
    return encode(dataset or Sounds(), codec or Means(), minutes or {}, Cache(cache), CPU, lambda *_: None, **more)


# --- who is taken ------------------------------------------------------------------------------------------


def test_round_robin_is_balanced_at_any_length() -> None:
    counts = {"a": 1, "b": 7, "c": 4}
    given = [Utterance(f"{s}{i}", s, "test") for s, n in counts.items() for i in range(n)]
    order = round_robin(given)
    assert sorted(u.id for u in order) == sorted(u.id for u in given)
    for head in range(1, len(order) + 1):
        taken = {s: sum(u.speaker == s for u in order[:head]) for s in counts}
        for one, other in [(x, y) for x in counts for y in counts]:
            # nobody is two ahead of somebody who has more to say
            assert taken[one] <= taken[other] + 1 or taken[other] == counts[other]
    for speaker in counts:
        assert [u.id for u in order if u.speaker == speaker] == [u.id for u in given if u.speaker == speaker]


def test_without_a_limit_everything_is_taken_in_the_datasets_order(tmp_path: Path) -> None:
    dataset = Sounds([0.5, 1.3, 2.0, 0.08, 0.1])
    made = run(tmp_path, dataset)
    for split in latents.SPLITS:
        assert [u.id for u in made.splits[split]] == [u.id for u in dataset.utterances(split)]
        assert made.minutes[split] == pytest.approx(sum(dataset.seconds) / 60)
        for i, u in enumerate(made.splits[split]):
            samples = round(dataset.seconds[i] * RATE)
            assert made.samples[u.id] == samples
            # the last frame is filled up, never dropped
            assert u.x.shape == (-(-samples // HOP), 2)
            assert torch.equal(u.x, torch.full_like(u.x, i + 1))
            assert u.x.dtype == torch.float32
            assert not u.x.requires_grad


@pytest.mark.parametrize("limit", [1.0, 3.5, 10.0, 39.9, 40.0, 41.0])
def test_at_most_the_limit_is_taken(tmp_path: Path, limit: float) -> None:
    # 40 utterances of a second: the whole seconds that fit, one of each speaker in turn
    made = run(tmp_path, minutes={"test": limit / 60})
    assert len(made.splits["test"]) == int(limit) if limit < 40 else 40
    assert made.minutes["test"] <= limit / 60 + 1e-9
    by_speaker = [sum(u.speaker == f"s{i}" for u in made.splits["test"]) for i in range(3)]
    assert max(by_speaker) - min(by_speaker) <= 1
    assert len(made.splits["train"]) == 40


def test_what_is_taken_ends_before_the_first_that_does_not_fit(tmp_path: Path) -> None:
    made = run(tmp_path, Sounds([1.0, 2.0, 9.0, 1.0, 1.0]), minutes={"test": 6 / 60})
    assert [u.id for u in made.splits["test"]] == ["test-000", "test-001"]


def test_no_more_is_encoded_than_the_limit_needs(tmp_path: Path) -> None:
    codec = Means()
    run(tmp_path, codec=codec, minutes=dict.fromkeys(latents.SPLITS, 2 / 60))
    assert codec.calls == 3 * SHARD


def test_a_limit_that_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^dataset sounds: 0\.01 minutes of valid hold no whole utterance$"):
        run(tmp_path, minutes={"valid": 0.01})


def test_an_empty_split(tmp_path: Path) -> None:
    class NoValid(Sounds):
        def utterances(self, split: Split) -> list[Utterance]:
            return [] if split == "valid" else super().utterances(split)

    with pytest.raises(DataError, match="^dataset sounds: the valid split is empty$"):
        run(tmp_path, NoValid())


def test_progress_reaches_its_end(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    encode(Sounds(), Means(), {"test": 1 / 60}, Cache(tmp_path), CPU, lambda *a: seen.append(a))
    assert seen[-1] == ("encode", 120, 120)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


# --- the cache ---------------------------------------------------------------------------------------------


def equal(a: Any, b: Any) -> bool:
    return a.key == b.key and all(
        [u.id for u in a.splits[s]] == [u.id for u in b.splits[s]]
        and all(torch.equal(u.x, v.x) for u, v in zip(a.splits[s], b.splits[s], strict=True))
        for s in latents.SPLITS
    )


def test_a_second_run_encodes_nothing(tmp_path: Path) -> None:
    first = run(tmp_path)
    again = Means()
    assert equal(run(tmp_path, codec=again), first)
    assert again.calls == 0


def test_a_run_that_dies_in_its_second_shard_goes_on_there(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    dying = Means(dies_at=SHARD + 3)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "died", codec=dying)
    rest = Means()
    assert equal(run(tmp_path / "died", codec=rest), whole)
    assert rest.calls == 120 - SHARD


def test_a_damaged_shard_alone_is_encoded_again(tmp_path: Path) -> None:
    whole = run(tmp_path)
    shard = sorted(tmp_path.rglob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:100])
    rest = Means()
    assert equal(run(tmp_path, codec=rest), whole)
    assert rest.calls in (SHARD, 40 % SHARD)


def test_another_limit_uses_the_same_shards_under_another_key(tmp_path: Path) -> None:
    whole = run(tmp_path)
    rest = Means()
    less = run(tmp_path, codec=rest, minutes={"test": 5 / 60})
    assert rest.calls == 0
    assert less.key != whole.key


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": Sounds(digest="other")},
        {"codec": Means(weights_digest="other")},
        {"codec": Means(name="other")},
        {"codec": Means(lookahead=1)},
        {"argument": "8"},
    ],
    ids=["dataset", "weights", "codec", "lookahead", "argument"],
)
def test_what_decides_the_latents_misses(tmp_path: Path, change: dict[str, Any]) -> None:
    before = run(tmp_path)
    codec = change.setdefault("codec", Means())
    codec.calls = 0
    assert run(tmp_path, **change).key != before.key
    assert codec.calls == 120


def test_the_key_names_code_and_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    base = latents_key(Sounds(), Means(), "", {}, CPU)
    assert base == latents_key(Sounds(), Means(), "", {}, CPU)
    assert base["arithmetic"]["packages"]["torch"] == torch.__version__
    keys = [base, latents_key(Sounds(), Means(), "", {"test": 1.0}, CPU)]
    patches: list[tuple[Any, str, Callable[..., Any]]] = [
        (torch, "get_num_threads", lambda: 97),
        (latents, "code_key", lambda module: {"source": "other"}),
        (latents, "source_digest", lambda module: "other"),
        (torch.backends.cpu, "get_cpu_capability", lambda: "abacus"),
    ]
    for where, name, value in patches:
        with monkeypatch.context() as patched:
            patched.setattr(where, name, value)
            keys.append(latents_key(Sounds(), Means(), "", {}, CPU))
    assert len({str(key) for key in keys}) == len(keys)


# --- what is refused ---------------------------------------------------------------------------------------


def returning(result: Callable[[Tensor], Any]) -> Any:
    return type("Wrong", (Means,), {"encode": lambda self, audio: result(audio)})()


def nan_once(audio: Tensor) -> Tensor:
    x = torch.zeros(1, 13, 2)
    x[0, 5, 1] = torch.nan
    return x


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (lambda a: torch.zeros(1, 12, 2), r"latents of 16000 samples must be \(1, 13, 2\), got \(1, 12, 2\)"),
        (lambda a: torch.zeros(1, 2, 13), r"must be \(1, 13, 2\), got \(1, 2, 13\)"),
        (lambda a: torch.zeros(13, 2), r"must be \(1, 13, 2\), got \(13, 2\)"),
        (lambda a: np.zeros((1, 13, 2)), r"must be \(1, 13, 2\), got ndarray"),
        (lambda a: None, "got NoneType"),
        (nan_once, "latents of train-000 are not finite"),
        (lambda a: a / 0, "got"),
        (lambda a: [][1], r"raised IndexError: list index out of range \(test_latents\.py:\d+\)"),
    ],
)
def test_a_codec_that_breaks_its_contract(tmp_path: Path, result: Callable[[Tensor], Any], expected: str) -> None:
    with pytest.raises(PluginError, match=rf"^codec 'means'.* ?{expected}") as caught:
        run(tmp_path, codec=returning(result))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.zeros((1, 16000), np.float32), r"must be an array \(N,\), got \(1, 16000\)"),
        (np.zeros(0, np.float32), r"must be an array \(N,\), got \(0,\)"),
        ([0.0] * 16000, r"must be an array \(N,\), got list"),
        (np.full(16000, np.nan, np.float32), "is not finite"),
    ],
)
def test_a_dataset_that_breaks_its_contract(tmp_path: Path, samples: Any, expected: str) -> None:
    dataset = type("Wrong", (Sounds,), {"audio": lambda self, u, rate: samples})()
    with pytest.raises(PluginError, match=f"^dataset sounds: audio of train-000 {expected}"):
        run(tmp_path, dataset)


def test_other_types_of_samples_are_converted(tmp_path: Path) -> None:
    read_only = np.full(16000, 0.5, np.float64)
    read_only.flags.writeable = False
    dataset = type("Double", (Sounds,), {"audio": lambda self, u, rate: read_only})()
    made = run(tmp_path, dataset)
    assert torch.equal(made.splits["test"][0].x, torch.full((13, 2), 0.5))


def test_a_dataset_that_raises(tmp_path: Path) -> None:
    def fail(self: Any, *_: Any) -> Any:
        raise OSError("gone")

    for method in ("audio", "utterances"):
        with pytest.raises(PluginError, match=r"^dataset sounds raised OSError: gone"):
            run(tmp_path, type("Wrong", (Sounds,), {method: fail})())


def test_two_utterances_of_one_name(tmp_path: Path) -> None:
    class Twice(Sounds):
        def utterances(self, split: Split) -> list[Utterance]:
            return super().utterances("test")

    with pytest.raises(PluginError, match="two utterances are called 'test-000'"):
        run(tmp_path, Twice())
