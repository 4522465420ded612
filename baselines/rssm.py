"""RSSM factoriser: x into a predictable state z_dyn and a per-frame innovation z_rec with a KL budget.

Loss, per frame: −log p(x | z_dyn, z_rec) + β KL(q ‖ p) + λ (state term) + the terms of `rssm_losses.Recipe`. The state
term is −log p_ω(z_dyn,t | z_dyn,<t) in strict mode and KL(q(z_dyn,t) ‖ p_ω) in note mode. Where p_ω is a mixture that
KL has no closed form: it is a Monte-Carlo estimate, unbiased, of one draw in training and in densities, and of
`STATE_DRAWS` in the reported rate, where single frames may then be below zero.

What `rollout` draws are samples of p(x), observation noise included; `reconstruct` gives the reconstructor's
mean, as it would be decoded. After a fit, what is wrong with the state and no task says is logged by name.

References:
    Chung et al. 2015 (arXiv 1506.02216); Hafner et al. 2023 (arXiv 2301.04104).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from baselines.family import Family
from baselines.layers import State, repeated
from baselines.mel_projection import mel_projection
from baselines.rssm_alarms import AHEAD, PROMPT, alarms
from baselines.rssm_laws import Law, Mixed, Normal, divergence
from baselines.rssm_losses import Recipe, loss
from baselines.rssm_network import DynamicsConfig, EncoderConfig, Mode, Network, Observation, Sizes
from baselines.training import TrainConfig
from bench.contract import CodecInfo, FitContext, InnovationRate, LatentUtterance, Likelihood, Source
from bench.errors import CardError
from bench.metrics.gaussian import kl_diagonal
from bench.seeding import generator as seeded

log = logging.getLogger(__name__)

STATE_DRAWS = 8
"""Of the reported KL of z_dyn to a mixture."""
WATCHED = 16
"""Validation utterances in which alarms are looked for."""


@dataclass(frozen=True)
class Config:
    """`noise` is the standard deviation, in whitened units, added to the encoder's frames in training; `temperature` is
    that of sampling: the state's, the innovation's and the observation's laws are √τ times as wide."""

    mode: Mode = "strict"
    importance_samples: Annotated[int, Field(ge=1)] = 8
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    sizes: Sizes = field(default_factory=Sizes)
    observation: Observation = field(default_factory=Observation)
    recipe: Recipe = field(default_factory=Recipe)
    noise: Annotated[float, Field(ge=0)] = 0.1
    temperature: Annotated[float, Field(ge=0)] = 1.0
    seed_offset: int = 0
    fit: TrainConfig = field(default_factory=TrainConfig)


