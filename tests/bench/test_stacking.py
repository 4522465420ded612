"""Stacked frames: nothing lost, rates and look-ahead converted, codes stage by stage, and the spec that asks for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bench import latents, registry
from bench.conformance import codec as rules
from bench.conformance.report import kinds_of, passed, terminal
from bench.contract import Codec, CodecInfo, HasCodes
from bench.errors import BenchError
from bench.metrics.code_rate import raw_rate
from bench.stacking import Stacked, stacked
from tests.plugins import Lab

HOP, STAGES = 40, 3


class Toy:
    """Latent t is the first two samples of the last frame it has seen, in steps of 2^-6; a bit of them a stage."""

    def __init__(self, lookahead: int = 0) -> None:
        self.info = CodecInfo("toy", 8000, HOP, 2, lookahead=lookahead, weights_digest="w", trained=False)

    def to(self, device: torch.device) -> Toy:
        return self

    def encode(self, audio: Tensor) -> Tensor:
        ahead = self.info.lookahead
        filled = torch.nn.functional.pad(audio[:, 0], (0, -audio.shape[-1] % HOP + ahead * HOP))
        return filled.unflatten(1, (-1, HOP))[:, ahead:, :2].contiguous()

    def decode(self, latents: Tensor) -> Tensor:
        return torch.nn.functional.pad(latents, (0, HOP - 2)).flatten(1)[:, None].clamp(-1, 1)


class ToyCodes(Toy):
    """Codes of a stage are the signs of what is left of the first dimension."""

    def __init__(self, lookahead: int = 0) -> None:
        super().__init__(lookahead)
        self.info = replace(self.info, codebooks=(2, 4, 8))

    def codes(self, latents: Tensor) -> Tensor:
        left, out = latents[..., 0].clone(), []
        for q in range(STAGES):
            out.append((left >= 0).long())
            left = left - (2.0 * out[-1] - 1) * 0.5 ** (q + 1)
        return torch.stack(out, -1)

    def from_codes(self, codes: Tensor) -> Tensor:
        steps = 0.5 ** torch.arange(1, codes.shape[-1] + 1)
        first = ((2.0 * codes - 1) * steps).sum(-1)
        return torch.stack([first, torch.zeros_like(first)], -1)


def audio(samples: int, batch: int = 2) -> Tensor:
    return torch.rand(batch, 1, samples, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("samples", [1, HOP, 4 * HOP - 1, 4 * HOP, 4 * HOP + 1, 11 * HOP + 7])
def test_stacked_latents_are_the_codecs_own_and_then_silence(samples: int) -> None:
    plain, four = Toy(), stacked(Toy(), 4)
    x, own = four.encode(audio(samples)), plain.encode(audio(samples))
    frames = -(-samples // (4 * HOP))
    assert x.shape == (2, frames, 8)
    back = four.unstack(x)
    assert torch.equal(back[:, : own.shape[1]], own)
    assert not back[:, own.shape[1] :].any() and back.shape[1] - own.shape[1] < 4
    assert torch.equal(four.stack(back), x)


def test_the_earliest_frame_comes_first() -> None:
    x = torch.arange(12.0).reshape(1, 6, 2)
    assert stacked(Toy(), 3).stack(x).tolist() == [[[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]]


def test_decoding_is_the_codecs_own() -> None:
    x = Toy().encode(audio(12 * HOP))
    four = stacked(Toy(), 4)
    assert torch.equal(four.decode(four.stack(x)), Toy().decode(x))


def test_rates_dimensions_and_name() -> None:
    plain, info = ToyCodes().info, stacked(ToyCodes(), 4).info
    assert (info.name, info.hop, info.dim, info.sample_rate) == ("toy+stack4", 160, 8, 8000)
    assert info.frame_rate == plain.frame_rate / 4
    assert (info.weights_digest, info.trained) == ("w", False)
    assert info.codebooks == (2,) * 4 + (4,) * 4 + (8,) * 4
    assert raw_rate(info.codebooks, info.frame_rate) == raw_rate(plain.codebooks, plain.frame_rate)


@pytest.mark.parametrize(("lookahead", "expected"), [(0, 0), (1, 1), (3, 1), (4, 1), (5, 2)])
def test_the_lookahead_stated_is_the_one_there_is(lookahead: int, expected: int) -> None:
    codec = stacked(Toy(lookahead), 4)
    assert codec.info.lookahead == expected
    one = audio(20 * 4 * HOP, 1)
    x, t = codec.encode(one), 9
    reached = set()
    for later in range(5):
        other, at = one.clone(), (t + later) * 4 * HOP
        other[..., at : at + 4 * HOP] += 0.5
        if not torch.equal(codec.encode(other)[:, t], x[:, t]):
            reached.add(later)
    assert max(reached) == expected


def test_codes_are_stacked_stage_by_stage() -> None:
    plain, two = ToyCodes(), stacked(ToyCodes(), 2)
    assert isinstance(two, HasCodes)
    x = plain.encode(audio(8 * HOP))
    own, codes = plain.codes(x), two.codes(two.stack(x))
    assert codes.shape == (2, 4, 2 * STAGES)
    for q in range(STAGES):
        assert torch.equal(codes[..., 2 * q], own[:, ::2, q]) and torch.equal(codes[..., 2 * q + 1], own[:, 1::2, q])
    assert bool((codes < torch.tensor(two.info.codebooks)).all())


@pytest.mark.parametrize("given", range(1, 2 * STAGES + 1))
def test_the_first_codes_are_the_first_stages(given: int) -> None:
    plain, two = ToyCodes(), stacked(ToyCodes(), 2)
    assert isinstance(two, HasCodes)
    x = plain.encode(audio(8 * HOP))
    own = plain.codes(x)
    codes = two.codes(two.stack(x))
    kept = codes.clone()
    back = two.unstack(two.from_codes(codes[..., :given]))
    assert torch.equal(codes, kept)
    for start in (0, 1):
        stages = (given + 1 - start) // 2
        expected = plain.from_codes(own[:, start::2, :stages]) if stages else torch.zeros(2, 4, 2)
        assert torch.equal(back[:, start::2], expected)


def test_a_codec_without_codes_gets_none() -> None:
    assert not isinstance(stacked(Toy(), 2), HasCodes)
    assert isinstance(stacked(Toy(), 2), Codec)


def test_stacks_of_stacks_are_stacks() -> None:
    inner, outer = stacked(stacked(Toy(), 2), 3), stacked(Toy(), 6)
    assert torch.equal(inner.encode(audio(1000)), outer.encode(audio(1000)))
    assert (inner.info.name, inner.info.hop) == ("toy+stack2+stack3", outer.info.hop)


@pytest.mark.parametrize("factor", [1, 0, -2])
def test_fewer_than_two_frames_are_refused(factor: int) -> None:
    with pytest.raises(BenchError, match=f"codec toy: to stack takes at least 2 frames, got {factor}"):
        stacked(Toy(), factor)


# --- the command line --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("a", ("a", "", 1, "")),
        ("a:", ("a", "", 1, "")),
        ("a:/x@y+stack9:z", ("a", "", 1, "/x@y+stack9:z")),
        ("a@30", ("a", "30", 1, "")),
        ("a@t.1-x:/p q", ("a", "t.1-x", 1, "/p q")),
        ("a+stack4", ("a", "", 4, "")),
        ("a@30+stack12:/p", ("a", "30", 12, "/p")),
        ("a:one\ntwo", ("a", "", 1, "one\ntwo")),
    ],
)
def test_what_a_spec_says(spec: str, expected: tuple[str, str, int, str]) -> None:
    assert registry.codec_spec(spec) == expected


@pytest.mark.parametrize(
    "spec",
    [
        "a@",
        "a@:x",
        "a+",
        "a+stack",
        "a+stack1",
        "a+stack04",
        "a+stackx",
        "a+4",
        "a+stack2@t",
        "a@x@y",
        "a+stack2+stack2",
    ],
)
def test_a_spec_of_another_form_is_refused_in_one_line(spec: str) -> None:
    with pytest.raises(BenchError, match=r"codec: expected NAME\[@TAP\]\[\+stackF\]\[:ARGUMENT\].*, got '") as e:
        registry.build("codecs", spec)
    assert "\n" not in str(e.value)


def test_a_codec_is_built_stacked_and_keeps_the_rules(lab: Lab) -> None:
    codec = registry.build("codecs", "levels+stack3")
    assert isinstance(codec, Stacked) and codec.info.name == "levels+stack3" and codec.info.dim == 12
    results = rules.check("levels+stack3")
    assert passed(results), terminal("levels+stack3", results)


def test_the_tap_goes_to_the_codecs_that_take_one(lab: Lab) -> None:
    with pytest.raises(BenchError, match="codec 'levels' has no taps, got '30'"):
        registry.build("codecs", "levels@30")
    lab.change("codec.py", 'def __init__(self, argument=""):', 'def __init__(self, argument="", tap="usual"):')
    lab.change("codec.py", '"levels", 16000', 'f"levels@{tap}:{argument}", 16000')
    assert registry.build("codecs", "levels@30:x").info.name == "levels@30:x"
    assert registry.build("codecs", "levels+stack2").info.name == "levels@usual:+stack2"


def test_names_with_a_tap_or_a_stack_are_codecs(lab: Lab) -> None:
    for name in ("levels", "levels@30", "levels+stack2", "levels@30+stack2:x"):
        assert kinds_of(name) == ["codecs"]
    assert kinds_of("tiny@30") == []


def test_a_change_of_the_wrapped_code_is_a_change_of_the_latents(lab: Lab) -> None:
    def key() -> object:
        codec, data = registry.build("codecs", "levels+stack2"), registry.build("datasets", "tiny")
        return latents.latents_key(data, codec, "", {}, torch.device("cpu"))["codec"]

    first = key()
    assert key() == first
    lab.change("codec.py", "1e-8", "1e-7")
    assert key() != first
