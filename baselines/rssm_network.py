"""The network of the RSSM factoriser: five components over whitened latents u (B, T, D).

State encoder, innovation posterior, innovation prior, reconstructor and dynamics, in two modes:

* *strict*: z_dyn,t is a deterministic function of x_<t, layer-normalised by default, so that x_t can only come
  through the innovation channel and its KL. Generation feeds back samples of x.
* *note*: z_dyn,t sees x_≤t, is noisy, and pays KL(N(e(x_≤t), σ²) ‖ p_ω(· | z_dyn,<t)). Generation rolls the
  dynamics; the innovation of all frames is then drawn in parallel.

References:
    Chung et al. 2015 (VRNN, arXiv 1506.02216); Hafner et al. 2019 (PlaNet, arXiv 1811.04551) and 2023
    (DreamerV3, arXiv 2301.04104).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.layers import BackboneConfig, backbone, mlp
from baselines.rssm_laws import MIN_SCALE, Law, Mixed, Normal
from bench.metrics.gaussian import kl_diagonal, log_normal
from bench.metrics.mixture import Whitening

Mode = Literal["strict", "note"]


@dataclass(frozen=True)
class EncoderConfig(BackboneConfig):
    """Of the state: `gru` and `transformer` read the whole past, `window` the last `context` frames."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1


@dataclass(frozen=True)
class DynamicsConfig(EncoderConfig):
    """p_ω: a mixture of `components` diagonal Gaussians; `sigma` fixes the scale of a single one, None learns it."""

    components: Annotated[int, Field(ge=1)] = 1
    sigma: Annotated[float, Field(gt=0)] | None = None


