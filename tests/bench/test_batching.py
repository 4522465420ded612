"""Batches of like lengths: what each utterance gets is what it gets alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bench import registry
from bench.batching import TOLERANCE, by_length, can_batch, encode_batched
from bench.contract import CodecInfo
from bench.errors import PluginError
from bench.stacking import stacked

CPU = torch.device("cpu")
MEASURED = 1e-5
"""Of the largest value, on synthspeech. Seen: 0 (minicodec, melpca; mdct is encoded alone), 8.3e-7 (encodec24 with
random weights), 1.9e-6 (mimi with random weights)."""


class Counted:
    """Latents are frames' first samples; remembers how many utterances each call had."""

    def __init__(self, **info: Any) -> None:
        self.info = CodecInfo(**{"name": "counted", "sample_rate": 100, "hop": 10, "dim": 1, **info})
        self.calls: list[tuple[int, int]] = []

    def to(self, device: torch.device) -> Counted:
        return self

    def encode(self, audio: Tensor) -> Tensor:
        self.calls.append((len(audio), audio.shape[-1]))
        return torch.nn.functional.pad(audio[:, 0], (0, -audio.shape[-1] % 10))[:, ::10, None]

    def decode(self, latents: Tensor) -> Tensor:
        raise AssertionError


def sounds(*lengths: int) -> list[Tensor]:
    return [torch.arange(1.0, n + 1) for n in lengths]


def test_groups_hold_everybody_once_and_no_more_than_asked_for() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 300, (200,), generator=generator).tolist()
    groups = by_length(lengths, 1000)
    assert sorted(i for group in groups for i in group) == list(range(200))
    assert all(len(group) * max(lengths[i] for i in group) <= 1000 for group in groups)
    padded = sum(len(group) * max(lengths[i] for i in group) for group in groups)
    # sorted by length, padding is a few per cent; in the order given it would be a third
    assert padded < 1.05 * sum(lengths)
    assert len(groups) < 50


def test_order_and_lengths_are_kept() -> None:
    codec, audio = Counted(), sounds(25, 7, 31, 30)
    got = encode_batched(codec, audio, 100, CPU)
    assert codec.calls == [(3, 30), (1, 31)]
    assert [x[:, 0].tolist() for x in got] == [[1, 11, 21], [1], [1, 11, 21, 31], [1, 11, 21]]
    # nothing of a batch is kept alive by one of its utterances
    assert all(x.untyped_storage().nbytes() == 4 * x.numel() for x in got)


def test_who_looks_ahead_or_says_so_is_encoded_alone() -> None:
    looking, refusing = Counted(lookahead=1), Counted()
    refusing.batches = False  # type: ignore[attr-defined]
    for codec in (looking, refusing):
        assert not can_batch(codec)
        assert not can_batch(stacked(codec, 2))
        encode_batched(codec, sounds(20, 20), 100, CPU)
        assert codec.calls == [(1, 20), (1, 20)]
    assert can_batch(Counted()) and can_batch(stacked(Counted(), 2))


@pytest.mark.parametrize("name", ["minicodec", "melpca", "melpca@400", "mdct", "minicodec+stack2"])
def test_a_batch_gives_what_each_gets_alone_on_real_codecs(one_thread: None, name: str) -> None:
    codec, dataset = registry.build("codecs", name), registry.build("datasets", "synthspeech")
    chosen = dataset.utterances("test")[:12]
    audio = [torch.from_numpy(dataset.audio(u, codec.info.sample_rate)) for u in chosen]
    audio = [samples[: len(samples) // (1 + i % 3)] for i, samples in enumerate(audio)]
    together = encode_batched(codec, audio, 60 * codec.info.sample_rate, CPU)
    away = 0.0
    for samples, x in zip(audio, together, strict=True):
        alone = codec.encode(samples[None, None])[0]
        assert x.shape == alone.shape
        away = max(away, float((x - alone).abs().max() / alone.abs().max()))
    print(f"{name}: {away:.2g} of the largest value")
    assert away <= (0.0 if name == "mdct" else MEASURED) < TOLERANCE


class Wrong(Counted):
    def encode(self, audio: Tensor) -> Tensor:
        x = super().encode(audio)
        return x[:, :-1] if self.info.name == "short" else x / 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [("short", r"latents of 25 samples must be \(1, 3, 1\), got \(1, 2, 1\)"), ("infinite", "not finite")],
)
def test_a_codec_that_breaks_its_word_is_named(name: str, expected: str) -> None:
    with pytest.raises(PluginError, match=f"codec '{name}': .*{expected}"):
        encode_batched(Wrong(name=name), sounds(25), 100, CPU)
