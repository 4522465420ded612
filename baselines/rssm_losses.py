"""The RSSM's training loss: the bound with its innovation budget, the state term, and what keeps either honest.

Everything here is in training alone; validation and reports use raw terms. Schedules run over the fit's steps.
The note's feature losses are squared errors along a few directions of x: its principal ones, or those that are heard.

References:
    Kingma et al. 2016 (free bits, arXiv 1606.04934); Bowman et al. 2016 (warm-up, arXiv 1511.06349); Hafner et al.
    2021 and 2023 (KL balance, arXiv 2010.02193, 2301.04104).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from baselines.layers import masked_mean
from baselines.rssm_laws import Law, Normal, divergence
from baselines.rssm_network import Mode, Network
from bench.metrics.gaussian import kl_diagonal, log_normal

Reader = Literal["prior", "posterior", "reconstructor"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class Recipe:
    """Weights and schedules of the loss.

    * Budget: `beta` is reached after `warmup` of the steps. `free_nats` are per frame, after summing dimensions;
      `free_nats_dim` per dimension, before. `target_nats` replaces β · KL by β · |KL − target|, KL the batch's mean.
      `balance` (a, b) replaces every KL by a KL(sg q ‖ p) + b KL(q ‖ sg p); DreamerV3 has (1.0, 0.1).
    * State: `lambda_` weighs the state term. In note mode that is the `kl` of the noisy state, or its `density` alone,
      −log p_ω(z_dyn), as in the note's formula: what x_t tells the state is then paid at λ in training only.
      `horizons` are predicted linearly from z_dyn. The readers named in `stop_gradient` send no gradient into
      z_dyn, for the first `stop_until` of the steps.
    * Use of z_rec: `prior_fraction` of the frames are also decoded from the prior's sample, under a scale of their own.
      `drop_rec` of its channels come from the prior in a whole crop, `drop_state` of the state's are zero for the
      reconstructor, `mask_frames` of the frames are zero for the encoder.
    * Rollout: from `rollout_after` of the steps on, true frames are scored under rolled-out states, for a number of
      frames that grows from 1 to `rollout_frames`, feeding back the true frame with probability `forced`. The score is
      the `bound`, or the density when decoded with z_rec of the `prior`. `feature_weight` adds half the squared error
      of frames decoded so, along `feature_rank` directions of x: the leading principal ones, or the `mel` projection
      of `baselines.mel_projection`.
    """

    beta: Weight = 1.0
    warmup: Fraction = 0.2
    free_nats: Weight = 1.0
    free_nats_dim: Weight = 0.0
    target_nats: Annotated[float, Field(gt=0)] | None = None
    balance: tuple[Weight, Weight] | None = None
    lambda_: Weight = 0.01
    state_term: Literal["kl", "density"] = "kl"
    horizons: tuple[Annotated[int, Field(ge=1)], ...] = (2, 4, 8)
    horizon_weight: Weight = 0.05
    stop_gradient: tuple[Reader, ...] = ()
    stop_until: Fraction = 1.0
    prior_fraction: Fraction = 0.5
    prior_weight: Weight = 0.05
    drop_rec: Fraction = 0.0
    drop_state: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mask_frames: Fraction = 0.0
    rollout_frames: Annotated[int, Field(ge=1)] = 8
    rollout_weight: Weight = 0.1
    rollout_after: Annotated[float, Field(ge=0, lt=1)] = 0.0
    rollout_score: Literal["bound", "prior"] = "bound"
    forced: Fraction = 0.5
    feature_kind: Literal["principal", "mel"] = "principal"
    feature_rank: Annotated[int, Field(ge=0)] = 0
    feature_weight: Weight = 0.0

    def beta_at(self, done: float) -> float:
        """β when `done` of the steps are done, in (0, 1]."""
        return self.beta * min(1.0, done / self.warmup) if self.warmup else self.beta

    def rollout_at(self, done: float) -> int:
        """Frames to roll out; 0 before the rollout begins."""
        grown = (done - self.rollout_after) / (1 - self.rollout_after)
        return 0 if grown <= 0 else 1 + int((self.rollout_frames - 1) * grown)

    def stopped_at(self, done: float) -> tuple[Reader, ...]:
        """Who sends no gradient into the state."""
        return self.stop_gradient if done <= self.stop_until else ()


def loss(
    recipe: Recipe, network: Network, u: Tensor, mask: Tensor, done: float, noise: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Scalar to minimise and the raw terms it is made of, in nats per frame, by name.

    Args:
        u: whitened frames (B, T, D).
        mask: (B, T), True at real frames.
        done: share of the steps, this one included.
        noise: standard deviation of what is added to the encoder's frames.
    """
    seen = u + noise * torch.randn_like(u)
    if recipe.mask_frames:
        seen = seen * (torch.rand(*u.shape[:-1], 1, device=u.device) >= recipe.mask_frames)
    state = network.states(seen)
    z = state.sample()
    stopped = recipe.stopped_at(done)

    def read(reader: Reader) -> Tensor:
        return z.detach() if reader in stopped else z

    q, p = network.posterior(u, read("posterior")), network.prior(read("prior"))
    innovation = q.sample()
    if recipe.drop_rec:
        innovation = torch.where(_channels(innovation, recipe.drop_rec), p.sample(), innovation)
    to_decode = read("reconstructor")
    if recipe.drop_state:
        to_decode = to_decode * ~_channels(z, recipe.drop_state) / (1 - recipe.drop_state)
    mean = network.reconstruct(to_decode, innovation)
    nll = masked_mean(-log_normal(u, mean, network.sigma_x.expand_as(u)), mask)
    rec = kl_diagonal(q.mean, q.scale, p.mean, p.scale)
    terms = {"reconstruction NLL": nll, "KL of z_rec": masked_mean(rec.sum(-1), mask)}
    beta = recipe.beta_at(done)
    total = nll + beta * budget(recipe, q, p, mask)
    if recipe.lambda_ > 0:
        law = network.dynamics_prior(z)
        if network.mode == "note" and recipe.state_term == "kl":
            total = total + beta * recipe.lambda_ * masked_mean(_balanced(recipe, state, law, z), mask)
            terms["KL of z_dyn"] = masked_mean(divergence(state, law, z), mask)
        else:
            total = total - recipe.lambda_ * masked_mean(law.log_prob(z), mask)
    if recipe.prior_weight > 0:
        total = total + recipe.prior_weight * _prior_term(recipe, network, u, z, mask)
    if recipe.horizon_weight > 0:
        total = total + recipe.horizon_weight * _horizon_term(recipe, network, u, z, mask)
    frames = min(recipe.rollout_at(done), u.shape[1] - 2)
    if (recipe.rollout_weight > 0 or recipe.feature_weight > 0) and frames > 0:
        total = total + _rollout_term(recipe, network, u, z, mask, frames)
    return total, {name: term.detach() for name, term in terms.items()}


