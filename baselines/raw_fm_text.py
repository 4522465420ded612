"""Speech by flow matching: a transformer over frames, text and voice, and a head that integrates a velocity.

References:
    Lipman et al. 2023 (flow matching, arXiv 2210.02747); Li et al. 2024 (MAR, arXiv 2406.11838).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from baselines.autoregressive import Network
from baselines.raw_flow_matching import FlowMatching, HeadConfig
from baselines.speaking import Speaking, SpeechConfig


@dataclass(frozen=True)
class Config(SpeechConfig):
    head: HeadConfig = field(default_factory=HeadConfig)


class RawFMText(Speaking):
    """Submission plug-in `raw_fm_text`."""

    plugin = "raw_fm_text"
    configuration = Config

    def head(self, features: int, dim: int) -> FlowMatching:
        return FlowMatching(features, dim, self.config.head)

    def frame_loss(self, network: Network, features: Tensor, u: Tensor, step: int | None) -> Tensor:
        head, times = network.head, self.config.head.multiplier
        assert isinstance(head, FlowMatching)
        many = (times, *(-1 for _ in u.shape))
        return head.loss(features.expand(many), u.expand(many)).mean(0)
