"""The energy score: a proper score of a sampler, for models with and without a density.

Lower is better; its unit is the unit of x. Skill is 1 − ES(model) / ES(reference): 1 is perfect, 0 is as
good as the reference.

References:
    Gneiting and Raftery 2007, "Strictly proper scoring rules, prediction, and estimation", JASA 102.
"""

from __future__ import annotations

import torch
from torch import Tensor


def energy_score(draws: Tensor, truth: Tensor) -> Tensor:
    """E‖X − x‖ − ½ E‖X − X'‖, unbiased in the number of draws.

    Args:
        draws: (..., S, D), S ≥ 2 independent draws.
        truth: (..., D).

    Returns:
        (...).
    """
    count = draws.shape[-2]
    if count < 2:
        raise ValueError(f"energy_score: expected at least 2 draws, got {count}")
    near = (draws - truth.unsqueeze(-2)).norm(dim=-1).mean(-1)
    pairs = torch.cdist(draws, draws, compute_mode="donot_use_mm_for_euclid_dist").sum((-1, -2))
    return near - 0.5 * pairs / (count * (count - 1))
