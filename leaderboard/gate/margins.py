"""How large a worsening noise explains, and how large a one would be found.

A column has regressed when "worse by at most its margin" is rejected: t = (worsening − margin) / SE against Student's
t, and Holm over all columns that one check judges, so that the chance of any false alarm is at most FALSE_ALARMS.

    SE² = V + 2 s²

V is the bootstrap variance of the paired difference over utterances (n − 1 degrees of freedom). s² is the variance of
a value over seeds, from replicates (`leaderboard.gate.replicates`); twice, since both sides were drawn. It stands only
where something was fitted again. The degrees of freedom of the sum are Welch's and Satterthwaite's.

References:
    Satterthwaite 1946, "An approximate distribution of estimates of variance components"; Holm 1979.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import stdtr, stdtrit

from bench.config import ColumnCard
from bench.stats import Interval

FALSE_ALARMS = 0.02
"""The chance that a check of rows in which nothing got worse than tolerated finds any regression."""
POWER, SURE = 0.8, 0.95


@dataclass(frozen=True)
class Seeds:
    """Standard deviation of a column's value over seeds, and its degrees of freedom."""

    sd: float
    df: float


@dataclass(frozen=True)
class Error:
    """A standard error and its degrees of freedom."""

    value: float
    df: float


def error(change: Interval, seeds: Seeds | None) -> Error:
    """The standard error of a paired difference of at least two units; `seeds` in the same unit, or None.

    >>> from bench.stats import Interval
    >>> both = error(Interval(0.0, -1.0, 1.0, "utterances", 41, 3.0), Seeds(2.0 * 2**0.5, 4))
    >>> both.value, round(both.df, 2)  # 3² + 2 · 8 = 5²; 25² / (9² / 40 + 16² / 4)
    (5.0, 9.47)
    """
    if seeds is None or seeds.sd == 0.0:
        return Error(change.error, change.n - 1)
    total = math.hypot(change.error, math.sqrt(2.0) * seeds.sd)
    share = (change.error / total) ** 2
    return Error(total, 1.0 / (share**2 / (change.n - 1) + (1.0 - share) ** 2 / seeds.df))


def worsening(card: ColumnCard, value: float) -> float:
    """A change as `leaderboard.compare.difference` gives it, positive where it is for the worse."""
    return -value if card.better == "higher" else value


def p_beyond(amount: float, margin: float, noise: Error) -> float:
    """One-sided p of "at most `margin`", for an estimate `amount`; certain where there is no noise."""
    if noise.value == 0.0:
        return 0.0 if amount > margin else 1.0
    return float(stdtr(noise.df, (margin - amount) / noise.value))


def detectable(margin: float, noise: Error, judged: int, power: float = POWER) -> float:
    """The true worsening found with that power by the first and strictest step of Holm among `judged` columns:
    margin + (t_{1 − α/m} + t_power) · SE."""
    quantiles = stdtrit(noise.df, 1.0 - FALSE_ALARMS / judged) + stdtrit(noise.df, power)
    return margin + float(quantiles) * noise.value
