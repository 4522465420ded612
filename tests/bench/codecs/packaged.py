"""What the tests of every packaged codec ask, and how."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.codecs.packaged import PackagedCodec
from bench.codecs.torchaudio_import import import_torchaudio
from bench.codecs.weights_of import Source
from bench.conformance import codec as conformance
from bench.conformance.report import passed, terminal
from bench.conformance.rule import applied
from bench.contract import Codec
from bench.errors import DataError

Factory = Callable[..., PackagedCodec]


def sound(codec: PackagedCodec, frames: int, batch: int = 1, seed: int = 0) -> Tensor:
    """Seeded noise, (B, 1, frames · hop)."""
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(batch, 1, frames * codec.info.hop, generator=generator)


def keeps_the_rules(factory: Factory, *tap: str) -> None:
    """Every rule of `bench conformance`."""
    results = applied("it", conformance.RULES, conformance.Subject("it", lambda: factory("random", *tap)))
    assert passed(results), terminal("it", results)


def frames_seen_ahead(codec: PackagedCodec, frames: int, cuts: range) -> int:
    """The largest number of frames between a latent and the audio after it that still moves it, over `cuts`."""
    audio = sound(codec, frames)
    before = codec.encode(audio)
    found = 0
    for cut in cuts:
        other = audio.clone()
        other[..., cut * codec.info.hop :] = 3.0 * sound(codec, frames, seed=1)[..., cut * codec.info.hop :]
        moved = (codec.encode(other) != before).any(-1)[0].nonzero()
        found = max(found, cut - int(moved[0]))
    return found


@contextmanager
def generators_untouched():  # type: ignore[no-untyped-def]
    """The process's generators and thread count are the same after as before."""
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy(), torch.get_num_threads()  # noqa: NPY002
    yield
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate()
    assert np.array_equal(before[2], np.random.get_state()[1])  # noqa: NPY002
    assert before[3] == torch.get_num_threads()


def is_seeded(factory: Factory) -> None:
    """Two builds have the same bytes, whatever the global generator holds, and leave it as it was."""
    torch.manual_seed(7)
    with generators_untouched():
        one = factory("random")
    torch.manual_seed(8)
    other = factory("random")
    state, again = one.model.state_dict(), other.model.state_dict()
    assert state.keys() == again.keys() and all(torch.equal(state[k], again[k]) for k in state)
    assert one.info == other.info and not one.info.trained and len(one.info.weights_digest) == 64


def refuses(factory: Factory, argument: object, *expected: str, tap: str = "") -> None:
    """One line that says all of `expected`."""
    with pytest.raises(DataError) as raised:
        factory(str(argument), tap)
    message = str(raised.value)
    assert "\n" not in message and len(message) < 500
    for text in expected:
        assert text in message


def refuses_damage(factory: Factory, whole: Path, other: Path, name: str) -> None:
    """A missing, a truncated and another model's file are each one line."""
    refuses(factory, whole.parent / "nowhere", f"codec {name}: expected a checkpoint such as", "nowhere")
    cut = whole.with_name(f"cut{whole.suffix}")
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    refuses(factory, cut, f"codec {name}: expected", cut.name, "got")
    refuses(factory, other, f"codec {name}: expected", other.name, "got")


def refuses_what_is_not_pinned(factory: type[PackagedCodec], file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published file, changed by one byte; and none of it, with no network."""
    name = factory.NAME
    monkeypatch.setattr("bench.codecs.weights_of._from_hub", lambda source: file)
    monkeypatch.setattr("bench.codecs.weights_of._from_url", lambda source: file)
    refuses(factory, "", f"codec {name}: ", "has sha256", f"expected {factory.SOURCE.sha256[:8]}")

    def offline(source: Source) -> Path:
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr("bench.codecs.weights_of._from_hub", offline)
    monkeypatch.setattr("bench.codecs.weights_of._from_url", offline)
    refuses(factory, "", Path(factory.SOURCE.file).name, "cannot be fetched", f"{name}:PATH", f"{name}:random")


def same_latents(one: Codec, other: Codec, audio: Tensor) -> None:
    assert torch.equal(one.encode(audio), other.encode(audio))


def transformers() -> object:
    """The package, or a skip."""
    with suppress(ImportError):
        import_torchaudio()  # which it imports where it is installed
    return pytest.importorskip("transformers", reason="transformers is in the dev extra, from Python 3.11 on")
