"""F8, a slow state under fast noise: x_t = B s_{⌊t/r⌋} + n_t, s_j = a s_{j−1} + w of unit variance, n ~ N(0, σ² I).

The law depends on the phase t mod r: the process is cyclostationary, and every sequence starts at phase 0. Truths
are those of a predictor that knows the phase (as any that has seen a few frames does), averaged over the phase of
the *last frame seen*; a stationary Gaussian of the phase-averaged covariances is another, worse predictor.

Truths, nats per frame, for an infinite past that ends with x_t; S_k,φ is the covariance of x_{t+k} given it, from the
periodic Riccati recursion:

* `nll(k)` = mean over φ of ½ ln |2πe S_k,φ|; `marginal_nll` = ½ ln |2πe (B Bᵀ + σ² I)|, the same at every phase;
  `gain(k)` their difference; `gain_at(k, phase)` for one phase of x_t;
* `phase_averaged_nll(k)`, `phase_averaged_gain(k)`: of the best linear predictor that is blind to the phase, from
  the block-Toeplitz covariance over `WINDOW` frames. One dimension, a = .8, r = 4, σ² = .1, k = 1: an NLL of .734
  against .614 exact.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from bench.calibration.oracles import normal
from bench.calibration.process import Truths, looked_up
from bench.calibration.var1 import half_log_det, nll_of, simulated

WINDOW = 96
"""Frames of past for the phase-blind predictor; the truth moves by less than 1e-6 beyond."""
PERIODS = 100
"""Of the Riccati recursion, which converges geometrically."""


class TwoRate:
    """Process F8.

    Args:
        observation: B (D, S).
        coefficient: a.
        hold: r, frames for each step of s.
        noise_variance: σ².
    """

    name = "F8"

    def __init__(
        self, observation: Tensor, coefficient: float = 0.8, hold: int = 4, noise_variance: float = 0.1
    ) -> None:
        self.observation, self.coefficient, self.hold = observation.double(), coefficient, hold
        self.dim, self.states = self.observation.shape
        self.noise = noise_variance * torch.eye(self.dim, dtype=torch.float64)

    @classmethod
    def example(cls, dim: int = 6, states: int = 2, seed: int = 0) -> TwoRate:
        """A random B with rows of unit length."""
        b = normal((dim, states), torch.Generator().manual_seed(seed))
        return cls(b / b.norm(dim=1, keepdim=True))

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """(n, frames, D), at phase 0 in frame 0."""
        eye, a = torch.eye(self.states, dtype=torch.float64), self.coefficient
        s = simulated(a * eye, (1 - a * a) * eye, eye, n, -(-frames // self.hold), generator)
        held = s.repeat_interleave(self.hold, 1)[:, :frames] @ self.observation.T
        return (held + math.sqrt(float(self.noise[0, 0])) * normal((n, frames, self.dim), generator)).float()

    def truth(self, metric: str, **at: float) -> float:
        return looked_up(self.name, self.truths, metric, **at)

    @cached_property
    def truths(self) -> Truths:
        """Metric → its numerically exact value."""
        phases = range(self.hold)
        total = self.observation @ self.observation.T + self.noise
        nll = lambda k: sum(nll_of(self.ahead(int(k), p)) for p in phases) / self.hold  # noqa: E731
        return {
            "nll": nll,
            "marginal_nll": lambda: nll_of(total),
            "gain": lambda k: nll_of(total) - nll(k),
            "gain_at": lambda k, phase: half_log_det(total) - half_log_det(self.ahead(int(k), int(phase))),
            "phase_averaged_nll": lambda k: nll_of(self._blind(int(k))),
            "phase_averaged_gain": lambda k: half_log_det(total) - half_log_det(self._blind(int(k))),
        }

    def ahead(self, k: int, phase: int) -> Tensor:
        """S_k,φ: covariance of x_{t+k} given x_≤t, with t at `phase`."""
        covariance = self._filtered[phase]
        for step in range(phase + 1, phase + k + 1):
            covariance = self._moved(covariance, step)
        return self.observation @ covariance @ self.observation.T + self.noise

    def _moved(self, covariance: Tensor, frame: int) -> Tensor:
        """Covariance of the state at `frame` from that one frame before."""
        if frame % self.hold:
            return covariance
        a = self.coefficient
        return a * a * covariance + (1 - a * a) * torch.eye(self.states, dtype=torch.float64)

    @cached_property
    def _filtered(self) -> list[Tensor]:
        """Covariance of the state given x_≤t, by the phase of t."""
        covariance = torch.eye(self.states, dtype=torch.float64)
        information = self.observation.T @ torch.linalg.solve(self.noise, self.observation)
        by_phase: list[Tensor] = []
        for frame in range(PERIODS * self.hold):
            covariance = torch.linalg.inv(torch.linalg.inv(self._moved(covariance, frame)) + information)
            by_phase = [*by_phase[-self.hold + 1 :], covariance] if self.hold > 1 else [covariance]
        return by_phase

    def _blind(self, k: int) -> Tensor:
        """Error covariance k frames ahead of the best phase-blind linear predictor on WINDOW frames."""
        shape = self.observation @ self.observation.T
        kept = torch.tensor([self._kept(h) for h in range(WINDOW + k)], dtype=torch.float64)
        time = torch.arange(WINDOW)
        past = torch.kron(kept[(time[:, None] - time).abs()], shape)
        past += torch.kron(torch.eye(WINDOW, dtype=torch.float64), self.noise)
        cross = torch.kron(kept[None, k:], shape)
        return shape + self.noise - cross @ torch.linalg.solve(past, cross.T)

    def _kept(self, lag: int) -> float:
        """Autocorrelation of the held state, averaged over phases."""
        return sum(self.coefficient ** ((phase + lag) // self.hold) for phase in range(self.hold)) / self.hold
