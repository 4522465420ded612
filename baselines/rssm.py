"""RSSM factoriser: x into a predictable state z_dyn and a per-frame innovation z_rec with a KL budget.

Loss, per frame: −log p(x | z_dyn, z_rec) + β max(KL(q ‖ p), free) + λ (state term) + the auxiliary terms of
`Recipe`. The state term is −log p_ω(z_dyn,t | z_dyn,<t) in strict mode and KL(q(z_dyn,t) ‖ p_ω) in note mode.

What `rollout` draws are samples of p(x), observation noise included; `reconstruct` gives the reconstructor's
mean, as it would be decoded.

References:
    Chung et al. 2015 (arXiv 1506.02216); Hafner et al. 2023 (arXiv 2301.04104).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from baselines.layers import masked_mean, train
from baselines.rssm_network import Mode, Network, Observation, Sizes
from bench.config import parameters
from bench.contract import CodecInfo, FitContext, InnovationRate, LatentUtterance, Likelihood, Source
from bench.errors import CardError
from bench.fitting import FitConfig, initialised
from bench.metrics.gaussian import kl_diagonal, log_normal


@dataclass(frozen=True)
class Recipe:
    """Weights and schedules of the loss.

    `beta` is reached after `warmup` of the steps; `free_nats` is per frame, after summing dimensions; `lambda_`
    weighs the state term; `prior_fraction` of the frames are also decoded from the prior's sample, under a
    scale of their own; `horizons` are predicted linearly from z_dyn; the rollout term scores true frames under
    rolled-out states, for a number of steps that grows from 1 to `rollout_frames`, feeding back the true frame
    with probability `forced`.
    """

    beta: float = 1.0
    warmup: float = 0.2
    free_nats: float = 1.0
    lambda_: float = 0.01
    prior_fraction: float = 0.5
    prior_weight: float = 0.05
    horizons: tuple[int, ...] = (2, 4, 8)
    horizon_weight: float = 0.05
    rollout_frames: int = 8
    rollout_weight: float = 0.1
    forced: float = 0.5
    noise: float = 0.1


@dataclass(frozen=True)
class Config:
    mode: Mode = "strict"
    importance_samples: int = 8
    sizes: Sizes = field(default_factory=Sizes)
    observation: Observation = field(default_factory=Observation)
    recipe: Recipe = field(default_factory=Recipe)
    fit: FitConfig = field(default_factory=FitConfig)


class RSSM:
    """Submission plug-in `rssm`."""

    def __init__(self, **values: Any) -> None:
        self.config = parameters(Config, values, "rssm")
        if self.config.mode == "note" and self.config.recipe.lambda_ != 1.0:
            raise CardError("rssm: parameter recipe.lambda_: note mode charges the whole KL of z_dyn; it must be 1.0")
        if self.config.mode == "strict" and not self.config.sizes.normalised and self.config.recipe.lambda_ > 0:
            raise CardError("rssm: parameter recipe.lambda_: a state that is not normalised shrinks; it must be 0.0")
        self.likelihood: Likelihood = "bound" if self.config.mode == "strict" else "joint bound"
        self.network: Network

    def fit(
        self, train_set: Sequence[LatentUtterance], valid_set: Sequence[LatentUtterance], context: FitContext
    ) -> None:
        """Minimise the loss above, early-stopped on validation: the β-weighted bound, nothing clamped or added."""

        def prepare(network: Network, frames: Tensor) -> None:
            network.set_units(frames)

        def held_out(network: Network, x: Tensor, mask: Tensor) -> Tensor:
            u = network.white(x)
            q = network.states(u)
            same = torch.Generator().manual_seed(context.seed)
            z = self._draw(q.mean, q.scale, same, False)
            noise = torch.randn(*u.shape[:-1], self.config.sizes.innovation, generator=same).to(u)
            log_p, kl = network.frame_terms(u, z, noise)
            # weighted by β: the bound itself would keep a step of the warm-up, where β is still near one
            rate = kl.sum(-1) + self._kl_dyn(network, q, z)
            return ((self.config.recipe.beta * rate - log_p) * mask).sum()

        self.network, self.report = train(
            lambda: self._network(context.codec.dim),
            prepare,
            self._loss,
            held_out,
            self.config.fit,
            train_set,
            valid_set,
            context,
            f"fit rssm ({self.config.mode})",
        )

    def state(self) -> dict[str, Tensor]:
        return {k: v.detach().cpu() for k, v in self.network.state_dict().items()}

    def load_state(self, state: Mapping[str, Tensor], codec: CodecInfo, device: torch.device) -> None:
        # built under a seed of its own: new weights would move the global generator
        self.network = cast(Network, initialised(lambda: self._network(codec.dim), 0))
        self.network.load_state_dict(dict(state))
        self.network.to(device).eval()

    # --- capabilities --------------------------------------------------------------------------------------

    @torch.no_grad()
    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """z_dyn with what x_≤t says: strict, z_dyn,t+1; note, the noisy z_dyn,t. (B, T, D) → (B, T, Dz)."""
        network = self.network
        q = network.state_posterior(network.exposed(network.encoder.states(network.white(x))))
        return q.sample(torch.randn(q.mean.shape, generator=generator).to(x))

    @torch.no_grad()
    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        """Strict: an importance-weighted bound per frame. Note: terms of the joint bound. (B, T), nats."""
        network = self.network
        past, u = network.white(context), network.white(target)
        if self.config.mode == "strict":
            z = network.states(past).mean
            bound = network.importance_log_prob(u, z, self.config.importance_samples, generator)
            return bound + network.white.log_det()
        noise = lambda: torch.randn(*u.shape[:-1], self.config.sizes.state, generator=generator).to(u)  # noqa: E731
        prior = network.dynamics_prior(network.states(past).sample(noise()))
        before = network.encoder.shifted(past)
        hidden = network.encoder.step(u.flatten(0, 1), before.flatten(0, 1)).unflatten(0, u.shape[:2])
        q = network.state_posterior(network.exposed(hidden))
        charged = kl_diagonal(q.mean, q.scale, prior.mean, prior.scale).sum(-1)
        bound = network.importance_log_prob(u, q.sample(noise()), self.config.importance_samples, generator)
        return bound - charged + network.white.log_det()

    @torch.no_grad()
    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        """(B, T, D) → (B, S, frames, D); strict feeds back x, note rolls z_dyn."""
        network = self.network
        u = network.white(prompt)
        if self.config.mode == "strict":
            state = network.encoder.states(u)[:, -1]
        else:
            q = network.states(u)
            state = network.dynamics.states(self._draw(q.mean, q.scale, generator, mean))[:, -1]
        out = self._continue(state.repeat_interleave(draws, dim=0), frames, generator, mean)
        return network.white.invert(out).unflatten(0, (len(prompt), draws))

    @torch.no_grad()
    def generate(self, frames: int, draws: int, generator: torch.Generator) -> Tensor:
        """From the start state: (S, frames, D)."""
        network = self.network
        first = network.encoder if self.config.mode == "strict" else network.dynamics
        return network.white.invert(self._continue(first.initial(draws), frames, generator, False))

    @torch.no_grad()
    def reconstruct(self, x: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        """g(z_dyn, z_rec) with z_dyn from x and z_rec from the posterior or the prior."""
        network = self.network
        u = network.white(x)
        q = network.states(u)
        z = self._draw(q.mean, q.scale, generator, False)
        rec = network.posterior(u, z) if source == "posterior" else network.prior(z)
        return network.white.invert(network.reconstruct(z, self._draw(rec.mean, rec.scale, generator, False)))

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
            start = network.exposed(network.encoder.initial(len(x)))
            states = torch.cat([start[:, None], states[:, :-1]], 1)
        rec = network.posterior(u, states)
        return network.white.invert(network.reconstruct(states, self._draw(rec.mean, rec.scale, generator, False)))

    @torch.no_grad()
    def innovation(self, x: Tensor, generator: torch.Generator) -> InnovationRate:
        """Raw KL of z_rec, and of z_dyn in note mode."""
        network = self.network
        u = network.white(x)
        q = network.states(u)
        z = self._draw(q.mean, q.scale, generator, False)
        # the KL does not depend on the draw, and none may be taken from the global generator
        _, kl = network.frame_terms(u, z, u.new_zeros(*u.shape[:-1], self.config.sizes.innovation))
        return InnovationRate(kl.sum(-1), self._kl_dyn(network, q, z), kl)

    # --- inside --------------------------------------------------------------------------------------------

    def _network(self, dim: int) -> Network:
        config = self.config
        return Network(dim, config.sizes, config.mode, config.recipe.horizons, config.observation)

    def _kl_dyn(self, network: Network, q: Any, z: Tensor) -> Tensor:
        if self.config.mode == "strict":
            return z.new_zeros(z.shape[:-1])
        p = network.dynamics_prior(z)
        return kl_diagonal(q.mean, q.scale, p.mean, p.scale).sum(-1)

    def _draw(self, mean: Tensor, scale: Tensor, generator: torch.Generator, at_mean: bool) -> Tensor:
        return mean if at_mean else mean + scale * torch.randn(mean.shape, generator=generator).to(mean)

    def _continue(self, state: Tensor, frames: int, generator: torch.Generator, mean: bool) -> Tensor:
        network, out = self.network, []
        for _ in range(frames):
            if self.config.mode == "strict":
                z = network.exposed(state)
            else:
                p = network.predicted_state(state)
                z = self._draw(p.mean, p.scale, generator, mean)
            rec = network.prior(z)
            center = network.reconstruct(z, self._draw(rec.mean, rec.scale, generator, mean))
            u = self._draw(center, network.sigma_x.expand_as(center), generator, mean)
            out.append(u)
            strict = self.config.mode == "strict"
            state = network.encoder.step(u, state) if strict else network.dynamics.step(z, state)
        return torch.stack(out, dim=1)

    def _loss(self, network: Network, x: Tensor, mask: Tensor, step: int) -> Tensor:
        recipe, u = self.config.recipe, network.white(x)
        noisy = u + recipe.noise * torch.randn_like(u)
        q = network.states(noisy)
        z = q.sample()
        beta = recipe.beta * min(1.0, (step + 1) / max(1.0, recipe.warmup * self.config.fit.steps))
        log_p, kl = network.frame_terms(u, z)
        total = -log_p + beta * kl.sum(-1).clamp(min=recipe.free_nats)
        if self.config.mode == "note":
            total = total + beta * self._kl_dyn(network, q, z)
        elif recipe.lambda_ > 0:
            total = total - recipe.lambda_ * network.dynamics_prior(z).log_prob(z)
        loss = masked_mean(total, mask)
        if recipe.prior_weight > 0:
            loss = loss + recipe.prior_weight * self._prior_term(network, u, z, mask)
        if recipe.horizon_weight > 0:
            loss = loss + recipe.horizon_weight * self._horizon_term(network, u, z, mask)
        if recipe.rollout_weight > 0:
            loss = loss + recipe.rollout_weight * self._rollout_term(network, u, z, mask, step)
        return loss

    def _prior_term(self, network: Network, u: Tensor, z: Tensor, mask: Tensor) -> Tensor:
        """Decode from prior samples, under their own scale so that σ_x keeps its meaning."""
        chosen = mask & (torch.rand(mask.shape).to(u.device) < self.config.recipe.prior_fraction)
        decoded = network.reconstruct(z, network.prior(z).sample())
        return -masked_mean(log_normal(u, decoded, network.log_sigma_prior.exp().expand_as(u)), chosen)

    def _horizon_term(self, network: Network, u: Tensor, z: Tensor, mask: Tensor) -> Tensor:
        """Squared error of linear predictions of u, k frames after the last frame the state has seen."""
        total = u.new_zeros(())
        seen = 1 if self.config.mode == "strict" else 0
        for k, head in zip(self.config.recipe.horizons, network.futures, strict=True):
            shift = k - seen
            if shift < u.shape[1]:
                error = (head(z[:, : u.shape[1] - shift]) - u[:, shift:]).square().sum(-1)
                total = total + 0.5 * masked_mean(error, mask[:, shift:])
        return total

    def _rollout_term(self, network: Network, u: Tensor, z: Tensor, mask: Tensor, step: int) -> Tensor:
        """The bound on true frames under states rolled out on the model's own samples."""
        recipe = self.config.recipe
        grown = 1 + int((recipe.rollout_frames - 1) * (step + 1) / self.config.fit.steps)
        frames = min(grown, u.shape[1] - 2)
        if frames < 1:
            return u.new_zeros(())
        anchor = int(torch.randint(1, u.shape[1] - frames, ()))
        strict = self.config.mode == "strict"
        past = network.encoder.states(u[:, :anchor]) if strict else network.dynamics.states(z[:, :anchor])
        state, total = past[:, -1], u.new_zeros(())
        for t in range(anchor, anchor + frames):
            rolled = network.exposed(state) if strict else network.predicted_state(state).sample()
            log_p, kl = network.frame_terms(u[:, t], rolled)
            total = total + masked_mean(kl.sum(-1) - log_p, mask[:, t])
            forced = (torch.rand(len(u), 1) < recipe.forced).to(u.device)
            if strict:
                own = draw_frame(network, rolled)
                state = network.encoder.step(torch.where(forced, u[:, t], own), state)
            else:
                state = network.dynamics.step(torch.where(forced, z[:, t], rolled), state)
        return total / frames


def draw_frame(network: Network, z: Tensor) -> Tensor:
    """One sample of p(u | z_dyn), observation noise included."""
    mean = network.reconstruct(z, network.prior(z).sample())
    return mean + network.sigma_x * torch.randn_like(mean)
