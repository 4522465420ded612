"""A self-test's parts: a check runs an estimator on a process, and each of its rows holds measured against true.

Tolerance is max(3 standard errors, a stated absolute one). The truth is for the verdict alone: no estimator
may see it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.contract import LatentUtterance, Score, Skipped
from bench.stats import interval

Preset = Literal["fast", "full"]
SEEDS = (0, 1)
"""Every check is run at two seeds."""
STANDARD_ERRORS = 3.0


@dataclass(frozen=True)
class Measured:
    """One number against its truth.

    Attributes:
        what: the quantity, with its horizon or setting.
        unit: "nats/frame", "1", "dB", …
        error: standard error of `measured`; 0 where the estimate is deterministic.
        absolute: the stated absolute tolerance.
        side: "both"; "at most" where only an excess over `truth` is wrong, "at least" where only a lack is.
    """

    what: str
    unit: str
    measured: float
    truth: float
    absolute: float
    error: float = 0.0
    side: Literal["both", "at most", "at least"] = "both"

    @property
    def tolerance(self) -> float:
        return max(STANDARD_ERRORS * self.error, self.absolute)

    @property
    def passed(self) -> bool:
        """Whether `measured` is within the tolerance; a number that is not finite never is."""
        away = self.measured - self.truth
        if not math.isfinite(away):
            return False
        if self.side == "at most":
            return away <= self.tolerance
        if self.side == "at least":
            return away >= -self.tolerance
        return abs(away) <= self.tolerance


@dataclass(frozen=True)
class Check:
    """One estimator on one process.

    Attributes:
        name: "<task or plug-in>: <estimator>", unique among all checks.
        process: the calibration process, or the source of the known answer.
        preset: "fast" checks run under both presets, "full" ones under `full` alone.
        run: seed → rows, the same `what` in the same order at every seed.
        seeds: the seeds it is run at; one where nothing is random.
    """

    name: str
    process: str
    preset: Preset
    run: Callable[[int], Sequence[Measured]]
    seeds: tuple[int, ...] = SEEDS


def aggregated(
    scores: Sequence[Score | Skipped], utterances: Sequence[LatentUtterance]
) -> Mapping[str, tuple[float, float]]:
    """Column → (aggregate, standard error) of a task's scores, as a table computes them.

    The standard error is the bootstrap's; sequences of a process are independent, so each counts as a cluster of
    its own.
    """
    own = {u.id: u.id for u in utterances}
    out = {}
    for score in scores:
        if isinstance(score, Score) and score.values:
            found = interval(score.values, own, score.weights)
            out[score.column] = (found.value, found.error)
    return out
