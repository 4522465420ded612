"""Variance ratios, R² and reach under a linear decoder that ignores most of the latents: F7's closed forms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.calibration.check import Check, Measured, aggregated
from bench.calibration.junk import DecoderJunk
from bench.calibration.lab import LabCodec, LabContext
from bench.calibration.process import splits
from tasks.decoder_aware import DecoderAware

CELLS = (2, 4, 8)
HORIZONS = {80: 1, 160: 2, 320: 4, 640: 8}


def checks() -> list[Check]:
    return [Check("decoder_aware: ratios and R², F7", "F7, a = 0.8, 1 + 11 dimensions", "fast", _junk)]


class _Quiet:
    """Exposes the predictable dimension alone: its k-means cells are those of Lloyd and Max."""

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        del generator
        return x[..., :1]


def _junk(seed: int) -> Sequence[Measured]:
    process = DecoderJunk(predictable=1, junk=11, coefficient=0.8, out=3)
    # the error of what training frames gave is in no interval over test frames: there are many more of them
    data = splits(process, train=1500, valid=2, test=300, frames=100, seed=seed)
    settings = {"window": 1, "cells": CELLS, "mel_frames": 150_000}
    context = LabContext(DecoderAware.card, data, LabCodec(process.dim), settings, seed)
    task = DecoderAware(lambda codec: lambda x: x @ process.decoder.T)
    found = aggregated(task.score(_Quiet(), context), data["test"])  # type: ignore[arg-type]
    rows = []
    for cells in CELLS:
        for kind, metric in (("raw", "variance_ratio"), ("decoder", "decoder_variance_ratio")):
            value, error = found[f"ratio_{kind}_{cells}"]
            truth = process.truth(metric, cells=cells)
            rows.append(Measured(f"{kind} variance ratio, K = {cells}", "1", value, truth, 0.003, error))
    for ms, k in HORIZONS.items():
        for kind, metric in (("raw", "r2"), ("decoder", "decoder_r2"), ("mel", "decoder_r2")):
            value, error = found[f"{kind}_r2_{ms}ms"]
            rows.append(Measured(f"{kind} R², k = {k}", "1", value, process.truth(metric, k=k), 0.005, error))
    rows.append(Measured("energy beyond the frame", "share", found["reach_share"][0], 0.0, 1e-6))
    return rows
