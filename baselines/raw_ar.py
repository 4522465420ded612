"""Raw autoregression: p(x_t | x_<t) by a GRU over latents and a mixture-density head.

References:
    Bishop 1994 (mixture density networks); Cho et al. 2014 (arXiv 1406.1078).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from baselines.layers import Recurrence, masked_mean, train
from bench.config import parameters
from bench.contract import CodecInfo, FitContext, LatentUtterance, Likelihood, Source
from bench.fitting import FitConfig, initialised
from bench.metrics.mixture import MixtureHead, Whitening
from bench.seeding import derive_seed


@dataclass(frozen=True)
class Config:
    """Sizes and budget.

    `noise` is the standard deviation, in whitened units, added to inputs in training; `seed_offset` other than 0
    makes a replicate under another seed, which shows the noise of seeds beside the row it repeats.
    """

    width: int = 256
    components: int = 8
    dropout: float = 0.2
    noise: float = 0.1
    seed_offset: int = 0
    fit: FitConfig = field(default_factory=FitConfig)


class Network(nn.Module):
    """Whitening, recurrence over x_<t and head."""

    def __init__(self, dim: int, config: Config) -> None:
        super().__init__()
        self.white = Whitening(dim)
        self.recurrence = Recurrence(dim, config.width, config.dropout)
        self.features = nn.Sequential(nn.Linear(config.width, config.width), nn.SiLU(), nn.Dropout(config.dropout))
        self.head = MixtureHead(config.width, dim, config.components)

    def log_prob(self, context: Tensor, target: Tensor) -> Tensor:
        """log p(target_t | context_<t), both whitened, in whitened units."""
        return self.head.log_prob(self.features(self.recurrence.shifted(context)), target)


class RawAR:
    """Submission plug-in `raw_ar`. The state it exposes is x itself."""

    likelihood: ClassVar[Likelihood] = "exact"

    def __init__(self, **values: Any) -> None:
        self.config = parameters(Config, values, "raw_ar")
        self.network: Network

    def fit(
        self, train_set: Sequence[LatentUtterance], valid_set: Sequence[LatentUtterance], context: FitContext
    ) -> None:
        """Maximum likelihood with input noise, early-stopped on the validation likelihood."""
        if self.config.seed_offset:
            context = replace(context, seed=derive_seed(context.seed, "replicate", self.config.seed_offset))

        def prepare(network: Network, frames: Tensor) -> None:
            network.white.set_from(frames)

        def loss(network: Network, x: Tensor, mask: Tensor, step: int) -> Tensor:
            del step
            u = network.white(x)
            noisy = u + self.config.noise * torch.randn_like(u)
            return -masked_mean(network.log_prob(noisy, u), mask)

        def held_out(network: Network, x: Tensor, mask: Tensor) -> Tensor:
            u = network.white(x)
            return -(network.log_prob(u, u) * mask).sum()

        self.network, self.report = train(
            lambda: Network(context.codec.dim, self.config),
            prepare,
            loss,
            held_out,
            self.config.fit,
            train_set,
            valid_set,
            context,
            "fit raw_ar",
        )

    def state(self) -> dict[str, Tensor]:
        return {k: v.detach().cpu() for k, v in self.network.state_dict().items()}

    def load_state(self, state: Mapping[str, Tensor], codec: CodecInfo, device: torch.device) -> None:
        self.network = cast(Network, initialised(lambda: Network(codec.dim, self.config), 0))
        self.network.load_state_dict(dict(state))
        self.network.to(device).eval()

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """x itself: (B, T, D)."""
        del generator
        return x

    @torch.no_grad()
    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        """Exact: (B, T, D) twice → (B, T), nats."""
        del generator
        white = self.network.white
        return self.network.log_prob(white(context), white(target)) + white.log_det()

    @torch.no_grad()
    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        """Ancestral sampling: (B, T, D) → (B, S, frames, D)."""
        network = self.network
        state = network.recurrence.states(network.white(prompt))[:, -1]
        out = self._continue(state.repeat_interleave(draws, dim=0), frames, generator, mean)
        return network.white.invert(out).unflatten(0, (len(prompt), draws))

    @torch.no_grad()
    def generate(self, frames: int, draws: int, generator: torch.Generator) -> Tensor:
        """From the start state: (S, frames, D)."""
        network = self.network
        return network.white.invert(self._continue(network.recurrence.initial(draws), frames, generator, False))

    @torch.no_grad()
    def reconstruct(self, x: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        """Posterior: x. Prior: a sample of p(x_t | x_<t) at every frame."""
        if source == "posterior":
            return x
        network = self.network
        features = network.features(network.recurrence.shifted(network.white(x)))
        return network.white.invert(network.head.sample(features, generator))

    def _continue(self, state: Tensor, frames: int, generator: torch.Generator, mean: bool) -> Tensor:
        network, out = self.network, []
        for _ in range(frames):
            features = network.features(state)
            u = network.head.mean(features) if mean else network.head.sample(features, generator)
            out.append(u)
            state = network.recurrence.step(u, state)
        return torch.stack(out, dim=1)
