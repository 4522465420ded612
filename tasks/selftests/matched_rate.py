"""The rate at a matched distortion, of optimal channels at five budgets, against the rate–distortion function."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.calibration.check import Check, Measured, aggregated
from bench.calibration.lab import LabCodec, LabContext
from bench.calibration.process import splits
from bench.calibration.state_space import StateSpace
from bench.calibration.var1 import VAR1
from bench.metrics.rate_distortion import gaussian_rate
from tasks.matched_rate import MatchedRate
from tasks.selftests.innovation_rate import OptimalChannel

FRAMES = 50
LEVELS = (0.3, 0.15, 0.08, 0.04, 0.02)
TARGET = 0.06
"""Water levels of the budgets, and between two of them the one that is asked for."""


class Budgets(OptimalChannel):
    """One channel at all levels."""

    def __init__(self, process: VAR1 | StateSpace) -> None:
        super().__init__(process, TARGET)
        self.process = process

    def budgets(self) -> list[OptimalChannel]:
        return [OptimalChannel(self.process, level) for level in LEVELS]


def checks() -> list[Check]:
    def on(process: VAR1 | StateSpace, where: str) -> Check:
        return Check(f"matched_rate: innovation, {process.name}", where, "fast", lambda seed: _matched(process, seed))

    return [
        on(VAR1.isotropic(0.8, 4), "F1, a = 0.8, 4-d"),
        on(StateSpace.example(), "F5, 3-d state in 8-d"),
        Check("matched_rate: reverse water-filling", "spectra of F1", "fast", _water, (0,)),
    ]


def _matched(process: VAR1 | StateSpace, seed: int) -> Sequence[Measured]:
    data = splits(process, train=5000, valid=1, test=30, frames=FRAMES, seed=seed)
    truth = OptimalChannel(process, TARGET).truth(FRAMES)
    settings = {"target_mse": truth.posterior_mse, "minutes": 100.0}
    context = LabContext(MatchedRate.card, data, LabCodec(process.dim), settings, seed)
    found = aggregated(MatchedRate().score(Budgets(process), context), data["test"])  # type: ignore[arg-type]
    rows = [
        Measured(name, "nats/frame", found[column][0], truth.rate, 0.02 * truth.rate, found[column][1])
        for name, column in (("rate at the target", "rate_mse"), ("rate at its own budget", "point_rate"))
    ]
    for level, row in zip(LEVELS, context.notes["own_curve"], strict=True):
        expected = OptimalChannel(process, level).truth(FRAMES)
        rows.append(
            Measured(f"rate at level {level:g}", "nats/frame", row["rate"], expected.rate, 0.03 * expected.rate)
        )
        error = 0.05 * expected.posterior_mse
        rows.append(Measured(f"error at level {level:g}", "var", row["mse"], expected.posterior_mse, error))
    return rows


def _water(seed: int) -> Sequence[Measured]:
    """½ ln (1 − a²) / D below the least value of the spectrum, (1 − a) / (1 + a)."""
    del seed
    omega = 2 * np.pi * (np.arange(4096) + 0.5) / 4096
    rows = []
    for a in (0.0, 0.5, 0.9):
        distortion = 0.5 * (1 - a) / (1 + a)
        spectrum = (1 - a * a) / (1 - 2 * a * np.cos(omega) + a * a)
        truth = 0.5 * float(np.log((1 - a * a) / distortion))
        rows.append(Measured(f"R(D), a = {a}", "nats/frame", gaussian_rate(spectrum[:, None], distortion), truth, 1e-6))
    return rows
