"""F5, a linear-Gaussian state-space model: z_t = F z_{t−1} + w_t, x_t = H z_t + v_t, w ~ N(0, Q), v ~ N(0, R).

Conventions: Σ is the stationary covariance of z, Σ_x = H Σ Hᵀ + R that of x. P⁻_k is the error covariance of
z_{t+k} given x_≤t in the steady state of the filter, S_k = H P⁻_k Hᵀ + R that of x_{t+k}; k = 1 is the next frame,
and S = S_1 the covariance of the innovation. Nats per frame, natural logarithms.

Truths:

* `gain(k)` = ½ ln |Σ_x| / |S_k|; `nll(k)` = ½ ln |2πe S_k|, k = 1 unless given; `marginal_nll` = ½ ln |2πe Σ_x|;
  `log_det_ahead(k)` = ln |S_k|; `r2(k)` = 1 − tr S_k / tr Σ_x;
* `innovation_kl` = ½ ln |S| / |R| and `reconstruction_nll` = ½ ln |2πe R|: the two parts of `nll`;
* `kl_budget(beta)` = Σ_i ½ ln⁺(λ_i(S) / (β σ²)), for R = σ² 1: the rate that minimises
  E[−log N(x; x̂, σ² 1)] + β · rate, by reverse water-filling with distortion min(λ_i, β σ²);
* `increment_gain(k)`, of x_{t+k} − x_t, whose covariance given x_≤t is S_k, since x_t is known; and
  `stale_gain(k)`, of x_{t+k} − x_{t+k−1};
* `rollout_gap(k)` = tr(S⁻¹ S_k) − d for rollouts of samples, and half of it, `rollout_gap_mean(k)`, of means;
* `window_gain(window, k)`: the gain from the last `window` frames alone.

References:
    Kalman 1960, Journal of Basic Engineering 82; Cover and Thomas 2006, "Elements of information theory",
    section 10.3.3 (reverse water-filling).
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from scipy.linalg import solve_discrete_are
from torch import Tensor

from bench.calibration.oracles import KalmanOracle, normal, root
from bench.calibration.process import Truths, looked_up
from bench.calibration.var1 import explained, half_log_det, nll_of, propagated, simulated, stationary

EXAMPLE_SEED = 4
EXAMPLE_DIM = 8


class StateSpace:
    """Process F5.

    Args:
        transition: F (Z, Z), spectral radius below 1.
        observation: H (D, Z).
        state_noise: Q (Z, Z), positive definite.
        observation_noise: R (D, D), positive definite.

    Raises:
        ValueError: F is not stable, or a noise not positive definite.
    """

    name = "F5"

    def __init__(self, transition: Tensor, observation: Tensor, state_noise: Tensor, observation_noise: Tensor) -> None:
        self.transition, self.observation = transition.double(), observation.double()
        self.state_noise, self.observation_noise = state_noise.double(), observation_noise.double()
        self.dim = len(observation)
        if float(torch.linalg.eigvalsh(self.observation_noise).min()) <= 0:
            raise ValueError(f"{self.name}: expected a positive definite observation noise")
        self.stationary = stationary(self.name, self.transition, self.state_noise)
        # the control form of the Riccati equation, for the transposed pair
        riccati = solve_discrete_are(
            self.transition.T.numpy(),
            self.observation.T.numpy(),
            self.state_noise.numpy(),
            self.observation_noise.numpy(),
        )
        self.predicted = torch.from_numpy(riccati)
        """P⁻, the error covariance of z_{t+1} given x_≤t."""
        self.covariance = self._seen(self.stationary)
        """Σ_x."""

    @classmethod
    def example(cls) -> StateSpace:
        """A slow state and a damped oscillation of 10.5 frames, seen through 8 noisy dimensions.

        H is a fixed Gaussian draw with entries of variance 1/3; its singular values 2.3, 1.5 and 0.9 let the KL
        budget switch the directions off one by one.
        """
        transition = torch.zeros(3, 3, dtype=torch.float64)
        transition[0, 0] = 0.95
        cos, sin = math.cos(0.6), math.sin(0.6)
        transition[1:, 1:] = 0.9 * torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
        observation = normal((EXAMPLE_DIM, 3), torch.Generator().manual_seed(EXAMPLE_SEED)) / math.sqrt(3)
        state_noise = torch.diag(torch.tensor([0.3, 0.2, 0.2], dtype=torch.float64))
        return cls(transition, observation, state_noise, 0.4 * torch.eye(EXAMPLE_DIM, dtype=torch.float64))

    @property
    def noise(self) -> float:
        """σ², where R = σ² 1.

        Raises:
            ValueError: R is not of that form.
        """
        level = float(self.observation_noise[0, 0])
        if not torch.equal(self.observation_noise, level * torch.eye(self.dim, dtype=torch.float64)):
            raise ValueError(f"{self.name}: expected an observation noise σ² 1")
        return level

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """Stationary from frame 0: (n, frames, D)."""
        z = simulated(self.transition, self.state_noise, self.stationary, n, frames, generator)
        noise = normal((n, frames, self.dim), generator) @ root(self.observation_noise)
        return (z @ self.observation.T + noise).float()

    def oracle(self) -> KalmanOracle:
        """The exact Kalman filter as a submission; its state is the filtered mean (B, T, Z)."""
        return KalmanOracle(
            self.transition,
            self.observation,
            self.state_noise,
            self.observation_noise,
            self.stationary,
            self._rollout_gap,
        )

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x_t | x_<t), exact from the first frame on: (B, T, D) → (B, T)."""
        return self.oracle().log_prob(x, x)

    def truth(self, metric: str, **at: float) -> float:
        return looked_up(self.name, self.truths, metric, **at)

    @cached_property
    def truths(self) -> Truths:
        """Metric → its closed form."""
        return {
            "gain": lambda k: half_log_det(self.covariance) - half_log_det(self.ahead(k)),
            "increment_gain": lambda k: half_log_det(self._increment(k)) - half_log_det(self.ahead(k)),
            "stale_gain": lambda k: half_log_det(self._increment(1)) - half_log_det(self._stale(k)),
            "nll": lambda k=1: nll_of(self.ahead(k)),
            "marginal_nll": lambda: nll_of(self.covariance),
            "log_det_ahead": lambda k: 2 * half_log_det(self.ahead(k)),
            "r2": lambda k: explained(self.ahead(k), self.covariance),
            "innovation_kl": lambda: half_log_det(self.ahead(1)) - half_log_det(self.observation_noise),
            "reconstruction_nll": lambda: nll_of(self.observation_noise),
            "kl_budget": self._kl_budget,
            "rollout_gap": lambda k: self._rollout_gap(k, False),
            "rollout_gap_mean": lambda k: self._rollout_gap(k, True),
            "window_gain": self._window_gain,
        }

    def ahead(self, k: float) -> Tensor:
        """S_k, k ≥ 1."""
        return self._seen(self._state_ahead(k))

    def _state_ahead(self, k: float) -> Tensor:
        """P⁻_k, and at k = 0 the covariance of z_t given x_≤t."""
        if k >= 1:
            return propagated(self.transition, self.state_noise, self.predicted, int(k) - 1)
        gain = torch.linalg.solve(self.ahead(1), self.observation @ self.predicted).T
        return self.predicted - gain @ self.observation @ self.predicted

    def _seen(self, covariance: Tensor) -> Tensor:
        """Covariance of x where z has the given one."""
        return self.observation @ covariance @ self.observation.T + self.observation_noise

    def _lagged(self, k: float) -> Tensor:
        """Γ_k = E x_{t+k} x_tᵀ."""
        if k == 0:
            return self.covariance
        power = torch.linalg.matrix_power(self.transition, int(k))
        return self.observation @ power @ self.stationary @ self.observation.T

    def _increment(self, k: float) -> Tensor:
        """Cov(x_{t+k} − x_t)."""
        return 2 * self.covariance - self._lagged(k) - self._lagged(k).T

    def _stale(self, k: float) -> Tensor:
        """Cov(x_{t+k} − x_{t+k−1} | x_≤t)."""
        if k == 1:
            return self.ahead(1)
        step = self.transition - torch.eye(len(self.transition), dtype=torch.float64)
        moved = step @ self._state_ahead(k - 1) @ step.T + self.state_noise
        return self.observation @ moved @ self.observation.T + 2 * self.observation_noise

    def _kl_budget(self, beta: float) -> float:
        ratio = torch.linalg.eigvalsh(self.ahead(1)) / (beta * self.noise)
        return 0.5 * float(ratio.clamp(min=1).log().sum())

    def _rollout_gap(self, k: float, mean: bool) -> float:
        gap = float(torch.linalg.solve(self.ahead(1), self.ahead(k)).trace()) - self.dim
        return gap / 2 if mean else gap

    def _window_gain(self, window: float, k: float) -> float:
        """½ ln |Σ_x| / |Σ_x − C B⁻¹ Cᵀ|, B the block-Toeplitz covariance of x_t, x_{t−1}, …, C that with x_{t+k}."""
        width = int(window)
        rows = [[self._lagged(j - i) if j >= i else self._lagged(i - j).T for j in range(width)] for i in range(width)]
        block = torch.cat([torch.cat(row, 1) for row in rows])
        cross = torch.cat([self._lagged(k + i) for i in range(width)], 1)
        left = self.covariance - cross @ torch.linalg.solve(block, cross.T)
        return half_log_det(self.covariance) - half_log_det(left)
