"""What every codec must keep, on three seconds of seeded noise, tones and silence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench import registry
from bench.conformance.rule import (
    Broken,
    Guard,
    NotApplicable,
    Result,
    applied,
    globals_left_alone,
    inputs_left_alone,
    near,
    rng,
    same,
)
from bench.contract import Codec, HasCodes

FRAMES, CUT = 24, 14
ON_GPU = 1e-3
PEAK = 1.0 + 1e-6
WATCHED = ("encode", "decode", "codes", "from_codes")


class Subject:
    """A codec on the CPU.

    Raises:
        BenchError: it cannot be built.
    """

    def __init__(self, who: str, build: Callable[[], Codec]) -> None:
        self.who, self.build = who, build
        self.codec: Codec = registry.calling(who, build().to, torch.device("cpu"))
        self.info = self.codec.info
        self.guard = Guard()
        self._watched: Any = self.guard.around(self.codec, WATCHED)
        self.audio = sound(3, FRAMES * self.info.hop, self.info.sample_rate)

    def encode(self, audio: Tensor) -> Tensor:
        """Latents of the shape and dtype that the contract states, or Broken."""
        hop, samples = self.info.hop, audio.shape[-1]
        shape = (len(audio), -(-samples // hop), self.info.dim)
        return _stated(f"latents of {samples} samples", self._watched.encode(audio), shape)

    def decode(self, latents: Tensor) -> Tensor:
        """Audio of the shape and dtype that the contract states, or Broken."""
        shape = (len(latents), 1, latents.shape[1] * self.info.hop)
        return _stated(f"audio of {latents.shape[1]} frames", self._watched.decode(latents), shape)

    def codes(self, latents: Tensor) -> Tensor:
        """Codes of the shape that the contract states, or Broken."""
        self.discrete()
        shape = (*latents.shape[:2], len(self.info.codebooks))
        return _stated("codes", self._watched.codes(latents), shape, torch.int64)

    def from_codes(self, codes: Tensor) -> Tensor:
        """Latents of codes, of the shape that the contract states, or Broken."""
        return _stated("latents of codes", self._watched.from_codes(codes), (*codes.shape[:2], self.info.dim))

    def discrete(self) -> None:
        """NotApplicable for a codec without codes."""
        if not isinstance(self.codec, HasCodes):
            raise NotApplicable("it has no codes")


def sound(batch: int, samples: int, sample_rate: int) -> Tensor:
    """Noise under a moving level, with a tone: (B, 1, N) in [−1, 1]."""
    generator = rng(0)
    time = torch.arange(samples) / sample_rate
    level = 0.5 + 0.5 * torch.sin(2 * torch.pi * 3.0 * time)
    noise = (torch.rand(batch, samples, generator=generator) - 0.5) * level
    pitch = 120.0 * (1 + torch.arange(batch))[:, None]
    return (0.5 * noise + 0.3 * torch.sin(2 * torch.pi * pitch * time))[:, None]


def lengths_come_back(subject: Subject) -> str:
    """N samples become ceil(N / hop) latents, and T latents T · hop samples, float32 and finite."""
    hop = subject.info.hop
    tried = (1, hop - 1, hop, hop + 1, 3 * hop + 7)
    for samples in tried:
        subject.decode(subject.encode(subject.audio[..., :samples]))
    return f"N = {', '.join(map(str, tried))}"


def repeats(subject: Subject) -> str:
    """Encoding and decoding the same input gives the same bytes."""
    x = subject.encode(subject.audio)
    same("encode", x, subject.encode(subject.audio))
    same("decode", subject.decode(x), subject.decode(x))
    return "encode, decode"


def lookahead_is_stated(subject: Subject) -> str:
    """A latent has seen no audio beyond its own frame and the look-ahead that the codec states, not by a bit."""
    ahead, hop = subject.info.lookahead, subject.info.hop
    other = subject.audio.clone()
    start = (CUT + ahead) * hop
    other[..., start:] = -other[..., start:].flip(-1)
    one, two = subject.encode(subject.audio)[:, :CUT], subject.encode(other)[:, :CUT]
    same(f"latents before frame {CUT}, audio from frame {CUT + ahead} on changed", one, two)
    return f"look-ahead {ahead}: {CUT} frames bit-equal"


def batch_changes_nothing(subject: Subject) -> str:
    """Audio in a batch is encoded and decoded as it is alone, within 1e-4 of the largest value."""
    x = subject.encode(subject.audio)
    encoded = near("encode", subject.encode(subject.audio[:1]), x[:1])
    decoded = near("decode", subject.decode(x[:1]), subject.decode(x)[:1])
    return f"encode within {encoded:.1g}, decode within {decoded:.1g}"


def padding_changes_nothing(subject: Subject) -> str:
    """Zeros after the end change no latent whose look-ahead ends before them, within 1e-4 of the largest value."""
    kept = FRAMES - 5
    short = subject.audio[..., : kept * subject.info.hop]
    padded = torch.cat([short, torch.zeros_like(subject.audio[..., kept * subject.info.hop :])], -1)
    clear = kept - subject.info.lookahead
    away = near("encode", subject.encode(short)[:, :clear], subject.encode(padded)[:, :clear])
    return f"within {away:.1g}"


def codes_are_in_range(subject: Subject) -> str:
    """Codes are at least 0 and below the size that each codebook states."""
    subject.discrete()
    sizes = torch.tensor(subject.info.codebooks)
    if not len(sizes):
        raise Broken("it has codes, but states no codebooks")
    codes = subject.codes(subject.encode(subject.audio))
    if bool((codes < 0).any()) or bool((codes >= sizes).any()):
        raise Broken(f"codes from {int(codes.min())} to {int(codes.max())}, codebooks of {subject.info.codebooks}")
    return f"{len(sizes)} codebooks, codes from {int(codes.min())} to {int(codes.max())}"


def codes_are_kept(subject: Subject) -> str:
    """Coding what was decoded from codes changes it no more than coding changed the latents; one codebook: not at all.

    The search of a residual quantiser is greedy, so that its own output need not be a fixed point of it.
    """
    subject.discrete()
    x = subject.encode(subject.audio)
    codes = subject.codes(x)
    once = subject.from_codes(codes)
    again = subject.codes(once)
    if codes.shape[-1] == 1:
        same("codes of decoded codes", codes, again)
    first, second = _rms(once - x), _rms(subject.from_codes(again) - once)
    if not second <= first:
        raise Broken(f"coding again moves latents by {second:.3g} rms, coding moved them by {first:.3g}")
    share = float((codes == again).double().mean())
    return f"{100 * share:.1f} % of codes kept; moved by {first:.2g}, then by {second:.2g} rms"


def stages_add_up(subject: Subject) -> str:
    """Codes of the first stages alone decode to latents too."""
    subject.discrete()
    codes = subject.codes(subject.encode(subject.audio))
    for stages in range(1, codes.shape[-1] + 1):
        subject.from_codes(codes[..., :stages])
    return f"1 to {codes.shape[-1]} stages"


def extremes_are_finite(subject: Subject) -> str:
    """Silence and a full-scale square wave are coded to finite latents and to audio in [−1, 1]."""
    silence = torch.zeros_like(subject.audio[:1])
    square = torch.where(torch.arange(silence.shape[-1]) // 40 % 2 == 0, 1.0, -1.0).expand_as(silence)
    peaks = {}
    for what, audio in (("silence", silence), ("full scale", square.clone())):
        peaks[what] = float(subject.decode(subject.encode(audio)).abs().max())
        if peaks[what] > PEAK:
            raise Broken(f"{what} is decoded to a peak of {peaks[what]:.4g}, expected at most 1")
    return ", ".join(f"{what}: peak {peak:.3g}" for what, peak in peaks.items())


def gpu_agrees(subject: Subject) -> str:
    """The GPU encodes and decodes as the CPU does, within 1e-3 of the largest value."""
    if not torch.cuda.is_available():
        raise NotApplicable("there is no GPU here")
    x = subject.encode(subject.audio)
    there = subject.build().to(torch.device("cuda"))
    encoded = near("encode on the GPU", there.encode(subject.audio.cuda()).cpu(), x, ON_GPU)
    decoded = near("decode on the GPU", there.decode(x.cuda()).cpu(), subject.decode(x), ON_GPU)
    return f"encode within {encoded:.1g}, decode within {decoded:.1g}"


def process_is_left_alone(subject: Subject) -> str:
    """No call changes a global generator, the default dtype, the gradient mode or the thread count."""
    return globals_left_alone(subject.guard)


def inputs_are_left_alone(subject: Subject) -> str:
    """No call writes into the tensors it is given."""
    return inputs_left_alone(subject.guard)


RULES: tuple[Callable[[Subject], str], ...] = (
    lengths_come_back,
    repeats,
    lookahead_is_stated,
    batch_changes_nothing,
    padding_changes_nothing,
    codes_are_in_range,
    codes_are_kept,
    stages_add_up,
    extremes_are_finite,
    gpu_agrees,
    process_is_left_alone,
    inputs_are_left_alone,
)


def check(spec: str) -> list[Result]:
    """Every rule on a codec, NAME[@TAP][+stackF][:ARGUMENT].

    Raises:
        BenchError: it cannot be built.
    """
    subject = Subject(f"codec {spec!r}", partial(registry.build, "codecs", spec))
    return applied(subject.who, RULES, subject)


def _rms(x: Tensor) -> float:
    return float(x.double().square().mean().sqrt())


def _stated(what: str, got: object, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    if not isinstance(got, Tensor):
        raise Broken(f"{what}: expected a tensor, got {type(got).__name__}")
    if tuple(got.shape) != shape or got.dtype != dtype:
        raise Broken(f"{what}: expected {shape} {dtype}, got {tuple(got.shape)} {got.dtype}")
    if not bool(torch.isfinite(got).all()):
        raise Broken(f"{what}: not finite")
    return got