def budget(recipe: Recipe, q: Normal, p: Normal, mask: Tensor) -> Tensor:
    """What the innovation's KL counts for, before β: balanced, and beyond what is free or away from the target."""

    def counted(one: Normal, other: Normal) -> Tensor:
        kl = kl_diagonal(one.mean, one.scale, other.mean, other.scale)
        if recipe.target_nats is not None:
            return (masked_mean(kl.sum(-1), mask) - recipe.target_nats).abs()
        if recipe.free_nats_dim:
            kl = kl.clamp(min=recipe.free_nats_dim)
        return masked_mean(kl.sum(-1).clamp(min=recipe.free_nats), mask)

    if recipe.balance is None:
        return counted(q, p)
    prior, posterior = recipe.balance
    return prior * counted(q.detach(), p) + posterior * counted(q, p.detach())


def _balanced(recipe: Recipe, q: Normal, p: Law, z: Tensor) -> Tensor:
    """KL of the state (B, T)."""
    if recipe.balance is None:
        return divergence(q, p, z)
    prior, posterior = recipe.balance
    return prior * divergence(q.detach(), p, z.detach()) + posterior * divergence(q, p.detach(), z)


def _channels(z: Tensor, fraction: float) -> Tensor:
    """Which channels of z (B, T, C) to drop, (B, 1, C): the same in every frame of a crop."""
    return torch.rand(len(z), 1, z.shape[-1], device=z.device) < fraction


def _prior_term(recipe: Recipe, network: Network, u: Tensor, z: Tensor, mask: Tensor) -> Tensor:
    """Decode from prior samples, under their own scale so that σ_x keeps its meaning."""
    chosen = mask & (torch.rand(mask.shape).to(u.device) < recipe.prior_fraction)
    return -masked_mean(_prior_log_prob(network, u, network.reconstruct(z, network.prior(z).sample())), chosen)


def _prior_log_prob(network: Network, u: Tensor, decoded: Tensor) -> Tensor:
    return log_normal(u, decoded, network.log_sigma_prior.exp().expand_as(u))


def _horizon_term(recipe: Recipe, network: Network, u: Tensor, z: Tensor, mask: Tensor) -> Tensor:
    """Squared error of linear predictions of u, k frames after the last frame the state has seen."""
    total = u.new_zeros(())
    seen = _seen(network.mode)
    for k, head in zip(recipe.horizons, network.futures, strict=True):
        shift = k - seen
        if shift < u.shape[1]:
            error = (head(z[:, : u.shape[1] - shift]) - u[:, shift:]).square().sum(-1)
            total = total + 0.5 * masked_mean(error, mask[:, shift:])
    return total


def _seen(mode: Mode) -> int:
    """How many frames before its own the state has seen last."""
    return 1 if mode == "strict" else 0


def _rollout_term(recipe: Recipe, network: Network, u: Tensor, z: Tensor, mask: Tensor, frames: int) -> Tensor:
    """True frames under states rolled out on the model's own samples, each horizon counting alike."""
    anchor = int(torch.randint(1, u.shape[1] - frames, ()))
    strict = network.mode == "strict"
    reader, truth = (network.encoder, u) if strict else (network.dynamics, z)
    past, memory = reader.read(truth[:, :anchor])
    hidden, states = past[:, -1], []
    ahead = slice(anchor, anchor + frames)
    for t in range(anchor, anchor + frames):
        rolled = network.exposed(hidden) if strict else network.predicted_state(hidden).sample()
        states.append(rolled)
        if t + 1 < anchor + frames:
            forced = (torch.rand(len(u), 1) < recipe.forced).to(u.device)
            own = network.draw_frame(rolled) if strict else rolled
            hidden, memory = reader.step(torch.where(forced, truth[:, t], own), memory)
    rolled, true, real = torch.stack(states, 1), u[:, ahead], mask[:, ahead]

    def mean(values: Tensor) -> Tensor:
        return ((values * real).sum(0) / real.sum(0).clamp(min=1)).mean()

    total = u.new_zeros(())
    if recipe.rollout_score == "bound":
        log_p, kl = network.frame_terms(true, rolled)
        total = total + recipe.rollout_weight * mean(kl.sum(-1) - log_p)
    if recipe.rollout_score == "prior" or recipe.feature_weight > 0:
        decoded = network.reconstruct(rolled, network.prior(rolled).sample())
        if recipe.rollout_score == "prior":
            total = total - recipe.rollout_weight * mean(_prior_log_prob(network, true, decoded))
        error = network.features(decoded - true).square().sum(-1)
        total = total + recipe.feature_weight * 0.5 * mean(error)
    return total
