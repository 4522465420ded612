"""How far ahead of a latent's own frame the audio still moves it, measured and not taken on trust.

The audio after a cut is replaced by its reverse with the sign turned, and the first latent that moves is looked for.
Frame by frame, a latent that moves before the cut has seen the audio behind it. A bidirectional encoder moves from the
first frame on, and is measured to look ahead as far as the cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.contract import Codec

FRAMES = 32
"""Of the stretch that is encoded."""
CUTS = (12, 19, 24)
"""Frames at which the audio is cut: of more than one parity, since strides may start a period of their own."""
MOVED = 1e-4
"""Of the largest value: what kernels of another shape may round differently is below it."""


@dataclass(frozen=True)
class Ahead:
    """`frames` that a latent has seen beyond its own; `whole` where one moved as early as there is a frame."""

    frames: int
    whole: bool


@torch.no_grad()
def measured_ahead(codec: Codec, audio: Tensor, device: torch.device) -> Ahead:
    """The most frames, over all cuts, of one recording.

    Args:
        audio: (N,) at the codec's rate; what lies beyond 32 frames is not used.

    Raises:
        ValueError: fewer samples than the last cut and one frame.
    """
    hop = codec.info.hop
    stretch = audio[: FRAMES * hop].to(device)
    cuts = [cut for cut in CUTS if (cut + 1) * hop <= len(stretch)]
    if not cuts:
        raise ValueError(f"expected at least {(CUTS[0] + 1) * hop} samples, got {len(stretch)}")
    before = codec.encode(stretch[None, None])
    most, whole = 0, False
    for cut in cuts:
        other = stretch.clone()
        other[cut * hop :] = -other[cut * hop :].flip(0)
        moved = (codec.encode(other[None, None]) - before).abs().amax(-1)[0] > MOVED * before.abs().max()
        first = int(moved.nonzero()[0]) if bool(moved.any()) else len(moved)
        most = max(most, cut - first)
        whole = whole or first == 0
    return Ahead(most, whole)
