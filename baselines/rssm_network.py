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

from baselines.layers import Recurrence, mlp
from bench.metrics.gaussian import kl_diagonal, log_normal
from bench.metrics.mixture import Whitening

Mode = Literal["strict", "note"]
MIN_SCALE = 0.05


@dataclass(frozen=True)
class Sizes:
    """Widths. `state` is dim(z_dyn), `innovation` dim(z_rec); `normalised` layer-normalises the strict state."""

    width: int = 256
    state: int = 64
    innovation: int = 32
    dropout: float = 0.1
    normalised: bool = True


@dataclass(frozen=True)
class Observation:
    """p(x | z_dyn, z_rec) = N(g(z_dyn, z_rec), σ_x²), isotropic in the coordinates u that the network works in.

    `units` says which: "whitened", or "latent", x less its mean over one scale for all dimensions, where σ_x²
    is a variance of x. `sigma` fixes σ_x, in whitened units or in those of x; None: learned.
    """

    units: Literal["whitened", "latent"] = "whitened"
    sigma: Annotated[float, Field(gt=0)] | None = None


@dataclass(frozen=True)
class Normal:
    """A diagonal Gaussian: `mean` and `scale`, each (..., D)."""

    mean: Tensor
    scale: Tensor

    def sample(self, noise: Tensor | None = None) -> Tensor:
        """Reparameterised draw; `noise` is standard normal and drawn globally when not given."""
        return self.mean + self.scale * (torch.randn_like(self.mean) if noise is None else noise)

    def log_prob(self, x: Tensor) -> Tensor:
        return log_normal(x, self.mean, self.scale)


def _normal(raw: Tensor) -> Normal:
    mean, scale = raw.chunk(2, dim=-1)
    return Normal(mean, MIN_SCALE + F.softplus(scale + 0.5))


class Network(nn.Module):
    """The five components and their densities."""

    def __init__(self, dim: int, sizes: Sizes, mode: Mode, horizons: tuple[int, ...], observation: Observation) -> None:
        super().__init__()
        self.mode, self.normalised, self.observation = mode, sizes.normalised, observation
        width, state, innovation = sizes.width, sizes.state, sizes.innovation
        self.white = Whitening(dim)
        self.encoder = Recurrence(dim, width, sizes.dropout)
        self.to_state = nn.Linear(width, state)
        self.state_log_scale = nn.Parameter(torch.full((state,), -1.0))
        self.posterior_net = mlp(dim + state, width, 2 * innovation, sizes.dropout)
        self.prior_net = mlp(state, width, 2 * innovation, sizes.dropout)
        self.reconstructor = mlp(state + innovation, width, dim, sizes.dropout)
        self.log_sigma_x = nn.Parameter(torch.tensor(-0.5), requires_grad=observation.sigma is None)
        self.log_sigma_prior = nn.Parameter(torch.tensor(0.0))
        self.dynamics = Recurrence(state, width, sizes.dropout)
        self.dynamics_head = nn.Linear(width, 2 * state)
        self.futures = nn.ModuleList(nn.Linear(state, dim) for _ in horizons)

    @torch.no_grad()
    def set_units(self, frames: Tensor) -> None:
        """Fix the coordinates u from training frames (n, D), and σ_x where it is given."""
        unit = 1.0
        if self.observation.units == "whitened":
            self.white.set_from(frames)
        else:
            shift = frames.double().mean(0)
            unit = float((frames.double() - shift).square().mean().sqrt().clamp(min=1e-9))
            self.white.shift.copy_(shift)
            self.white.matrix.copy_(torch.eye(len(shift)) / unit)
            self.white.inverse.copy_(torch.eye(len(shift)) * unit)
        if self.observation.sigma is not None:
            self.log_sigma_x.fill_(math.log(self.observation.sigma / unit))

    @property
    def sigma_x(self) -> Tensor:
        """Standard deviation of p(u | z_dyn, z_rec)."""
        sigma = self.log_sigma_x.exp()
        return sigma.clamp(min=MIN_SCALE) if self.observation.sigma is None else sigma

    @torch.no_grad()
    def noise_covariance(self) -> Tensor:
        """Covariance (D, D) of p(x | z_dyn, z_rec), in units of x²."""
        return self.sigma_x.square() * self.white.inverse @ self.white.inverse.T

    def exposed(self, hidden: Tensor) -> Tensor:
        """Encoder states → the mean of z_dyn; strict states are normalised so that shrinking gains nothing."""
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
        hidden = self.encoder.shifted(u) if self.mode == "strict" else self.encoder.states(u)
        return self.state_posterior(self.exposed(hidden))

    def dynamics_prior(self, z: Tensor) -> Normal:
        """p_ω(z_dyn,t | z_dyn,<t) for every frame of z (B, T, Dz)."""
        return self.predicted_state(self.dynamics.shifted(z))

    def predicted_state(self, hidden: Tensor) -> Normal:
        """States of the dynamics → p_ω of the next z_dyn."""
        return _normal(self.dynamics_head(hidden))

    def posterior(self, u: Tensor, z: Tensor) -> Normal:
        """q(z_rec,t | x_t, z_dyn,t): local, no context."""
        return _normal(self.posterior_net(torch.cat([u, z], -1)))

    def prior(self, z: Tensor) -> Normal:
        """p(z_rec,t | z_dyn,t)."""
        return _normal(self.prior_net(z))

    def reconstruct(self, z: Tensor, innovation: Tensor) -> Tensor:
        """g(z_dyn, z_rec): the mean of u (..., D)."""
        return cast(Tensor, self.reconstructor(torch.cat([z, innovation], -1)))

    def frame_terms(self, u: Tensor, z: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Given z_dyn: log p(u | z_dyn, z_rec) (...) with z_rec ~ q, and KL(q ‖ p) by dimension (..., R)."""
        q, p = self.posterior(u, z), self.prior(z)
        mean = self.reconstruct(z, q.sample(noise))
        return log_normal(u, mean, self.sigma_x.expand_as(u)), kl_diagonal(q.mean, q.scale, p.mean, p.scale)

    def importance_log_prob(self, u: Tensor, z: Tensor, samples: int, generator: torch.Generator) -> Tensor:
        """A lower bound of log p(u | z_dyn), tight as `samples` grows (Burda et al. 2016, arXiv 1509.00519)."""
        q, p = self.posterior(u, z), self.prior(z)
        terms = []
        for _ in range(samples):
            innovation = q.sample(torch.randn(q.mean.shape, generator=generator).to(u))
            mean = self.reconstruct(z, innovation)
            log_p = log_normal(u, mean, self.sigma_x.expand_as(u)) + p.log_prob(innovation)
            terms.append(log_p - q.log_prob(innovation))
        return torch.logsumexp(torch.stack(terms), 0) - torch.log(torch.tensor(float(samples)))
