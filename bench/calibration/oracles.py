"""Submissions that are a linear-Gaussian process: the exact density and samples that no trained model can beat.

Conventions: z_t = F z_{t−1} + w_t, x_t = H z_t + v_t, w ~ N(0, Q), v ~ N(0, R), z_0 from the stationary law
N(0, Σ). `Z` is the dimension of z. Everything is computed in float64 and returned in the dtype of x.

References:
    Kalman 1960, "A new approach to linear filtering and prediction problems", Journal of Basic Engineering 82.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.contract import CodecInfo, FitContext, LatentUtterance, Likelihood

SETTLED = 1e-14
"""Relative change of the predicted covariance from one frame to the next, below which it is kept."""


def root(covariance: Tensor) -> Tensor:
    """The symmetric square root, also of a singular covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def normal(shape: Sequence[int], generator: torch.Generator, device: torch.device | None = None) -> Tensor:
    """Standard normal numbers in float64, drawn on the CPU."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device)


class Oracle:
    """What every oracle is: a submission with nothing to fit."""

    likelihood: Likelihood = "exact"

    def fit(self, train: Sequence[LatentUtterance], valid: Sequence[LatentUtterance], context: FitContext) -> None:
        """The truth needs no data."""

    def state(self) -> dict[str, Tensor]:
        """Nothing that was fitted."""
        return {}

    def load_state(self, state: Mapping[str, Tensor], codec: CodecInfo, device: torch.device) -> None:
        """Nothing to become."""


@dataclass(frozen=True)
class Step:
    """The filter at one frame, the same for every sequence.

    Attributes:
        gain: Kalman gain (Z, D).
        before, after: covariance of z_t given x_<t and given x_≤t.
        whitener: L⁻¹ (D, D) of the innovation's covariance L Lᵀ.
        log_det: ln |L|.
    """

    gain: Tensor
    before: Tensor
    after: Tensor
    whitener: Tensor
    log_det: float


class KalmanOracle(Oracle):
    """The exact time-varying Kalman filter, started at the stationary law.

    The noise R may be singular, even zero, as long as the covariance of the innovation is not.

    Args:
        transition, observation: F (Z, Z) and H (D, Z).
        state_noise, observation_noise: Q (Z, Z) and R (D, D).
        stationary: Σ (Z, Z).
        floor: (k, mean) → the rollout gap of the process itself, in nats.
    """

    def __init__(
        self,
        transition: Tensor,
        observation: Tensor,
        state_noise: Tensor,
        observation_noise: Tensor,
        stationary: Tensor,
        floor: Callable[[int, bool], float],
    ) -> None:
        self.transition, self.observation = transition, observation
        self.state_noise, self.observation_noise = state_noise, observation_noise
        self.rollout_floor = floor
        self._steps = [self._step(stationary)]

    def step(self, frame: int) -> Step:
        """The filter at `frame`, counted from 0."""
        while len(self._steps) <= frame:
            last = self._steps[-1]
            before = self.transition @ last.after @ self.transition.T + self.state_noise
            if float((before - last.before).abs().max()) <= SETTLED * float(before.abs().max()):
                return last
            self._steps.append(self._step(before))
        return self._steps[frame]

    def _step(self, before: Tensor) -> Step:
        innovation = self.observation @ before @ self.observation.T + self.observation_noise
        cholesky = torch.linalg.cholesky(innovation)
        gain = torch.cholesky_solve(self.observation @ before, cholesky).T
        kept = torch.eye(len(before), dtype=before.dtype) - gain @ self.observation
        # Joseph's form stays positive where rounding would make (1 − K H) P indefinite
        after = kept @ before @ kept.T + gain @ self.observation_noise @ gain.T
        whitener = torch.linalg.solve_triangular(cholesky, torch.eye(len(cholesky), dtype=before.dtype), upper=False)
        return Step(gain, before, after, whitener, float(cholesky.diagonal().log().sum()))

    def filtered(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """E[z_t | x_<t] and E[z_t | x_≤t], each (B, T, Z), float64: (B, T, D)."""
        y = x.double()
        transition, observation = self.transition.to(y), self.observation.to(y)
        z = y.new_zeros(len(y), len(transition))
        before, after = [], []
        for t in range(y.shape[1]):
            before.append(z)
            z = z + (y[:, t] - z @ observation.T) @ self.step(t).gain.to(y).T
            after.append(z)
            z = z @ transition.T
        return torch.stack(before, 1), torch.stack(after, 1)

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """E[z_t | x_≤t]: a sufficient statistic of the past, without noise."""
        del generator
        return self.filtered(x)[1].to(x)

    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """log p(target_t | context_<t): (B, T, D) twice → (B, T)."""
        del generator
        residual = target.double() - self.filtered(context)[0] @ self.observation.to(context.device).T
        steps = [self.step(t) for t in range(target.shape[1])]
        whiteners = torch.stack([s.whitener for s in steps]).to(residual)
        log_det = residual.new_tensor([s.log_det for s in steps])
        z = (residual.transpose(0, 1) @ whiteners.mT).transpose(0, 1)
        log_p = -0.5 * z.square().sum(-1) - log_det - 0.5 * target.shape[-1] * math.log(2 * math.pi)
        return log_p.to(target.dtype)

    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        """Continuations (B, S, frames, D) from the filtered state; with `mean`, H F^k E[z_t | x_≤t]."""
        z = self.filtered(prompt)[1][:, -1:].expand(-1, draws, -1)
        transition, observation = self.transition.to(z), self.observation.to(z)
        roots = [root(c).to(z) for c in (self.state_noise, self.observation_noise)]
        if not mean:
            z = z + normal(z.shape, generator, z.device) @ root(self.step(prompt.shape[1] - 1).after).to(z)
        out = []
        for _ in range(frames):
            z = z @ transition.T
            x = z @ observation.T
            if not mean:
                noise = normal(z.shape, generator, z.device) @ roots[0]
                z, x = z + noise, x + noise @ observation.T + normal(x.shape, generator, z.device) @ roots[1]
            out.append(x)
        return torch.stack(out, 2).to(prompt)
