"""How large a worsening noise explains, and how large a one would be found.

A column has regressed when "worse by at most its margin" is rejected at a level α that Holm shares out over all columns
which differ in one check, so that the chance of any false alarm is at most FALSE_ALARMS:

    worsening − margin > √(t_{n−1, 1−α}² V + t_{df, 1−α}² 2 s²)

V is the bootstrap variance of the paired difference over utterances. s² is the variance of a value over seeds, from
replicates (`leaderboard.gate.replicates`); twice, since both sides were drawn. It stands only where something was
fitted again. Each source brings its own Student's t (Banerjee): for Z normal and x > 0, P(Z ≤ √x) is concave in x, so
that a mixture of exact thresholds holds at least the level of its parts. Welch's and Satterthwaite's common degrees of
freedom do not: with one replicate they gave 4.9 % false alarms where 2 % were asked for.

References:
    Banerjee 1960, "Approximate confidence interval for linear functions of means of k populations when the population
    variances are not equal", Sankhyā 22; Holm 1979.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import stdtrit

from bench.config import ColumnCard
from bench.stats import Interval

FALSE_ALARMS = 0.02
"""The chance that a check of rows in which nothing got worse than tolerated finds any regression."""
POWER, SURE = 0.8, 0.95
SMALLEST = 1e-12
"""Below this a p is called 0."""
HALVINGS = 40
MATERIAL = 1e-3
"""Share of its margin by which a worsening must exceed it, whatever the noise: what arithmetic alone moves on another
machine is too little to be measured, and no card means its margin to four digits."""


@dataclass(frozen=True)
class Seeds:
    """Standard deviation of a column's value over seeds, and its degrees of freedom."""

    sd: float
    df: float


@dataclass(frozen=True)
class Error:
    """Two sources of error of a difference, each a standard error with its degrees of freedom; `seeds` may be 0."""

    sampling: float
    units: float
    seeds: float = 0.0
    df: float = 1.0

    @property
    def value(self) -> float:
        """The standard error of both."""
        return math.hypot(self.sampling, self.seeds)

    def beyond(self, share: float) -> float:
        """What noise alone exceeds with at most the probability `share`, which is below one half."""
        return math.hypot(
            -float(stdtrit(self.units, share)) * self.sampling, -float(stdtrit(self.df, share)) * self.seeds
        )


def error(change: Interval, seeds: Seeds | None) -> Error:
    """The error of a paired difference of at least two units; `seeds` in the same unit, or None."""
    if seeds is None or seeds.sd == 0.0:
        return Error(change.error, change.n - 1)
    return Error(change.error, change.n - 1, math.sqrt(2.0) * seeds.sd, seeds.df)


def worsening(card: ColumnCard, value: float) -> float:
    """A change as `leaderboard.compare.difference` gives it, positive where it is for the worse."""
    return -value if card.better == "higher" else value


def p_beyond(amount: float, margin: float, noise: Error) -> float:
    """One-sided p of "at most `margin`", for an estimate `amount`: the least share whose threshold it exceeds.

    Certain where there is no noise; 1 where the estimate itself is within the margin.
    """
    excess = amount - margin
    if excess <= MATERIAL * abs(margin) or noise.value == 0.0:
        return 1.0 if excess <= MATERIAL * abs(margin) else 0.0
    low, high = math.log(SMALLEST), math.log(0.5)
    if noise.beyond(SMALLEST) <= excess:
        return 0.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if noise.beyond(math.exp(middle)) <= excess else (middle, high)
    return math.exp(high)


def detectable(margin: float, noise: Error, judged: int, power: float = POWER) -> float:
    """The true worsening that is found with about that power by the first and strictest step of Holm among `judged`
    columns: the margin, what noise may exceed with α/m, and what it may hide with 1 − power."""
    least = max(noise.beyond(FALSE_ALARMS / judged), MATERIAL * abs(margin))
    return margin + least + noise.beyond(1.0 - power)
