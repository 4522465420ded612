"""Horizons in milliseconds → frames, and the anchors from which futures are rolled out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.contract import CanRollout, CodecInfo, LatentUtterance
from bench.errors import DataError

CHUNK = 1024
"""Sequences rolled out at once."""


def frames_ahead(horizon_ms: int, info: CodecInfo) -> int:
    """Frames from a state's last frame to its target, so that the target ends `horizon_ms` after the last
    sample that state has seen: the horizon itself plus the codec's look-ahead.

    Raises:
        DataError: the horizon is no whole number of frames.
    """
    frames = horizon_ms * info.frame_rate / 1000
    if abs(frames - round(frames)) > 1e-6 or round(frames) < 1:
        raise DataError(f"{info.name}: {horizon_ms} ms is {frames:.3f} frames at {info.frame_rate:g} Hz")
    return round(frames) + info.lookahead


@dataclass(frozen=True)
class Anchors:
    """Utterances continued from the same frame.

    `past` (B, t, D) is the true prefix, `future` (B, K, D) what follows it.
    """

    ids: list[str]
    start: int
    past: Tensor
    future: Tensor


def anchors(utterances: Sequence[LatentUtterance], first: int, every: int, future: int) -> Iterator[Anchors]:
    """Anchors at frames `first`, `first + every`, … wherever `future` frames follow, batched by frame."""
    longest = max(len(u.x) for u in utterances)
    for start in range(first, longest - future + 1, every):
        chosen = [u for u in utterances if len(u.x) >= start + future]
        for group in (chosen[i : i + CHUNK // 8] for i in range(0, len(chosen), CHUNK // 8)):
            x = torch.stack([u.x[: start + future] for u in group])
            yield Anchors([u.id for u in group], start, x[:, :start], x[:, start:])


def too_short(utterances: Sequence[LatentUtterance], frames: int) -> dict[str, str]:
    """Utterance id → reason, for those with fewer than `frames` frames."""
    return {
        u.id: f"{len(u.x)} frames; the first anchor and its future need {frames}"
        for u in utterances
        if len(u.x) < frames
    }


def continued(
    submission: CanRollout,
    at: Anchors,
    draws: int,
    generator: torch.Generator,
    device: torch.device,
    mean: bool = False,
) -> Tensor:
    """Rollouts from the anchors: (B, S, K, D), on the CPU."""
    out = submission.rollout(at.past.to(device), at.future.shape[1], draws, generator, mean)
    return out.cpu()


def interleave(past: Tensor, future: Tensor) -> Tensor:
    """Prefix (B, t, D) before each of its futures (B, S, K, D) → (B · S, t + K, D)."""
    draws = future.shape[1]
    return torch.cat([past.repeat_interleave(draws, dim=0), future.flatten(0, 1)], dim=1)
