"""Rate at matched distortion, and the Gaussian rate–distortion function by reverse water-filling.

Conventions: rates in nats per frame; distortions positive, lower is closer. A rate of symbols (a pmf) and a KL
between densities are not the same quantity: bits that are emitted against bits that an ideal coder with shared
randomness would need. They share an axis for the eye; ranking them together takes a declared conversion.

References:
    Cover and Thomas 2006, "Elements of Information Theory", section 10.3; Berger 1971, "Rate Distortion Theory",
    chapter 4 (stationary Gaussian sources); Li and El Gamal 2018 (arXiv 1701.02827), for the cost of a KL in
    emitted bits: KL + log2(KL + 1) + 4 at most for each block that is coded as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

Support = Literal["pmf", "density"]
MIN_BUDGETS = 4
"""Fewer points of a curve say too little about its course between them."""


@dataclass(frozen=True)
class Matched:
    """The rate at which a curve reaches a distortion.

    `values` (n,) are the utterances' linearised contributions: their weighted mean is `rate`, and their spread
    its sampling error to first order (the delta method). `slope` is d rate / d target, below zero.
    """

    rate: float
    values: np.ndarray
    slope: float


@dataclass(frozen=True)
class NotReached:
    """Why there is no rate at the target."""

    reason: str


def rate_at(rates: np.ndarray, distortions: np.ndarray, weights: np.ndarray, target: float) -> Matched | NotReached:
    """Where the mean curve over utterances first reaches `target`, linear in the logarithm of the distortion.

    In that coordinate a Gaussian source at high resolution has a straight curve. Between two budgets the curve
    is monotone, and nothing is extrapolated.

    Args:
        rates: (n, Q), nats per frame, of n utterances at Q budgets.
        distortions: (n, Q), positive.
        weights: (n,), not all zero.
        target: positive.
    """
    if rates.shape[1] < MIN_BUDGETS:
        return NotReached(f"not reached: {_count(rates.shape[1])}, target not bracketed")
    rate, distortion = (np.average(part, axis=0, weights=weights) for part in (rates, distortions))
    order = np.argsort(rate, kind="stable")
    rates, distortions, rate, distortion = rates[:, order], distortions[:, order], rate[order], distortion[order]
    reached = distortion <= target
    if reached[0] or not reached.any():
        span = f"{distortion.min():.4g} … {distortion.max():.4g}"
        return NotReached(f"not reached: target {target:.4g} is not bracketed by {span}")
    after = int(np.argmax(reached))
    before = after - 1
    length = float(np.log(distortion[before] / distortion[after]))
    part = float(np.log(distortion[before] / target)) / length
    step = rate[after] - rate[before]
    values = (1 - part) * rates[:, before] + part * rates[:, after]
    values = values + step / length * (1 - part) * (distortions[:, before] / distortion[before] - 1)
    values = values + step / length * part * (distortions[:, after] / distortion[after] - 1)
    return Matched(float(rate[before] + part * step), values, float(-step / (length * target)))


def _count(budgets: int) -> str:
    return "one budget" if budgets == 1 else f"{budgets} budgets of the {MIN_BUDGETS} needed"


def same_support(supports: Iterable[Support], conversion: str | None = None) -> None:
    """Refuse to rank a density against a pmf.

    Args:
        supports: of the rates to be ranked together.
        conversion: how one was turned into the other, where it was.

    Raises:
        ValueError: they differ and no conversion is declared.
    """
    found = sorted(set(supports))
    if len(found) > 1 and not conversion:
        raise ValueError(f"rates over a {' and a '.join(found)} are ranked together only with a declared conversion")


def gaussian_rate(spectrum: np.ndarray, distortion: float) -> float:
    """R(D) of a Gaussian source under squared error, nats per frame.

    R = Σ_d mean_ω ½ ln max(1, λ_d(ω) / θ), with the water level θ such that the mean over d and ω of
    min(λ_d(ω), θ) is D. For a Gaussian source it is exact; for another of the same spectrum, an upper bound.

    Args:
        spectrum: (W, D) eigenvalues of the spectral density on an even grid of W frequencies, scaled so that
            their mean over ω sums to the variance; one row of covariance eigenvalues for a memoryless source.
        distortion: mean squared error per dimension, positive.

    Raises:
        ValueError: a distortion that is not positive, or a negative eigenvalue.

    >>> round(gaussian_rate(np.array([[1.0, 1.0]]), 0.25), 6)
    1.386294
    """
    if distortion <= 0 or spectrum.ndim != 2 or (spectrum < 0).any():
        raise ValueError(
            f"gaussian_rate: expected eigenvalues (W, D) ≥ 0 and D > 0, got {spectrum.shape}, {distortion}"
        )
    if distortion >= spectrum.mean():
        return 0.0
    level = _water_level(np.sort(spectrum, axis=None), distortion)
    return float(0.5 * np.log(np.maximum(spectrum / level, 1.0)).sum(1).mean())


def _water_level(values: np.ndarray, distortion: float) -> float:
    """θ with mean(min(values, θ)) = distortion; `values` ascending, with a mean above `distortion`."""
    count = len(values)
    below = np.concatenate([[0.0], np.cumsum(values)[:-1]])
    # with θ between values[i − 1] and values[i]: below[i] + (count − i) θ = count · distortion
    levels = (count * distortion - below) / (count - np.arange(count))
    return float(levels[np.argmax(levels <= values)])
