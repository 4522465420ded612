"""How smoothly a fit went: spikes of its loss, the tail of its gradients, what its last checkpoint lost.

Conventions: a history is in the order of steps; every measure is free of the loss's unit, so that fits of models with
other losses compare.
"""

from __future__ import annotations

import torch
from torch import Tensor

SIGMA = 1.4826
"""Standard deviations in a median absolute deviation of a Gaussian."""


def spikes(loss: Tensor, window: int, deviations: float) -> Tensor:
    """Which steps are spikes: r_i − m_i > k · 1.4826 · MAD_i.

    r are the `window` losses around step i less the line through the medians of the two halves of the window, m_i their
    median and MAD_i their median absolute deviation from it. Without the line a falling loss would widen the MAD and
    hide spikes; medians are not moved by spikes in less than half of a half. Of independent Gaussian losses 4 in
    100 000 pass k = 6 at a window of 31.

    Args:
        loss: (n,), n ≥ window.
        window: odd number of steps.
        deviations: k.

    Returns:
        (n − window + 1,) of the steps that have a whole window around them.

    Raises:
        ValueError: fewer losses than a window, or an even window.
    """
    if window % 2 == 0 or len(loss) < window:
        raise ValueError(f"spikes: expected an odd window and as many losses, got {window} and {len(loss)}")
    around, half = loss.double().unfold(0, window, 1), window // 2
    left, right = (part.quantile(0.5, dim=1, keepdim=True) for part in (around[:, :half], around[:, half + 1 :]))
    around = around - (right - left) / (half + 1) * torch.arange(-half, half + 1)
    centre = around.quantile(0.5, dim=1)
    spread = (around - centre[:, None]).abs().quantile(0.5, dim=1)
    return around[:, half] - centre > deviations * SIGMA * spread


def tail_ratio(norms: Tensor) -> float:
    """99th percentile over median of gradient norms (n,); infinite where the median is 0."""
    high, middle = torch.quantile(norms.double(), torch.tensor([0.99, 0.5], dtype=torch.float64))
    return float(high / middle) if middle > 0 else float("inf")


def rebound(valid: Tensor) -> float:
    """(last − best) / (worst − best) of validation losses (m,): 0 where the last is the best, 1 where the worst."""
    best, worst = float(valid.min()), float(valid.max())
    return (float(valid[-1]) - best) / (worst - best) if worst > best else 0.0
