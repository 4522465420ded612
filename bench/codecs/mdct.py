"""`mdct`, a reference without learning: the modified discrete cosine transform, 16 kHz, 50 Hz, 320 coefficients.

    --codec mdct[@K]

The transform is orthonormal and gives every sample back: with all 320 coefficients a frame (`mdct`) decoding is
exact to float32, and what a model loses it loses itself. A tap K of 1 to 320 keeps the K lowest coefficients, which
is the band from 0 to 25 · K Hz, and decodes the rest as silence.

What it stands for beside learned codecs: the waveform itself, critically sampled and decorrelated over a frame, no
dimension made smoother, more Gaussian or easier to predict by training. Signs follow the phase, so that the next
frame is hard to tell; a learned latent that a model predicts no better has gained nothing for modelling.

Frame t is the block of samples [320 t, 320 (t + 1)), whose halves overlap with its neighbours' under a sine window
(320 samples each side of a block's edge take part, 160 of them beyond it). So a latent has seen 160 samples, 10 ms,
beyond its own frame: the look-ahead is 1 frame. The recording's two ends are edges that nothing overlaps, so that T
frames hold T · 320 samples and not one less. Decoding is the transpose.

References:
    Princen, Johnson and Bradley 1987, "Subband/transform coding using filter bank designs based on time domain
    aliasing cancellation", ICASSP; Malvar 1990, "Lapped transforms for efficient transform/subband coding", IEEE
    TASSP 38 (the overlap as rotations across the edges of blocks, before a DCT of each).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contract import CodecInfo
from bench.errors import DataError

SAMPLE_RATE, HOP = 16_000, 320
REACH = HOP // 2
"""Samples beyond its edges that a block takes part of."""


class MDCT:
    """Codec plug-in `mdct`.

    Args:
        argument: what follows the colon of `--codec`; must be empty.
        tap: how many coefficients, from the lowest on; empty for all 320.

    Raises:
        DataError: an argument, or a tap that is no number of 1 to 320.
    """

    def __init__(self, argument: str = "", tap: str = "") -> None:
        if argument:
            raise DataError(f"codec mdct takes no argument, got {argument!r}")
        if tap and not (tap.isascii() and tap.isdigit() and tap[0] != "0" and int(tap) <= HOP):
            raise DataError(f"codec mdct: no tap {tap!r}; there are: 1 to {HOP} (coefficients)")
        self.info = CodecInfo(
            name=f"mdct@{tap}" if tap else "mdct",
            sample_rate=SAMPLE_RATE,
            hop=HOP,
            dim=int(tap or HOP),
            lookahead=1,
        )
        self.basis = cosines(HOP)[:, : self.info.dim].contiguous()
        self.window = torch.sin(math.pi / (2 * HOP) * (torch.arange(HOP, dtype=torch.float64) + 0.5)).float()

    def to(self, device: torch.device) -> MDCT:
        """The same codec on `device`."""
        self.basis, self.window = self.basis.to(device), self.window.to(device)
        return self

    def encode(self, audio: Tensor) -> Tensor:
        """Audio (B, 1, N) → coefficients (B, ceil(N / 320), K); the last frame is filled with zeros."""
        blocks = F.pad(audio[:, 0], (0, -audio.shape[-1] % HOP)).unflatten(1, (-1, HOP))
        return self._rotated(blocks, 1.0) @ self.basis

    def decode(self, latents: Tensor) -> Tensor:
        """Coefficients (B, T, K) → audio (B, 1, 320 T), within [−1, 1]."""
        return self._rotated(latents @ self.basis.T, -1.0).flatten(1)[:, None].clamp(-1.0, 1.0)

    def _rotated(self, blocks: Tensor, sign: float) -> Tensor:
        """Samples (B, T, 320) with each pair n before and n after an edge turned by the window's angle, or back."""
        rising, falling = self.window[REACH:], sign * self.window[:REACH].flip(0)
        before, after = blocks[:, :-1, REACH:].flip(-1), blocks[:, 1:, :REACH]
        # the cosines of a block go on oddly beyond its left edge and evenly beyond its right one
        left = rising * after - falling * before
        right = (rising * before + falling * after).flip(-1)
        first, last = blocks[:, :1, :REACH], blocks[:, -1:, REACH:]
        return torch.cat([torch.cat([first, left], 1), torch.cat([right, last], 1)], -1)


def cosines(size: int) -> Tensor:
    """√(2 / M) cos(π / M (n + ½ + M) (k + ½)), n and k below M: (M, M), orthonormal, float32.

    The negative of a DCT-IV read backwards. With n counted from the start of the overlap, M / 2 before the block,
    it is the textbook's n + ½ + M / 2.
    """
    half = torch.arange(size, dtype=torch.float64) + 0.5
    return (math.sqrt(2 / size) * torch.cos(math.pi / size * (half[:, None] + size) * half)).float()
