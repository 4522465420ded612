"""Direction and magnitude of increments whose answers are closed forms, and the null on noise, which is not 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bench.calibration.check import Check, Measured, aggregated
from bench.calibration.direction import Alternating, Directions, Magnitudes
from bench.calibration.iid import Iid
from bench.calibration.lab import LabCodec, LabContext
from bench.calibration.process import Process, splits
from bench.calibration.var1 import VAR1
from bench.contract import LatentUtterance
from tasks.direction import Direction

DIM = 8


class NextFrame(Direction):
    """The task at its first horizon alone."""

    card = Direction.card.model_copy(update={"horizons_ms": (80,)})


class Raw:
    """Exposes x."""

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        del generator
        return x


def measured(process: Process, seed: int, integrate: bool, null: bool = False) -> Mapping[str, tuple[float, float]]:
    """The task's columns on a process; with `integrate` its frames are increments, and x their sum."""
    data = splits(process, train=200, valid=40, test=60, frames=60, seed=seed)
    if integrate:
        data = {s: [LatentUtterance(u.id, u.speaker, u.x.cumsum(0)) for u in us] for s, us in data.items()}
    context = LabContext(NextFrame.card, data, LabCodec(process.dim), {"null": null}, seed)
    return aggregated(NextFrame().score(Raw(), context), data["test"])  # type: ignore[arg-type]


def checks() -> list[Check]:
    return [
        Check("direction: direction and magnitude apart", "F4a, F4b, 8-d", "full", _apart),
        Check("direction: now one, now the other", "F4c, 8-d", "full", _alternating),
        Check("direction: smoother is less predictable", "F0, F1, 8-d", "full", _cosine),
    ]


def _apart(seed: int) -> Sequence[Measured]:
    rows = []
    for process in (Directions(DIM), Magnitudes(DIM)):
        found = measured(process, seed, integrate=True)
        for name, unit, absolute in (
            ("direction_gain", "nats/frame", 0.05),
            ("magnitude_gain", "nats/frame", 0.03),
            ("direction_cosine", "1", 0.02),
            ("magnitude_r2", "1", 0.03),
        ):
            value, error = found[f"{name}_80ms"]
            rows.append(Measured(f"{process.name} {name}", unit, value, process.truth(name, k=1), absolute, error))
    return rows


def _alternating(seed: int) -> Sequence[Measured]:
    """Who is told the regime of every frame bounds every reader. The probe's one mode reads less than half of it."""
    process = Alternating(DIM)
    found = measured(process, seed, integrate=True)
    rows = []
    for name, metric in (
        ("polar_gain", "informed_gain"),
        ("direction_gain", "informed_direction_gain"),
        ("magnitude_gain", "informed_magnitude_gain"),
    ):
        value, error = found[f"{name}_80ms"]
        rows.append(Measured(f"F4c {name}", "nats/frame", value, process.truth(metric), 0.05, error, "at most"))
    return rows


def _cosine(seed: int) -> Sequence[Measured]:
    smooth, noise = VAR1.isotropic(0.8, DIM), Iid(DIM)
    found = measured(smooth, seed, integrate=False, null=True)
    rows = [("F1 direction_cosine", smooth, "direction_cosine_80ms"), ("F0 null", noise, "direction_cosine_null")]
    return [Measured(what, "1", found[c][0], p.truth("direction_cosine"), 0.02, found[c][1]) for what, p, c in rows]
