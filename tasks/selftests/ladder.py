"""The capacity ladder and its contrastive reader where the answers are known.

Tolerances: max(3 standard errors, 0.03 nats or 2 %); R² 0.02.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Generator, Tensor

from bench.calibration.bimodal import Bimodal
from bench.calibration.check import Check, Measured, aggregated
from bench.calibration.iid import Iid
from bench.calibration.lab import LabCodec, LabContext
from bench.calibration.process import Process, splits
from bench.calibration.var1 import VAR1
from tasks.ladder import RUNGS, Ladder

HORIZONS = {80: 1, 320: 4}
CANDIDATES = 16
PROBE: dict[str, Any] = {
    "width": 32,
    "layers": 1,
    "heads": 2,
    "components": 1,
    "dropout": 0.0,
    "candidates": CANDIDATES,
    "fit": {"steps": 150, "batch": 256, "lr": 1e-2, "evaluate_every": 50},
}
Found = Mapping[str, tuple[float, float]]


class Frames:
    """The state is the frame itself."""

    def represent(self, x: Tensor, generator: Generator) -> Tensor:
        del generator
        return x


def checks() -> list[Check]:
    return [
        Check("ladder: flat at the exact value", "F1, 4-d", "fast", partial(_rungs, VAR1.example(), {})),
        Check("ladder: nothing in noise", "F0, 4-d", "fast", partial(_rungs, Iid(4), {})),
        Check("ladder: a gain no mean shows", "F2, r = 3", "full", _bimodal),
    ]


def _scored(process: Process, over: Mapping[str, Any], seed: int, train: int = 400) -> Found:
    data = splits(process, train, 60, 300, 24, seed)
    parameters = {"window": 2, "probe": {**PROBE, **over}}
    context = LabContext(Ladder.card, data, LabCodec(process.dim), parameters, seed)
    return aggregated(Ladder().score(Frames(), context), data["test"])


def _row(what: str, found: tuple[float, float], truth: float) -> Measured:
    return Measured(what, "nats/frame", found[0], truth, max(0.03, 0.02 * abs(truth)), found[1])


def _rungs(process: Any, over: Mapping[str, Any], seed: int) -> list[Measured]:
    """Gain and R² of every rung; the contrastive bound below the gain, and below ln N."""
    found = _scored(process, over, seed)
    rows = []
    for ms, k in HORIZONS.items():
        gain = process.truth("gain", k=k)
        for kind in RUNGS:
            rows.append(_row(f"gain, {kind}, k = {k}", found[f"{kind}_gain_{ms}ms"], gain))
            value, error = found[f"{kind}_r2_{ms}ms"]
            rows.append(Measured(f"R², {kind}, k = {k}", "1", value, process.truth("r2", k=k), 0.02, error))
        value, error = found[f"nce_bound_{ms}ms"]
        most = min(gain, math.log(CANDIDATES))
        rows.append(Measured(f"InfoNCE bound, k = {k}", "nats/frame", value, most, 0.03, error, side="at most"))
        value, error = found[f"nce_accuracy_{ms}ms"]
        side = "both" if gain == 0.0 else "at least"
        rows.append(Measured(f"true future picked, k = {k}", "1", value, 1 / CANDIDATES, 0.0, error, side=side))
    return rows


def _bimodal(seed: int) -> list[Measured]:
    """R² is 0 on every rung, and the mixtures find the gain that the linear rung cannot."""
    process = Bimodal(3.0)
    fit = {**PROBE["fit"], "steps": 500, "batch": 512}
    # sixteen components learn 9,600 frames by heart
    found = _scored(process, {"components": 16, "width": 64, "fit": fit}, seed, 2400)
    rows = [Measured(f"R², {kind}", "1", found[f"{kind}_r2_80ms"][0], 0.0, 0.01) for kind in RUNGS]
    rows.append(_row("gain, linear", found["linear_gain_80ms"], 0.0))
    rows += [_row(f"gain, {kind}", found[f"{kind}_gain_80ms"], process.truth("gain", k=1)) for kind in RUNGS[1:]]
    value, error = found["nce_accuracy_80ms"]
    rows.append(Measured("true future picked", "1", value, 1 / CANDIDATES + 0.02, 0.0, error, side="at least"))
    return rows
