"""Audio of many lengths through a codec in few calls: batches of like lengths, padded with silence on the right.

A codec whose latents have seen nothing beyond their own frame gives each utterance what it gives it alone, up to
rounding, which `bench conformance` tests. One that looks ahead would see the padding, and one that states
`batches = False` gains nothing by it: both are given one utterance at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contract import Codec
from bench.errors import PluginError
from bench.registry import calling

TOLERANCE = 1e-4
"""Of the largest value: how far an utterance's latents may be from what they are alone. The rule of
`bench conformance`."""


@dataclass(frozen=True)
class Plan:
    """How much audio, in seconds, is handled at once.

    Attributes:
        window: is read while the window before it is encoded, and sorted by length for batches.
        batch: of one call, padding included; a longer utterance is a batch of its own.
    """

    window: float
    batch: float


ON_CPU = Plan(window=16.0, batch=4.0)
"""Long batches make nothing faster where one utterance fills the machine: see docs/throughput.md."""
ON_GPU = Plan(window=480.0, batch=120.0)


def plan_for(device: torch.device) -> Plan:
    """What suits a device."""
    return ON_GPU if device.type == "cuda" else ON_CPU


def can_batch(codec: Codec) -> bool:
    """Whether utterances of several lengths may share a call."""
    innermost = getattr(codec, "codec", codec)  # stacked frames batch as the codec does that they come from
    return codec.info.lookahead == 0 and bool(getattr(innermost, "batches", True))


def by_length(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """Positions grouped by like length, each group at most `limit` long with its padding, or one alone.

    >>> by_length([10, 40, 12, 41], 90)
    [[0, 2], [1, 3]]
    >>> by_length([10, 400], 90)
    [[0], [1]]
    """
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        # sorted: the newest is the longest, to which all of its group are padded
        if groups and lengths[i] * (len(groups[-1]) + 1) <= limit:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def encode_batched(codec: Codec, audio: Sequence[Tensor], limit: int, device: torch.device) -> list[Tensor]:
    """Latents of every utterance, in the order given.

    Args:
        codec: on `device`.
        audio: one (N,) float32 in [−1, 1] each, on the CPU, at the codec's rate.
        limit: samples that a call may hold, padding included; an utterance beyond it is encoded alone.

    Returns:
        (ceil(N / hop), D) float32 each, on the CPU; within `TOLERANCE` of the largest value of what the codec
        gives for the utterance alone.

    Raises:
        PluginError: the codec raises, returns another shape than it states, or values that are not finite.
    """
    lengths = [len(samples) for samples in audio]
    groups = by_length(lengths, limit) if can_batch(codec) else [[i] for i in range(len(audio))]
    made = ((group, _encoded(codec, [audio[i] for i in group], device)) for group in groups)
    found = {i: x for group, latents in made for i, x in zip(group, latents, strict=True)}
    return [found[i] for i in range(len(audio))]


def alone_differs(codec: Codec, samples: Tensor, x: Tensor, device: torch.device) -> float:
    """How far latents `x` (T, D) of `samples` (N,) are from those of the utterance alone, of the largest value."""
    (alone,) = _encoded(codec, [samples], device)
    return float((x - alone).abs().max() / alone.abs().max().clamp(min=1e-12))


def _encoded(codec: Codec, audio: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    info, longest = codec.info, max(map(len, audio))
    padded = torch.stack([F.pad(samples, (0, longest - len(samples))) for samples in audio])[:, None]
    with torch.no_grad():
        x = calling(f"codec {info.name!r}", codec.encode, padded.to(device))
    expected = (len(audio), -(-longest // info.hop), info.dim)
    if not isinstance(x, Tensor) or tuple(x.shape) != expected:
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise PluginError(f"codec {info.name!r}: latents of {longest} samples must be {expected}, got {got}")
    x = x.float().cpu()
    kept = [one[: -(-len(samples) // info.hop)].clone() for one, samples in zip(x, audio, strict=True)]
    if not all(torch.isfinite(one).all() for one in kept):
        raise PluginError(f"codec {info.name!r}: latents of {longest} samples are not finite")
    return kept
