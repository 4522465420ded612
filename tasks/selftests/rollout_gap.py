"""The rollout gap, its crossings and its detectors, of the true process: closed forms at every horizon."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench.calibration.check import Check, Measured, aggregated
from bench.calibration.lab import LabCodec, LabContext
from bench.calibration.process import splits
from bench.calibration.state_space import StateSpace
from bench.calibration.var1 import VAR1
from bench.metrics import drift
from tasks.rollout_gap import RolloutGap

FRAME_MS = 80.0
SHOWN = (2, 4, 8, 16)
"""Frames of the columns; k = 1 is read from the curve."""


def checks() -> list[Check]:
    skilled, structured = VAR1.isotropic(0.8, 4), StateSpace.example()
    return [
        Check("rollout_gap: gap and crossings, F1", "F1, a = 0.8, 4-d", "fast", lambda seed: _oracle(skilled, seed)),
        Check("rollout_gap: gap and crossings, F5", "F5, 3-d state in 8-d", "fast", lambda s: _oracle(structured, s)),
        Check("rollout_gap: false alarms of collapse", "F1, a = 0.8, 4-d", "fast", lambda s: _alarms(skilled, s)),
    ]


def _oracle(process: VAR1 | StateSpace, seed: int) -> Sequence[Measured]:
    data = splits(process, train=400, valid=1, test=800, frames=40, seed=seed)
    context = LabContext(RolloutGap.card, data, LabCodec(process.dim), seed=seed)
    found = aggregated(RolloutGap().score(process.oracle(), context), data["test"])  # type: ignore[arg-type]
    first = context.notes["curves"]["gap_sampled"][0]
    rows = [Measured("gap after samples, k = 1", "nats/frame", first["value"], 0.0, 1e-4)]
    for kind, metric in (("sampled", "rollout_gap"), ("mean", "rollout_gap_mean")):
        for k in SHOWN:
            value, error = found[f"gap_{kind}_{FRAME_MS * k:.0f}ms"]
            truth = process.truth(metric, k=k)
            rows.append(Measured(f"gap after {kind}, k = {k}", "nats/frame", value, truth, 0.03 * truth, error))
    truth = process.truth("rollout_gap", k=16)
    rows.append(
        Measured("own floor, k = 16", "nats/frame", found["self_floor"][0], truth, 0.03 * truth, found["self_floor"][1])
    )
    value, error = found["excess_1280ms"]
    rows.append(Measured("gap above the floor, k = 16", "nats/frame", value, 0.0, 0.03 * truth, error))
    margin = [process.truth("gain", k=1) - process.truth("rollout_gap", k=k) for k in range(1, 17)]
    value, error = found["first_divergence"]
    rows.append(Measured("first divergence", "ms", value, _crossing_ms(margin), 2.0, error))
    if isinstance(process, VAR1):
        level = context.parameters["skill_level"]
        skill = [process.truth("energy_skill", k=k) - level for k in range(1, 17)]
        value, error = found["predictive_horizon"]
        rows.append(Measured("predictive horizon", "ms", value, _crossing_ms(skill), 8.0, error))
    return rows


def _crossing_ms(curve: Sequence[float]) -> float:
    """Of a falling curve at k = 1, 2, …, linear between frames."""
    last = max(k for k, value in enumerate(curve, 1) if value > 0)
    return FRAME_MS * (last + curve[last - 1] / (curve[last - 1] - curve[last]))


def _alarms(process: VAR1, seed: int) -> Sequence[Measured]:
    """On windows of the process itself, and on three ways to collapse."""
    data = splits(process, train=4000, valid=1, test=4000, frames=16, seed=seed)
    real, fresh = (torch.stack([u.x for u in data[split]]) for split in ("train", "test"))
    collapse = drift.Collapse(real, 0.01)
    time = torch.arange(16)
    cases = {
        "real": (fresh, 0.01),
        "still": (fresh[:, :1].expand(-1, 16, -1), 1.0),
        "cyclic": (fresh[:, time % 5], 1.0),
        "exploding": (fresh * 1.9 ** time[:, None], 1.0),
    }
    rows = []
    for case, (paths, truth) in cases.items():
        flags = collapse.flags(paths).double()
        for i, name in enumerate(drift.COLLAPSES):
            if case in ("real", name):
                measured, what = float(flags[:, i].mean()), f"{name} on {case} paths"
                rows.append(
                    Measured(what, "share", measured, truth, 0.005, side="at most" if case == "real" else "both")
                )
    return rows
