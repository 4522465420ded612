"""Variances from few replicates, each steadied by all columns of its suite.

Two replicates leave a column two degrees of freedom, and Student's t then asks for twenty-fold evidence. Columns differ
in unit, but hardly in what a seed adds to the sampling error. So for column c with d_c degrees of freedom let

    x_c = 2 s_c² / b_c²,   x_c | φ_c ~ φ_c χ²(d_c) / d_c,   1 / φ_c ~ χ²(d_0) / (d_0 φ_0),

with b_c the bootstrap error of the paired differences that s_c came from. Given x_c, φ_c is as if measured to be
(d_0 φ_0 + d_c x_c) / (d_0 + d_c) with d_0 + d_c degrees of freedom. φ_0 and d_0 come from the mean and variance of
ln x_c over columns: the more columns differ beyond chance, the smaller d_0, and the less one borrows from another.

References:
    Smyth 2004, "Linear models and empirical Bayes methods for assessing differential expression", section 6.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

ALIKE = 200.0
"""Degrees of freedom of a prior from which on columns count as all alike."""
FEWEST = 6
"""Columns that a prior needs."""
MOST = 4.0
"""Degrees of freedom that a prior may be worth. Twenty columns that move together often look more alike than they are:
with a limit of 20 the simulated check cried wolf twice as often as it may (docs/design/0006-regression-gate.md)."""


@dataclass(frozen=True)
class Prior:
    """What all columns say of one: `ratio` is φ_0, `df` is d_0; 0 where they say nothing."""

    ratio: float
    df: float


NOTHING = Prior(0.0, 0.0)


def prior(ratios: Sequence[float], dfs: Sequence[float], most: float = MOST) -> Prior:
    """The prior of positive ratios with their degrees of freedom, worth `most` at most.

    >>> prior([1.0, 1.0], [2, 2])
    Prior(ratio=0.0, df=0.0)
    """
    if len(ratios) < FEWEST:
        return NOTHING
    half = np.asarray(dfs, dtype=np.float64) / 2
    e = np.log(np.asarray(ratios, dtype=np.float64)) - digamma(half) + np.log(half)
    excess = float(e.var(ddof=1) - polygamma(1, half).mean())
    half_df = ALIKE / 2
    if excess > polygamma(1, half_df):
        half_df = float(brentq(lambda y: float(polygamma(1, y)) - excess, 1e-3, half_df))
    ratio = math.exp(float(e.mean() + digamma(half_df) - np.log(half_df)))
    return Prior(ratio, min(2 * half_df, most))


def moderated(ratio: float, df: float, of: Prior) -> tuple[float, float]:
    """A column's ratio and degrees of freedom, steadied.

    >>> moderated(4.0, 2, Prior(1.0, 4.0))
    (2.0, 6.0)
    """
    return (of.df * of.ratio + df * ratio) / (of.df + df), of.df + df