class RSSM(Family[Network]):
    """Submission plug-in `rssm`."""

    plugin: ClassVar[str] = "rssm"
    configuration: ClassVar[type] = Config

    def validate(self) -> None:
        config, recipe = self.config, self.config.recipe
        self.likelihood: Likelihood = "bound" if config.mode == "strict" else "joint bound"
        for name in ("encoder", "dynamics"):
            if problem := getattr(config, name).problem():
                raise CardError(f"rssm: parameter {name}.{problem}")
        if config.dynamics.sigma is not None and config.dynamics.components > 1:
            raise CardError("rssm: parameter dynamics.sigma: a mixture learns its scales; expected none")
        if config.mode == "note" and recipe.state_term == "kl" and recipe.lambda_ != 1.0:
            raise CardError("rssm: parameter recipe.lambda_: note mode charges the whole KL of z_dyn; it must be 1.0")
        if config.mode == "strict" and not config.sizes.normalised and recipe.lambda_ > 0:
            raise CardError("rssm: parameter recipe.lambda_: a state that is not normalised shrinks; it must be 0.0")
        if config.mode == "strict" and any(k < 1 for k in recipe.horizons):
            raise CardError(f"rssm: parameter recipe.horizons: expected 1 or more, got {recipe.horizons}")
        if (recipe.feature_weight > 0) != (recipe.feature_rank > 0):
            raise CardError("rssm: parameter recipe.feature_rank: directions and their weight go together")

    def build(self, codec: CodecInfo) -> Network:
        c = self.config
        sizes, recipe = c.sizes, c.recipe
        return Network(
            codec.dim, sizes, c.mode, c.encoder, c.dynamics, recipe.horizons, c.observation, recipe.feature_rank
        )

    def prepare(self, network: Network, frames: Tensor) -> None:
        network.set_units(frames, self._directions)

    def fit(
        self, train_set: Sequence[LatentUtterance], valid_set: Sequence[LatentUtterance], context: FitContext
    ) -> None:
        """Minimise the loss above, early-stopped on validation: the weighted bound, nothing clamped or added."""
        self._scalars, self._directions = context.scalars, self._heard(train_set, context)
        super().fit(train_set, valid_set, context)
        del self._scalars, self._directions
        long = [u.x[: PROMPT + AHEAD] for u in valid_set if len(u.x) >= PROMPT + AHEAD][:WATCHED]
        if long:
            for alarm in alarms(self, torch.stack(long).to(context.device), seeded(context.seed, "alarms")):
                log.warning("rssm: %s", alarm)

    def loss(self, network: Network, parts: list[Tensor], mask: Tensor, step: int) -> Tensor:
        config = self.config
        done = (step + 1) / config.fit.steps
        total, raw = loss(config.recipe, network, network.white(parts[0]), mask, done, config.noise)
        if (step + 1) % config.fit.evaluate_every == 0:
            # a clamp hides a collapse
            self._scalars(step + 1, {name: float(term) for name, term in raw.items()})
        return total

    def held_out(self, network: Network, parts: list[Tensor], mask: Tensor) -> Tensor:
        recipe, u = self.config.recipe, network.white(parts[0])
        q = network.states(u)
        z = q.sample()
        log_p, kl = network.frame_terms(u, z)
        # weighted by β: the bound itself would keep a step of the warm-up, where β is still near one
        out = recipe.beta * kl.sum(-1) - log_p
        if self.config.mode == "strict":
            return out
        p = network.dynamics_prior(z)
        if recipe.state_term == "density":
            return out - recipe.lambda_ * p.log_prob(z)
        return out + recipe.beta * divergence(q, p, z)

    # --- capabilities --------------------------------------------------------------------------------------

    @torch.no_grad()
    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """z_dyn with what x_≤t says: strict, z_dyn,t+1; note, the noisy z_dyn,t. (B, T, D) → (B, T, Dz)."""
        network = self.network
        hidden, _ = network.encoder.read(network.white(x))
        return network.state_posterior(network.exposed(hidden)).sample(generator)

    @torch.no_grad()
    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        """Strict: an importance-weighted bound per frame. Note: terms of the joint bound. (B, T), nats."""
        network = self.network
        past, u = network.white(context), network.white(target)
        if self.config.mode == "strict":
            z = network.states(past).mean
            bound = network.importance_log_prob(u, z, self.config.importance_samples, generator)
            return bound + network.white.log_det()
        prior = network.dynamics_prior(network.states(past).sample(generator))
        q = network.states_of_targets(past, u)
        z = q.sample(generator)
        bound = network.importance_log_prob(u, z, self.config.importance_samples, generator)
        return bound - divergence(q, prior, z) + network.white.log_det()

    @torch.no_grad()
    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        """(B, T, D) → (B, S, frames, D); strict feeds back x, note rolls z_dyn."""
        network = self.network
        u = network.white(prompt)
        if self.config.mode == "strict":
            hidden, memory = network.encoder.read(u)
        else:
            hidden, memory = network.dynamics.read(_drawn(network.states(u), generator, mean))
        last = hidden[:, -1].repeat_interleave(draws, dim=0)
        out = self._continue(last, repeated(memory, draws), frames, generator, mean)
        return network.white.invert(out).unflatten(0, (len(prompt), draws))

    @torch.no_grad()
    def generate(self, frames: int, draws: int, generator: torch.Generator) -> Tensor:
        """From the start state: (S, frames, D)."""
        network = self.network
        first = network.encoder if self.config.mode == "strict" else network.dynamics
        return network.white.invert(self._continue(*first.start(draws), frames, generator, False))

    @torch.no_grad()
    def reconstruct(self, x: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        """g(z_dyn, z_rec) with z_dyn from x and z_rec from the posterior or the prior."""
        network = self.network
        u = network.white(x)
        z = network.states(u).sample(generator)
        prior = network.prior(z).tempered(self.config.temperature)
        rec = network.posterior(u, z) if source == "posterior" else prior
        return network.white.invert(network.reconstruct(z, rec.sample(generator)))

    @torch.no_grad()
    def reconstruct_from(self, x: Tensor, states: Tensor, generator: torch.Generator) -> Tensor:
        """g(z_dyn, z_rec) with z_dyn given and z_rec from its posterior, given x and that z_dyn.

        With `states = represent(x)` it has the law of `reconstruct(x, "posterior")`; with states of other
        frames or utterances it tells what the reconstructor takes from z_dyn.

        Args:
            x: latents (B, T, D).
            states: (B, T, Dz), aligned as `represent` gives them; in strict mode frame t is decoded with the state
                of t − 1, frame 0 with the start state.
        """
        network = self.network
        u = network.white(x)
        if self.config.mode == "strict":
            start = network.exposed(network.encoder.start(len(x))[0])
            states = torch.cat([start[:, None], states[:, :-1]], 1)
        rec = network.posterior(u, states)
        return network.white.invert(network.reconstruct(states, rec.sample(generator)))

    @torch.no_grad()
    def innovation(self, x: Tensor, generator: torch.Generator) -> InnovationRate:
        """Raw KL of z_rec, and of z_dyn in note mode."""
        network = self.network
        u = network.white(x)
        q = network.states(u)
        z = q.sample(generator)
        rec, prior = network.posterior(u, z), network.prior(z)
        kl = kl_diagonal(rec.mean, rec.scale, prior.mean, prior.scale)
        if self.config.mode == "strict":
            return InnovationRate(kl.sum(-1), z.new_zeros(z.shape[:-1]), kl)
        p = network.dynamics_prior(z)
        draws = [z, *(q.sample(generator) for _ in range(STATE_DRAWS - 1))] if isinstance(p, Mixed) else [z]
        return InnovationRate(kl.sum(-1), torch.stack([divergence(q, p, draw) for draw in draws]).mean(0), kl)

    # --- inside --------------------------------------------------------------------------------------------

    def _heard(self, train_set: Sequence[LatentUtterance], context: FitContext) -> Tensor | None:
        """Directions of the mel projection, where the recipe asks for them."""
        recipe = self.config.recipe
        if recipe.feature_kind != "mel" or not recipe.feature_rank:
            return None
        if context.decoder is None:
            raise CardError("rssm: parameter recipe.feature_kind: mel needs the codec's decoder, and this fit has none")
        heard = mel_projection(context.decoder, train_set, recipe.feature_rank, context.device, context.progress)
        log.info("rssm: the mel projection explains %.2f of the log-mel's variance", heard.r2)
        return heard.directions

    def _continue(self, hidden: Tensor, memory: State, frames: int, generator: torch.Generator, mean: bool) -> Tensor:
        network, out = self.network, []
        strict, temperature = self.config.mode == "strict", self.config.temperature

        def drawn(law: Law) -> Tensor:
            return _drawn(law.tempered(temperature), generator, mean)

        for _ in range(frames):
            z = network.exposed(hidden) if strict else drawn(network.predicted_state(hidden))
            center = network.reconstruct(z, drawn(network.prior(z)))
            u = drawn(Normal(center, network.sigma_x.expand_as(center)))
            out.append(u)
            hidden, memory = network.encoder.step(u, memory) if strict else network.dynamics.step(z, memory)
        return torch.stack(out, dim=1)


def _drawn(law: Law, generator: torch.Generator, mean: bool) -> Tensor:
    return law.mean if mean else law.sample(generator)
