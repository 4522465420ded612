"""What may go wrong with an RSSM's state and no task calls by name: it stands still, or has dead dimensions.

A collapsed, unpaid or ignored latent is called so by the task `innovation_rate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bench.metrics.drift import movement

if TYPE_CHECKING:
    from baselines.rssm import RSSM

PROMPT, AHEAD = 8, 16
"""Frames of the prompt, and of what is rolled out."""
STILL, DEAD = 0.1, 0.01
"""Least ratio of movement; least standard deviation over frames of a dimension that lives."""


@torch.no_grad()
def movement_ratio(submission: RSSM, x: Tensor, generator: torch.Generator, mean: bool = False) -> Tensor:
    """How far z_dyn moves in rollouts against in what was said, ‖Δẑ‖ / ‖Δz‖: 1 as it should, 0 stands still.

    Args:
        x: latents (B, PROMPT + AHEAD, D).
        mean: roll out means, which of a noisy process move less than it.

    Returns:
        Of every utterance, (B,).
    """
    network, prompt = submission.network, x[:, :PROMPT]
    rolled = submission.rollout(prompt, AHEAD, 1, generator, mean)[:, 0]
    pair = (torch.cat([prompt, rolled], 1), x)
    # states without their own noise, which would move in any case
    model, real = (movement(network.states(network.white(y)).mean[:, PROMPT:]) for y in pair)
    return model / real.mean().clamp(min=1e-9)


@torch.no_grad()
def alarms(submission: RSSM, x: Tensor, generator: torch.Generator) -> list[str]:
    """What is wrong, by name and with its number; x is (B, PROMPT + AHEAD, D)."""
    out = []
    for mean in (False, True):
        ratio = float(movement_ratio(submission, x, generator, mean).mean())
        if ratio < STILL:
            out.append(f"state stands still ({'mean' if mean else 'sampled'} rollouts move {ratio:.2f} of the truth)")
    states = submission.network.states(submission.network.white(x)).mean.flatten(0, 1)
    if dead := int((states.std(0) < DEAD).sum()):
        out.append(f"dead state dimensions ({dead} of {states.shape[1]})")
    return out
