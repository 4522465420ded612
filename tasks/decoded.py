"""Latents as they are heard: log-mel spectra of what the codec decodes, and their distance."""

from __future__ import annotations

import numpy as np
import soxr
from torch import Tensor

from bench.contract import Codec
from bench.metrics.distortion import RATE, WINDOW, Array, log_mel


def heard(codec: Codec, latents: Tensor) -> Array:
    """log10-mel spectrum of the decoding of one utterance (1, T, D), at 16 kHz: (T', 80).

    Less audio than one window is filled with zeros.
    """
    samples = codec.decode(latents)[0, 0].cpu().numpy().astype(np.float64)
    if codec.info.sample_rate != RATE:
        samples = soxr.resample(samples, codec.info.sample_rate, RATE, quality="HQ")
    return log_mel(np.pad(samples, (0, max(0, WINDOW - len(samples)))))


def mel_distance(a: Array, b: Array) -> float:
    """Log-mel L1 of two spectra of one shape, as `bench.metrics.distortion.log_mel_l1` has it."""
    return float(np.abs(a - b).mean())
