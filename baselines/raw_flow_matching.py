"""Raw autoregression with a flow-matching head: samples of p(x_t | x_<t) by integrating a learned velocity.

Straight paths x_t = (1 − t) ε + t u from noise to data; the head learns E[u − ε | x_t, t, features] and samples by
Euler's method in `steps` steps. It has no density.

References:
    Lipman et al. 2023 (flow matching, arXiv 2210.02747); Li et al. 2024 (MAR, arXiv 2406.11838).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from baselines.autoregressive import ARConfig, Autoregressive, Network
from baselines.heads import NoiseHead
from baselines.layers import AdaLNMLP, backbone, time_features
from bench.contract import CodecInfo

TIME_CHANNELS = 32


@dataclass(frozen=True)
class HeadConfig:
    """Sizes of the head, integration steps, and draws of (time, noise) a frame in training."""

    width: Annotated[int, Field(ge=1)] = 128
    layers: Annotated[int, Field(ge=1)] = 3
    steps: Annotated[int, Field(ge=1)] = 20
    multiplier: Annotated[int, Field(ge=1)] = 4


@dataclass(frozen=True)
class Config(ARConfig):
    head: HeadConfig = field(default_factory=HeadConfig)


class FlowMatching(NoiseHead):
    """Velocity field over u (..., D) under features (..., H)."""

    def __init__(self, features: int, dim: int, config: HeadConfig) -> None:
        super().__init__()
        self.dim, self.steps = dim, config.steps
        self.net = AdaLNMLP(dim, features + TIME_CHANNELS, config.width, config.layers)

    def velocity(self, u: Tensor, t: Tensor, features: Tensor) -> Tensor:
        """At times t (...) in [0, 1]."""
        return self.net(u, torch.cat([features, time_features(t, TIME_CHANNELS)], -1))

    def loss(self, features: Tensor, u: Tensor) -> Tensor:
        """Squared error of the velocity at a uniform time, summed over dimensions: (...)."""
        noise, t = torch.randn_like(u), torch.rand_like(u[..., 0])
        at = torch.lerp(noise, u, t.unsqueeze(-1))
        return (self.velocity(at, t, features) - (u - noise)).square().sum(-1)

    def draw(self, features: Tensor, noise: Tensor) -> Tensor:
        u = noise
        for step in range(self.steps):
            t = torch.full_like(u[..., 0], step / self.steps)
            u = u + self.velocity(u, t, features) / self.steps
        return u


class RawFlowMatching(Autoregressive):
    """Submission plug-in `raw_flow_matching`. The state it exposes is x itself."""

    plugin = "raw_flow_matching"
    configuration = Config

    def build(self, codec: CodecInfo) -> Network:
        config = self.config
        read = backbone(codec.dim, config.backbone)
        head = FlowMatching(read.width, codec.dim, config.head)
        return Network(codec.dim, read, head, config.backbone.dropout)

    def frame_loss(self, network: Network, features: Tensor, u: Tensor, step: int | None) -> Tensor:
        head, times = network.head, self.config.head.multiplier
        assert isinstance(head, FlowMatching)
        many = (times, *(-1 for _ in u.shape))
        return head.loss(features.expand(many), u.expand(many)).mean(0)
