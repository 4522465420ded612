"""What families share that predict frame t from a backbone over x_<t by a head, and feed back what they draw."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from baselines.family import Family
from baselines.heads import Density, Head
from baselines.layers import Backbone, BackboneConfig, State, masked_mean, repeated
from baselines.training import TrainConfig
from bench.contract import Source
from bench.errors import CardError
from bench.metrics.mixture import Whitening


@dataclass(frozen=True)
class ARConfig:
    """What every such family has.

    `noise` is the standard deviation, in whitened units, added to inputs in training; `seed_offset` other than 0 makes
    a replicate under another seed, which shows the noise of seeds beside the row it repeats; `temperature` is that of
    sampling.
    """

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    noise: Annotated[float, Field(ge=0)] = 0.1
    temperature: Annotated[float, Field(ge=0)] = 1.0
    seed_offset: int = 0
    fit: TrainConfig = field(default_factory=TrainConfig)


class Network(nn.Module):
    """Whitening, backbone over x_<t, and head."""

    def __init__(self, dim: int, backbone: Backbone, head: Head, dropout: float) -> None:
        super().__init__()
        self.white = Whitening(dim)
        self.backbone, self.head = backbone, head
        self.trunk = nn.Sequential(nn.Linear(backbone.width, backbone.width), nn.SiLU(), nn.Dropout(dropout))

    def features(self, u: Tensor) -> Tensor:
        """What the head reads at every frame, from u_<t: (B, T, H)."""
        return self.trunk(self.backbone.shifted(u))


class Autoregressive(Family[Network]):
    """A submission whose state is x itself. A subclass builds the network and says what the head's loss is."""

    def validate(self) -> None:
        if problem := self.config.backbone.problem():
            raise CardError(f"{self.plugin}: parameter backbone.{problem}")

    def prepare(self, network: Network, frames: Tensor) -> None:
        network.white.set_from(frames)

    def loss(self, network: Network, parts: list[Tensor], mask: Tensor, step: int) -> Tensor:
        u = network.white(parts[0])
        noisy = u + self.config.noise * torch.randn_like(u)
        return masked_mean(self.frame_loss(network, network.features(noisy), u, step), mask)

    def held_out(self, network: Network, parts: list[Tensor], mask: Tensor) -> Tensor:
        u = network.white(parts[0])
        return self.frame_loss(network, network.features(u), u, None)

    def frame_loss(self, network: Network, features: Tensor, u: Tensor, step: int | None) -> Tensor:
        """Loss of the head at every frame (B, T); `step` is None in validation."""
        del step
        assert isinstance(network.head, Density)
        return -network.head.log_prob(features, u)

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """x itself: (B, T, D)."""
        del generator
        return x

    @torch.no_grad()
    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        """Ancestral sampling: (B, T, D) → (B, S, frames, D)."""
        network = self.network
        features, state = network.backbone.read(network.white(prompt))
        last = features[:, -1].repeat_interleave(draws, dim=0)
        out = self._continue(last, repeated(state, draws), frames, generator, mean)
        return network.white.invert(out).unflatten(0, (len(prompt), draws))

    @torch.no_grad()
    def generate(self, frames: int, draws: int, generator: torch.Generator) -> Tensor:
        """From the start: (S, frames, D)."""
        network = self.network
        features, state = network.backbone.start(draws)
        return network.white.invert(self._continue(features, state, frames, generator, False))

    @torch.no_grad()
    def reconstruct(self, x: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        """Posterior: x. Prior: a sample of p(x_t | x_<t) at every frame."""
        if source == "posterior":
            return x
        network = self.network
        features = network.features(network.white(x))
        return network.white.invert(network.head.sample(features, generator, self.config.temperature))

    def _continue(self, features: Tensor, state: State, frames: int, generator: torch.Generator, mean: bool) -> Tensor:
        network, out = self.network, []
        for _ in range(frames):
            read = network.trunk(features)
            head = network.head
            u = head.mean(read) if mean else head.sample(read, generator, self.config.temperature)
            out.append(u)
            features, state = network.backbone.step(u, state)
        return torch.stack(out, dim=1)


class WithDensity(Autoregressive):
    """The same, with an exact density over x."""

    likelihood: Any = "exact"

    @torch.no_grad()
    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        """Exact: (B, T, D) twice → (B, T), nats."""
        del generator
        network = self.network
        assert isinstance(network.head, Density)
        density = network.head.log_prob(network.features(network.white(context)), network.white(target))
        return density + network.white.log_det()
