"""Speech by CALM: a transformer over frames, text and voice, and a head that draws a frame in one step.

As `calm` without a short context, which the paper has for music alone: early stop is by the energy score of draws.

References:
    Rouard et al. 2025 (CALM, arXiv 2509.06926).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from baselines.autoregressive import Network
from baselines.calm import VALIDATION_DRAWS
from baselines.consistency import ConsistencyHead, HeadConfig, head
from baselines.speaking import Speaking, SpeechConfig
from bench.errors import CardError
from bench.metrics.energy import energy_score
from bench.seeding import generator as seeded


@dataclass(frozen=True)
class Config(SpeechConfig):
    head: HeadConfig = field(default_factory=HeadConfig)


class CALMText(Speaking):
    """Submission plug-in `calm_text`."""

    plugin = "calm_text"
    configuration = Config

    def validate(self) -> None:
        super().validate()
        if problem := self.config.head.problem():
            raise CardError(f"calm_text: parameter head.{problem}")

    def head(self, features: int, dim: int) -> ConsistencyHead:
        return head(features, dim, self.config.head)

    def frame_loss(self, network: Network, features: Tensor, u: Tensor, step: int | None) -> Tensor:
        own = network.head
        assert isinstance(own, ConsistencyHead)
        if step is not None:
            return own.loss(features, u, step)
        generator = seeded(0, "held out")
        draws = torch.stack([own.sample(features, generator) for _ in range(VALIDATION_DRAWS)], -2)
        return energy_score(draws, u)
