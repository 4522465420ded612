"""The cross-codec task's own estimates on processes whose answers are known: gain, gain of order, effective rank.

What it takes over from `direction`, `clusters` and `ladder` is checked by theirs. Tolerances: max(3 standard errors,
0.03 nats or 2 %).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from bench.calibration.check import Check, Measured, aggregated
from bench.calibration.iid import Iid
from bench.calibration.lab import LabCodec, LabContext
from bench.calibration.process import Process, splits
from bench.calibration.speakers import TwoSpeakers
from bench.calibration.var1 import VAR1
from bench.metrics.spectrum import effective_rank
from tasks.codec_predictability import CodecPredictability, gains

HORIZONS = {80: 1, 160: 2, 320: 4, 640: 8}
FRAMES = 64
FIT = {"steps": 100, "batch": 16, "crop_frames": FRAMES, "evaluate_every": 50, "patience": 0}
PROBE = {"width": 32, "dropout": 0.0, "components": 4, "fit": FIT}
Found = Mapping[str, tuple[float, float]]


def checks() -> list[Check]:
    return [
        Check("codecs: gain, and what of it is order", "F1, 4-d", "fast", partial(_order, VAR1.isotropic(0.6, 4))),
        Check("codecs: nothing in noise", "F0, 4-d", "full", partial(_order, Iid(4))),
        Check("codecs: who speaks is no order", "F9, a = 0", "full", _speaker),
        Check("codecs: effective rank", "F0, 16-d", "fast", _rank),
    ]


def scored(process: Process, seed: int, train: int = 300, steps: int = 100) -> Found:
    """`gain` and `order` at every horizon."""
    data = splits(process, train, 40, 300, FRAMES, seed)
    over = {"dither": 0.0, "half": False, "probe": {**PROBE, "fit": {**FIT, "steps": steps}}}
    context = LabContext(CodecPredictability.card, data, LabCodec(process.dim), over, seed)
    frames = {split: {u.id: u.x for u in us} for split, us in data.items()}
    return aggregated(gains(frames, context, list(HORIZONS)), data["test"])


def _row(what: str, found: tuple[float, float], truth: float, side: Any = "both") -> Measured:
    return Measured(what, "nats/frame", found[0], truth, max(0.03, 0.02 * abs(truth)), found[1], side)


def _order(process: Any, seed: int) -> list[Measured]:
    """The gain is exact; order is at most the gain, and all of it but what a random earlier frame tells."""
    found, rows = scored(process, seed), []
    for ms, k in HORIZONS.items():
        gain = process.truth("gain", k=k)
        rows.append(_row(f"gain, k = {k}", found[f"gain_{ms}ms"], gain))
        rows.append(_row(f"of order, k = {k}", found[f"order_{ms}ms"], gain, "at most"))
    # at frame 32 one earlier frame in 32 is the last one: a tenth of the gain is more than all of them tell
    rows.append(_row("of order, k = 1", found["order_80ms"], 0.8 * process.truth("gain", k=1), "at least"))
    return rows


def _speaker(seed: int) -> list[Measured]:
    """Frames without any order, of two speakers: the gain is who speaks, and none of it is order."""
    process = TwoSpeakers(coefficient=0.0)
    found, rows = scored(process, seed, 900, 400), []
    for ms, k in HORIZONS.items():
        rows.append(_row(f"gain, k = {k}", found[f"gain_{ms}ms"], process.truth("leaked"), "at most"))
        rows.append(_row(f"of order, k = {k}", found[f"order_{ms}ms"], 0.0))
    rows.append(_row("gain, k = 1", found["gain_80ms"], 0.8 * process.truth("leaked"), "at least"))
    return rows


def _rank(seed: int) -> list[Measured]:
    """16 of isotropic frames, 1 of a line, 2 of a plane."""
    x = torch.randn(200_000, 16, generator=torch.Generator().manual_seed(seed))
    line, plane = x[:, :1] @ torch.ones(1, 16), x[:, :2] @ torch.eye(2, 16)
    cases = (("isotropic", x, 16.0), ("a line", line, 1.0), ("a plane", plane, 2.0))
    return [Measured(f"effective rank, {what}", "1", effective_rank(v), truth, 0.01) for what, v, truth in cases]
