"""The directions of a latent frame that a linear reader hears: a projection onto the log-mel of the decoded audio.

A loss of mel spectra by way of the decoder would need its gradient, which a codec need not give. A linear reader of
x_t, fitted once on decoded training utterances, needs its output alone: with B its least-squares coefficients, the
squared error of the mel that is read from x̂ is ‖B (x̂ − x)‖². What a decoder hears of other frames, or not linearly,
it does not see; `Heard.r2` says how much that leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bench.contract import Codec, LatentUtterance
from bench.errors import CardError
from bench.metrics.sensitivity import DecodedLogMel

UTTERANCES = 64
"""Decoded at most: some hundred seconds of speech are thousands of frames for as many coefficients as dimensions."""
RIDGE = 1e-3
"""Of the mean variance of x, so that a dimension without any asks for nothing."""


class Heard(NamedTuple):
    """What the reader hears.

    Attributes:
        directions: (R, D), float64, the leading first. Along them training frames have a mean variance of one.
        r2: the share of the mel's variance that a linear reader of x_t explains with all directions, on the frames
            it was fitted on.
    """

    directions: Tensor
    r2: float


@torch.no_grad()
def mel_projection(
    codec: Codec,
    utterances: Sequence[LatentUtterance],
    rank: int,
    device: torch.device,
    progress: Callable[[str, int, int], None],
) -> Heard:
    """The `rank` directions of x that say most of the log-mel of its decoded frame.

    Args:
        utterances: latents x (T, D); of the training split.
        rank: at most the mel bands of a frame; of more than D, D are given.
        progress: called with (what, done, total).

    Raises:
        bench.errors.CardError: a rank above the bands of a frame.
    """
    mel_of, pairs = DecodedLogMel(codec), []
    some = utterances[:: max(1, len(utterances) // UTTERANCES)][:UTTERANCES]
    for done, utterance in enumerate(some):
        progress("decode for the mel projection", done, len(some))
        pairs.append((utterance.x, mel_of(utterance.x[None].to(device))[0].cpu()))
    x, mel = (torch.cat(part).double() for part in zip(*pairs, strict=True))
    x, mel = x - x.mean(0), mel - mel.mean(0)
    covariance = x.T @ x / len(x)
    ridge = RIDGE * covariance.diagonal().mean() * torch.eye(x.shape[1], dtype=x.dtype)
    coefficients = torch.linalg.solve(covariance + ridge, x.T @ mel / len(x)).T
    read = x @ coefficients.T
    r2 = 1 - float((mel - read).square().sum() / mel.square().sum())
    if (rank := min(rank, x.shape[1])) > mel.shape[1]:
        raise CardError(f"mel projection: expected a rank of at most {mel.shape[1]} mel bands, got {rank}")
    # what is read is a combination of `rank` numbers: the leading principal components of the read mel
    values, vectors = torch.linalg.eigh(read.T @ read / len(read))
    leading, along = values[-rank:].flip(0), vectors[:, -rank:].flip(1)
    return Heard(along.T @ coefficients / leading.mean().clamp(min=1e-18).sqrt(), r2)
