"""CALM: autoregression over continuous latents with a head that draws a frame in one step; it has no density.

Frame s is drawn given Z^s = T_long(x̃_<s) + T_short(x_{s−K} … x_{s−1}): a long context, whose frames are noisy in
training, x̃ = √k · ε + √(1 − k) · x with k ~ U(0, 1) for every frame, so that a rollout does not trust its own past
too far, and the last K clean ones, so that the detail is not lost. As in the paper, both switches are off for speech
(`noise_injection = false`, `short_context = 0`) and on for music (`true`, and 0.4 s: 10 frames at 25 Hz, 5 at 12.5).
At inference nothing is noisy.

The heads' losses are of no common unit, and weights that are learned move them: early stop and `valid_loss` are by
the energy score of a few draws with the same noises at every evaluation, in whitened units, which is proper, finite,
and the same question for every head.

References:
    Rouard et al. 2025 (CALM, arXiv 2509.06926); Pasini et al. 2024 (noise on the context, arXiv 2411.18447).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from baselines.autoregressive import ARConfig, Autoregressive, Network
from baselines.consistency import ConsistencyHead, HeadConfig, head
from baselines.layers import Backbone, BackboneConfig, State, Transformer, backbone
from bench.contract import CodecInfo
from bench.errors import CardError
from bench.metrics.energy import energy_score
from bench.seeding import generator as seeded

VALIDATION_DRAWS = 8


@dataclass(frozen=True)
class Config(ARConfig):
    """`short_context` is K, 0 for none; `short` the sizes of its transformer. In training `noise` is added to what the
    long context reads, after noise injection."""

    noise: Annotated[float, Field(ge=0)] = 0.0
    noise_injection: bool = False
    short_context: Annotated[int, Field(ge=0)] = 0
    short: BackboneConfig = field(default_factory=lambda: BackboneConfig(kind="transformer", width=64))
    head: HeadConfig = field(default_factory=HeadConfig)


class LongShort(Backbone):
    """The sum of a long context and, where there is one, of the last K inputs.

    The layers of the short one together reach K inputs back and no further.
    """

    def __init__(self, inputs: int, long: BackboneConfig, short: BackboneConfig, frames: int) -> None:
        super().__init__()
        self.long, self.width = backbone(inputs, long), long.width
        self.short: Transformer | None = None
        if frames:
            self.short = Transformer(inputs, short)
            self.short.contexts = reaches(frames, short.layers)
            self.join = nn.Identity() if short.width == long.width else nn.Linear(short.width, long.width)

    def start(self, batch: int) -> tuple[Tensor, State]:
        features, state = self.long.start(batch)
        if self.short is None:
            return features, state
        other, recent = self.short.start(batch)
        return features + self.join(other), (*recent, *state)

    def read(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        if self.short is None:
            return self.long.read(inputs, state)
        cut = 1 + 2 * len(self.short.blocks)
        recent, state = (None, None) if state is None else (state[:cut], state[cut:])
        features, state = self.long.read(inputs, state)
        other, recent = self.short.read(inputs, recent)
        return features + self.join(other), (*recent, *state)

    def shifted(self, inputs: Tensor, noisy: Tensor | None = None) -> Tensor:
        """Features (B, T, W) before each input; the long context reads `noisy` (B, T, C) where it is given."""
        features = self.long.shifted(inputs if noisy is None else noisy)
        return features if self.short is None else features + self.join(self.short.shifted(inputs))


def reaches(frames: int, layers: int) -> list[int]:
    """Attention contexts of layers that together reach `frames` inputs back: Σ (context − 1) = frames − 1.

    >>> reaches(10, 4)
    [4, 3, 3, 3]
    """
    each, over = divmod(frames - 1, layers)
    return [1 + each + (layer < over) for layer in range(layers)]


def injected(u: Tensor) -> Tensor:
    """√k · ε + √(1 − k) · u, k ~ U(0, 1) for every frame of u (B, T, D); unit variance stays."""
    k = torch.rand_like(u[..., :1])
    return k.sqrt() * torch.randn_like(u) + (1 - k).sqrt() * u


class CALM(Autoregressive):
    """Submission plug-in `calm`. The state it exposes is x itself."""

    plugin = "calm"
    configuration = Config

    def validate(self) -> None:
        super().validate()
        config = self.config
        if problem := config.head.problem():
            raise CardError(f"calm: parameter head.{problem}")
        if config.short.kind != "transformer":
            raise CardError(f"calm: parameter short.kind: expected 'transformer', got {config.short.kind!r}")
        if config.short.context:
            raise CardError(f"calm: parameter short.context: short_context says it, got {config.short.context}")
        if problem := config.short.problem():
            raise CardError(f"calm: parameter short.{problem}")

    def build(self, codec: CodecInfo) -> Network:
        config = self.config
        both = LongShort(codec.dim, config.backbone, config.short, config.short_context)
        return Network(codec.dim, both, head(both.width, codec.dim, config.head), config.backbone.dropout)

    def loss(self, network: Network, parts: list[Tensor], mask: Tensor, step: int) -> Tensor:
        own, both = network.head, network.backbone
        assert isinstance(own, ConsistencyHead) and isinstance(both, LongShort)
        u = network.white(parts[0])
        features = network.trunk(both.shifted(u, self.noisy(u)))
        # padding is left out before the head, whose draws are most of the cost
        return own.loss(features[mask], u[mask], step).mean()

    def noisy(self, u: Tensor) -> Tensor:
        """What the long context reads in training, of clean u (B, T, D)."""
        noisy = injected(u) if self.config.noise_injection else u
        return noisy + self.config.noise * torch.randn_like(u) if self.config.noise else noisy

    def held_out(self, network: Network, parts: list[Tensor], mask: Tensor) -> Tensor:
        """Energy score of `VALIDATION_DRAWS` draws, in whitened units."""
        u = network.white(parts[0])
        features, generator = network.features(u), seeded(0, "held out")
        draws = torch.stack([network.head.sample(features, generator) for _ in range(VALIDATION_DRAWS)], -2)
        return energy_score(draws, u)
