"""Many comparisons at once, and the smallest difference that these utterances would show.

References:
    Holm 1979, "A simple sequentially rejective multiple test procedure".
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from scipy.special import stdtr

from bench.stats import LEVEL, Interval, student

POWER = 0.8


def p_value(change: Interval) -> float:
    """Two-sided p of a difference: Student's t of the value over its standard error; 1 where n < 2.

    A difference that is the same in every unit has no error; it is certain unless it is 0.
    """
    if change.n < 2 or change.value == 0.0:
        return 1.0
    if change.error == 0.0:
        return 0.0
    return float(2 * stdtr(change.n - 1, -abs(change.value) / change.error))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """p adjusted for the number of comparisons: those below α hold together with probability 1 − α.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'c': 0.06, 'b': 0.06}
    """
    adjusted, so_far = {}, 0.0
    for rank, name in enumerate(sorted(p, key=lambda n: p[n])):
        so_far = max(so_far, min(1.0, (len(p) - rank) * p[name]))
        adjusted[name] = so_far
    return adjusted


def detectable(change: Interval) -> float:
    """The smallest true difference that would be told from 0 in 80 % of such samples: (t_.975 + t_.8) · SE.

    Student's quantiles; with many units 1.96 + 0.84. Infinite where n < 2.
    """
    if change.n < 2:
        return math.inf
    return (student(change.n, (1 + LEVEL) / 2) + student(change.n, POWER)) * change.error
