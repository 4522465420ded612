"""How rollouts drift: where a curve over the horizon falls to zero, how far paths move, and how they collapse.

Conventions: paths are (..., K, D), standardised by the training mean and standard deviation of each dimension;
`k` counts frames from 1. A detector fires on at most a stated share of real windows by construction: its threshold
is that quantile of its own statistic over real windows of the same length, or a fixed amount where that is
stricter. A sampler that is the process itself sets it off as seldom; what is above is collapse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

COLLAPSES = ("still", "cyclic", "exploding")
STILL = 0.1
"""Of the median variance of real windows: a path that varies more does not stand still, however rare that is."""
CYCLIC = 0.1
"""Of the squared distance on the way: a path that comes back no nearer repeats nothing."""
EXPLODING = 4.0
"""Times the median excursion of real windows: twice as far out as usual."""


@dataclass(frozen=True)
class Crossing:
    """Where the mean of several curves falls to zero.

    `position` is in frames, linear between the last positive frame and the next; 0 where none is positive.
    `values` (n,) are the curves' linearised contributions to it: their weighted mean is `position`, and their
    spread is its sampling error to first order (the delta method).
    """

    position: float
    values: np.ndarray


def crossing(curves: np.ndarray, weights: np.ndarray) -> Crossing | None:
    """The crossing of Σ w c / Σ w, a curve that falls in expectation but is measured with noise.

    The last positive frame is the one at which its running sum is largest: where the least-squares falling fit
    of the curve changes sign, and the plain crossing of a falling curve (Barlow et al. 1972, section 1.2).

    Args:
        curves: (n, K), at k = 1 … K.
        weights: (n,), not all zero.

    Returns:
        None where the fit is positive up to K.
    """
    pooled = np.average(curves, axis=0, weights=weights)
    last = int(np.argmax(np.concatenate([[0.0], np.cumsum(pooled)])))
    if last == curves.shape[1]:
        return None
    if last == 0:
        return Crossing(0.0, np.zeros(len(curves)))
    before, after = pooled[last - 1], pooled[last]
    part = before / (before - after)
    at_crossing = (1 - part) * curves[:, last - 1] + part * curves[:, last]
    position = last + part
    return Crossing(float(position), position + at_crossing / (before - after))


def movement(path: Tensor) -> Tensor:
    """Mean step length of paths (..., K, D) → (...)."""
    return path.diff(dim=-2).norm(dim=-1).mean(-1)


def stillness(path: Tensor) -> Tensor:
    """Variance over time in the second half of a path, mean over dimensions: (..., K, D) → (...)."""
    half = path[..., path.shape[-2] // 2 :, :]
    return half.var(-2, correction=0).mean(-1)


def recurrence(path: Tensor) -> Tensor:
    """How nearly a path comes back: (..., K, D) → (...), 0 for a cycle of 2 … K // 2 frames.

    With r_p the mean squared distance at lag p: the least r_p, p ≥ 2, over the largest r at a smaller lag. About
    1 for noise and above for slow movement; 1 for a path that never moves.
    """
    lags = range(1, path.shape[-2] // 2 + 1)
    apart = torch.stack([(path[..., p:, :] - path[..., :-p, :]).square().sum(-1).mean(-1) for p in lags], -1)
    before = apart.cummax(-1).values[..., :-1]
    ratio = torch.where(before > 0, apart[..., 1:] / before.clamp(min=torch.finfo(before.dtype).tiny), 1.0)
    return ratio.amin(-1)


def excursion(path: Tensor) -> Tensor:
    """Largest mean square of a frame, 1 for a typical one: (..., K, D) → (...)."""
    return path.square().mean(-1).amax(-1)


class Collapse:
    """Detectors of collapsed paths, set on real ones.

    Args:
        real: (n, K, D) real windows.
        false_alarms: largest share of real windows that sets off each detector.

    Raises:
        ValueError: no windows, fewer than 4 frames, or a share outside (0, 0.5).
    """

    def __init__(self, real: Tensor, false_alarms: float) -> None:
        if len(real) == 0 or real.shape[-2] < 4 or not 0 < false_alarms < 0.5:
            raise ValueError(
                f"collapse: windows (n > 0, K ≥ 4, D), 0 < share < 0.5; got {tuple(real.shape)}, {false_alarms}"
            )
        still, cyclic, far = (f(real).double().numpy() for f in (stillness, recurrence, excursion))
        self.still = min(float(np.quantile(still, false_alarms)), STILL * float(np.median(still)))
        self.cyclic = min(float(np.quantile(cyclic, false_alarms)), CYCLIC)
        self.exploding = max(float(np.quantile(far, 1 - false_alarms)), EXPLODING * float(np.median(far)))

    def flags(self, path: Tensor) -> Tensor:
        """Which of `COLLAPSES` each path shows: (..., K, D) → (..., 3), bool.

        A path at a threshold counts, so that one without any movement is always still.
        """
        return torch.stack(
            [
                stillness(path).double() <= self.still,
                recurrence(path).double() <= self.cyclic,
                excursion(path).double() >= self.exploding,
            ],
            -1,
        )


class Reference:
    """The energy score of one fixed sample, against any number of truths.

    Args:
        sample: (M, D), M ≥ 2 draws.
    """

    def __init__(self, sample: Tensor) -> None:
        self.sample = sample
        count = len(sample)
        self.half_spread = torch.pdist(sample).sum() / (count * (count - 1))

    def energy(self, truth: Tensor) -> Tensor:
        """E‖X − x‖ − ½ E‖X − X'‖: (..., D) → (...)."""
        flat = truth.reshape(-1, truth.shape[-1])
        near = torch.cdist(flat, self.sample, compute_mode="donot_use_mm_for_euclid_dist").mean(-1)
        return near.reshape(truth.shape[:-1]) - self.half_spread


def windows(x: Tensor, frames: int, every: int) -> Tensor:
    """Windows of one sequence (T, D) → (n, frames, D); none where it is too short."""
    if len(x) < frames:
        return x.new_zeros(0, frames, x.shape[1])
    return x.unfold(0, frames, every).transpose(1, 2)