@dataclass(frozen=True)
class Sizes:
    """`width` of the local networks; `state` is dim(z_dyn), `innovation` dim(z_rec); `normalised` layer-normalises
    the strict state."""

    width: Annotated[int, Field(ge=1)] = 256
    state: Annotated[int, Field(ge=1)] = 64
    innovation: Annotated[int, Field(ge=1)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    normalised: bool = True


@dataclass(frozen=True)
class Observation:
    """p(x | z_dyn, z_rec) = N(g(z_dyn, z_rec), σ_x²), isotropic in the coordinates u that the network works in.

    `units` says which: "whitened", or "latent", x less its mean over one scale for all dimensions, where σ_x²
    is a variance of x. `sigma` fixes σ_x, in whitened units or in those of x; None: learned.
    """

    units: Literal["whitened", "latent"] = "whitened"
    sigma: Annotated[float, Field(gt=0)] | None = None


class Network(nn.Module):
    """The five components and their densities.

    Args:
        horizons: how many frames ahead u is predicted linearly from z_dyn, a head each.
        feature_rank: directions of x that `features` takes; 0: none.
    """

    directions: Tensor

    def __init__(
        self,
        dim: int,
        sizes: Sizes,
        mode: Mode,
        encoder: EncoderConfig,
        dynamics: DynamicsConfig,
        horizons: tuple[int, ...],
        observation: Observation,
        feature_rank: int = 0,
    ) -> None:
        super().__init__()
        self.mode, self.normalised, self.observation = mode, sizes.normalised, observation
        self.components, self.sigma_dyn = dynamics.components, dynamics.sigma
        width, state, innovation = sizes.width, sizes.state, sizes.innovation
        self.white = Whitening(dim)
        self.encoder = backbone(dim, encoder)
        self.to_state = nn.Linear(encoder.width, state)
        self.state_log_scale = nn.Parameter(torch.full((state,), -1.0))
        self.posterior_net = mlp(dim + state, width, 2 * innovation, sizes.dropout)
        self.prior_net = mlp(state, width, 2 * innovation, sizes.dropout)
        self.reconstructor = mlp(state + innovation, width, dim, sizes.dropout)
        self.log_sigma_x = nn.Parameter(torch.tensor(-0.5), requires_grad=observation.sigma is None)
        self.log_sigma_prior = nn.Parameter(torch.tensor(0.0))
        self.dynamics = backbone(state, dynamics)
        self.dynamics_head = nn.Linear(dynamics.width, dynamics.components * 2 * state)
        if dynamics.components > 1:
            # components that start equal stay equal
            self.weights_head = nn.Linear(dynamics.width, dynamics.components)
            self.spread = nn.Parameter(torch.randn(dynamics.components, state) * math.sqrt(3 / state))
        self.futures = nn.ModuleList(nn.Linear(state, dim) for _ in horizons)
        self.register_buffer("directions", torch.zeros(min(feature_rank, dim), dim), persistent=feature_rank > 0)

    @torch.no_grad()
    def set_units(self, frames: Tensor, directions: Tensor | None = None) -> None:
        """Fix the coordinates u from training frames (n, D), the directions, and σ_x where it is given.

        Args:
            directions: of x (R, D), float64; None: the leading principal ones, their mean variance one.
        """
        unit, centred = 1.0, frames.double() - frames.double().mean(0)
        if self.observation.units == "whitened":
            self.white.set_from(frames)
        else:
            unit = float(centred.square().mean().sqrt().clamp(min=1e-9))
            self.white.shift.copy_(frames.double().mean(0))
            self.white.matrix.copy_(torch.eye(frames.shape[1]) / unit)
            self.white.inverse.copy_(torch.eye(frames.shape[1]) * unit)
        if self.observation.sigma is not None:
            self.log_sigma_x.fill_(math.log(self.observation.sigma / unit))
        if rank := len(self.directions):
            values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
            top = vectors[:, -rank:].T / values[-rank:].mean().clamp(min=1e-18).sqrt()
            taken = top if directions is None else directions
            self.directions.copy_(taken @ self.white.inverse.double())

    @property
    def sigma_x(self) -> Tensor:
        """Standard deviation of p(u | z_dyn, z_rec)."""
        sigma = self.log_sigma_x.exp()
        return sigma.clamp(min=MIN_SCALE) if self.observation.sigma is None else sigma

    @torch.no_grad()
    def noise_covariance(self) -> Tensor:
        """Covariance (D, D) of p(x | z_dyn, z_rec), in units of x²."""
        return self.sigma_x.square() * self.white.inverse @ self.white.inverse.T

    def features(self, u: Tensor) -> Tensor:
        """u (..., D) → x along the directions (..., R)."""
        return u @ self.directions.T

    # --- state and dynamics --------------------------------------------------------------------------------

    def exposed(self, hidden: Tensor) -> Tensor:
        """Encoder features → the mean of z_dyn; strict states are normalised so that shrinking gains nothing."""
        state = cast(Tensor, self.to_state(hidden))
        strict = self.mode == "strict" and self.normalised
        return F.layer_norm(state, state.shape[-1:]) if strict else state

    def state_posterior(self, mean: Tensor) -> Normal:
        """q(z_dyn): in strict mode deterministic, with a scale of zero."""
        if self.mode == "strict":
            return Normal(mean, torch.zeros_like(mean))
        return Normal(mean, (MIN_SCALE + self.state_log_scale.exp()).expand_as(mean))

    def states(self, u: Tensor) -> Normal:
        """q(z_dyn,t) for every frame: from u_<t (strict) or u_≤t (note)."""
        hidden = self.encoder.shifted(u) if self.mode == "strict" else self.encoder.read(u)[0]
        return self.state_posterior(self.exposed(hidden))

    def states_of_targets(self, past: Tensor, u: Tensor) -> Normal:
        """The same in note mode for frames u (B, T, D) whose pasts are those of `past`: q(z_dyn,t | past_<t, u_t)."""
        hidden, (_, state) = [], self.encoder.start(len(u))
        for t in range(u.shape[1]):
            hidden.append(self.encoder.step(u[:, t], state)[0])
            _, state = self.encoder.step(past[:, t], state)
        return self.state_posterior(self.exposed(torch.stack(hidden, 1)))

    def dynamics_prior(self, z: Tensor) -> Law:
        """p_ω(z_dyn,t | z_dyn,<t) for every frame of z (B, T, Dz)."""
        return self.predicted_state(self.dynamics.shifted(z))

    def predicted_state(self, hidden: Tensor) -> Law:
        """Features of the dynamics → p_ω of the next z_dyn."""
        raw = self.dynamics_head(hidden)
        if self.components > 1:
            law = Normal.of(raw.unflatten(-1, (self.components, -1)))
            return Mixed(F.log_softmax(self.weights_head(hidden), -1), law.mean + self.spread, law.scale)
        law = Normal.of(raw)
        return law if self.sigma_dyn is None else Normal(law.mean, torch.full_like(law.mean, self.sigma_dyn))

    # --- innovation and reconstruction ---------------------------------------------------------------------

    def posterior(self, u: Tensor, z: Tensor) -> Normal:
        """q(z_rec,t | x_t, z_dyn,t): local, no context."""
        return Normal.of(self.posterior_net(torch.cat([u, z], -1)))

    def prior(self, z: Tensor) -> Normal:
        """p(z_rec,t | z_dyn,t)."""
        return Normal.of(self.prior_net(z))

    def reconstruct(self, z: Tensor, innovation: Tensor) -> Tensor:
        """g(z_dyn, z_rec): the mean of u (..., D)."""
        return cast(Tensor, self.reconstructor(torch.cat([z, innovation], -1)))

    def frame_terms(self, u: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Given z_dyn: log p(u | z_dyn, z_rec) (...) with z_rec ~ q, and KL(q ‖ p) by dimension (..., R)."""
        q, p = self.posterior(u, z), self.prior(z)
        mean = self.reconstruct(z, q.sample())
        return log_normal(u, mean, self.sigma_x.expand_as(u)), kl_diagonal(q.mean, q.scale, p.mean, p.scale)

    def draw_frame(self, z: Tensor) -> Tensor:
        """One sample of p(u | z_dyn), observation noise included, under the global generator."""
        mean = self.reconstruct(z, self.prior(z).sample())
        return mean + self.sigma_x * torch.randn_like(mean)

    def importance_log_prob(self, u: Tensor, z: Tensor, samples: int, generator: torch.Generator) -> Tensor:
        """A lower bound of log p(u | z_dyn), tight as `samples` grows (Burda et al. 2016, arXiv 1509.00519)."""
        q, p = self.posterior(u, z), self.prior(z)
        terms = []
        for _ in range(samples):
            innovation = q.sample(generator)
            mean = self.reconstruct(z, innovation)
            log_p = log_normal(u, mean, self.sigma_x.expand_as(u)) + p.log_prob(innovation)
            terms.append(log_p - q.log_prob(innovation))
        return torch.logsumexp(torch.stack(terms), 0) - torch.log(torch.tensor(float(samples)))
