"""Bits a second of discrete codes, from the symbols that were emitted and never from a declared figure."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def code_rate(counts: Tensor, frame_rate: float) -> float:
    """Entropy of the emitted symbols, bits per second: frame rate × Σ_q H(counts_q).

    With equal counts it is the raw rate, log2 of the alphabet a codebook. From n symbols the plug-in entropy is
    too low by about (V − 1) / (2 n ln 2) bits a codebook (Miller 1955).

    Args:
        counts: (Q, V), how often each of V entries of each of Q codebooks was emitted.
        frame_rate: frames per second.

    Raises:
        ValueError: a codebook without a symbol, or a negative count.

    >>> round(code_rate(torch.ones(8, 2048), 12.5), 6)
    1100.0
    """
    if counts.dim() != 2 or (counts < 0).any() or (counts.sum(-1) == 0).any():
        raise ValueError(f"code_rate: expected counts (Q, V) with a symbol in each codebook, got {tuple(counts.shape)}")
    p = counts.double() / counts.double().sum(-1, keepdim=True)
    return float(torch.special.entr(p).sum()) / math.log(2) * frame_rate


def raw_rate(codebooks: tuple[int, ...], frame_rate: float) -> float:
    """Bits per second of codes sent as they are: frame rate × Σ log2 of the alphabets.

    >>> raw_rate((2048,) * 8, 12.5), raw_rate((1024,) * 8, 75.0)
    (1100.0, 6000.0)
    """
    return frame_rate * sum(math.log2(size) for size in codebooks)
