"""F1, a vector autoregression: x_t = A x_{t−1} + w_t, w ~ N(0, Q), stationary covariance Σ = A Σ Aᵀ + Q.

Conventions: P_k = Σ_{j<k} A^j Q A^{jᵀ} is the error covariance k frames ahead, so that P_1 = Q and P_0 = 0; the
past ends with x_t, and the target is x_{t+k}. Nats per frame, natural logarithms.

Truths, for any A and Q:

* `gain(k)` = ½ ln |Σ| / |P_k|; `nll(k)` = ½ ln |2πe P_k|, k = 1 unless given; `marginal_nll` = ½ ln |2πe Σ|;
* `increment_gain(k)`, of x_{t+k} − x_t: ½ ln |2Σ − A^k Σ − Σ A^{kᵀ}| / |P_k|;
* `stale_gain(k)`, of x_{t+k} − x_{t+k−1}: ½ ln |2Σ − AΣ − ΣAᵀ| / |Q + (A − 1) P_{k−1} (A − 1)ᵀ|;
* `r2(k)`, `increment_r2(k)`: 1 − tr P_k / tr of the target's covariance;
* `rollout_gap(k)` = tr(Q⁻¹ P_k) − d for rollouts of samples, and half of it, `rollout_gap_mean(k)`, of means.

For A = a 1 and Σ = 1 also:

* `direction_cosine`: E cos(x_t − x_{t−1}, −x_{t−1}), see `expected_cosine`; ρ = √((1 − a) / 2);
* `energy_skill(k)` = 1 − √(1 − a^{2k});
* `cluster_ratio(cells)`: variance of x_t − x_{t−1} within cells of x_{t−1} over its variance,
  1 − ½ (1 − a) (1 − D_K), where every dimension is cut into K Lloyd–Max cells, of distortion D_K;
  `cluster_ratio_x(cells)`: the same of x_t itself, 1 − a² (1 − D_K).

References:
    Lloyd 1982, "Least squares quantization in PCM", and Max 1960, "Quantizing for minimum distortion", IEEE
    Transactions on Information Theory 28(2) and 6(1); Muirhead 1982, "Aspects of multivariate statistical theory",
    section 5.1 (the expectation of a sample correlation).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property, lru_cache

import numpy as np
import torch
from scipy.linalg import solve_discrete_lyapunov
from scipy.special import gammaln, hyp2f1
from scipy.stats import norm
from torch import Tensor

from bench.calibration.oracles import KalmanOracle, normal, root
from bench.calibration.process import Truths, looked_up

EXAMPLE_SEED = 0


class VAR1:
    """Process F1.

    Args:
        matrix: A (D, D), spectral radius below 1.
        noise: Q (D, D), positive definite.

    Raises:
        ValueError: A is not stable, or Q not positive definite.
    """

    name = "F1"

    def __init__(self, matrix: Tensor, noise: Tensor) -> None:
        self.matrix, self.noise = matrix.double(), noise.double()
        self.dim = len(matrix)
        self.covariance = stationary(self.name, self.matrix, self.noise)

    @classmethod
    def isotropic(cls, a: float, dim: int) -> VAR1:
        """A = a 1 with unit stationary variance."""
        eye = torch.eye(dim, dtype=torch.float64)
        return cls(a * eye, (1 - a * a) * eye)

    @classmethod
    def example(cls, dim: int = 4) -> VAR1:
        """A triangular A, eigenvalues .95 … .3, which is far from normal, and a full Q, all rotated."""
        rng = torch.Generator().manual_seed(EXAMPLE_SEED)
        rotation = torch.linalg.qr(normal((dim, dim), rng)).Q
        triangle = torch.diag(torch.linspace(0.95, 0.3, dim, dtype=torch.float64))
        triangle += 0.3 * torch.diag(torch.ones(dim - 1, dtype=torch.float64), 1)
        mixing = torch.eye(dim, dtype=torch.float64) + 0.3 * normal((dim, dim), rng)
        return cls(rotation @ triangle @ rotation.T, 0.25 * mixing @ mixing.T)

    @property
    def coefficient(self) -> float | None:
        """a, where A = a 1 and Σ = 1; None elsewhere."""
        eye = torch.eye(self.dim, dtype=torch.float64)
        a = float(self.matrix[0, 0])
        same = torch.equal(self.matrix, a * eye) and torch.allclose(self.covariance, eye, atol=1e-12)
        return a if same else None

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """Stationary from frame 0: (n, frames, D)."""
        return simulated(self.matrix, self.noise, self.covariance, n, frames, generator).float()

    def oracle(self) -> KalmanOracle:
        """The process as a submission; its state is x."""
        eye, zero = torch.eye(self.dim, dtype=torch.float64), torch.zeros(self.dim, self.dim, dtype=torch.float64)
        return KalmanOracle(self.matrix, eye, self.noise, zero, self.covariance, self._rollout_gap)

    def truth(self, metric: str, **at: float) -> float:
        return looked_up(self.name, self.truths, metric, **at)

    @cached_property
    def truths(self) -> Truths:
        """Metric → its closed form."""
        known: dict[str, Callable[..., float]] = {
            "gain": lambda k: half_log_det(self.covariance) - half_log_det(self.ahead(k)),
            "increment_gain": lambda k: half_log_det(self._increment(k)) - half_log_det(self.ahead(k)),
            "stale_gain": lambda k: half_log_det(self._increment(1)) - half_log_det(self._stale(k)),
            "nll": lambda k=1: nll_of(self.ahead(k)),
            "marginal_nll": lambda: nll_of(self.covariance),
            "r2": lambda k: explained(self.ahead(k), self.covariance),
            "increment_r2": lambda k: explained(self.ahead(k), self._increment(k)),
            "rollout_gap": lambda k: self._rollout_gap(k, False),
            "rollout_gap_mean": lambda k: self._rollout_gap(k, True),
        }
        a = self.coefficient
        if a is not None:
            known |= {
                "direction_cosine": lambda: expected_cosine(math.sqrt((1 - a) / 2), self.dim),
                "energy_skill": lambda k: 1 - math.sqrt(1 - a ** (2 * k)),
                "cluster_ratio": lambda cells: 1 - 0.5 * (1 - a) * (1 - lloyd_max_distortion(int(cells))),
                "cluster_ratio_x": lambda cells: 1 - a * a * (1 - lloyd_max_distortion(int(cells))),
            }
        return known

    def ahead(self, k: float) -> Tensor:
        """P_k; zero for k = 0."""
        return propagated(self.matrix, self.noise, torch.zeros_like(self.noise), int(k))

    def _increment(self, k: float) -> Tensor:
        """Cov(x_{t+k} − x_t)."""
        lagged = torch.linalg.matrix_power(self.matrix, int(k)) @ self.covariance
        return 2 * self.covariance - lagged - lagged.T

    def _stale(self, k: float) -> Tensor:
        """Cov(x_{t+k} − x_{t+k−1} | x_≤t)."""
        step = self.matrix - torch.eye(self.dim, dtype=torch.float64)
        return self.noise + step @ self.ahead(k - 1) @ step.T

    def _rollout_gap(self, k: float, mean: bool) -> float:
        gap = float(torch.linalg.solve(self.noise, self.ahead(k)).trace()) - self.dim
        return gap / 2 if mean else gap


# --- linear-Gaussian processes -----------------------------------------------------------------------------


def stationary(who: str, matrix: Tensor, noise: Tensor) -> Tensor:
    """Σ = A Σ Aᵀ + Q.

    Raises:
        ValueError: A is not stable, or Q not positive definite.
    """
    radius = float(torch.linalg.eigvals(matrix).abs().max())
    if radius >= 1:
        raise ValueError(f"{who}: expected a transition of spectral radius below 1, got {radius:.4g}")
    smallest = float(torch.linalg.eigvalsh(noise).min())
    if smallest <= 0 or not torch.allclose(noise, noise.T):
        raise ValueError(f"{who}: expected a positive definite noise, got smallest eigenvalue {smallest:.4g}")
    return torch.from_numpy(solve_discrete_lyapunov(matrix.numpy(), noise.numpy()))


def propagated(matrix: Tensor, noise: Tensor, start: Tensor, steps: int) -> Tensor:
    """The covariance `start` after `steps` times P ↦ A P Aᵀ + Q."""
    covariance = start
    for _ in range(steps):
        covariance = matrix @ covariance @ matrix.T + noise
    return covariance


def simulated(matrix: Tensor, noise: Tensor, start: Tensor, n: int, frames: int, generator: torch.Generator) -> Tensor:
    """n paths of z_t = A z_{t−1} + w with z_0 ~ N(0, start): (n, frames, Z), float64."""
    z = normal((n, len(matrix)), generator) @ root(start)
    path = [z]
    shocks = normal((frames - 1, n, len(matrix)), generator) @ root(noise)
    for shock in shocks:
        path.append(path[-1] @ matrix.T + shock)
    return torch.stack(path, 1)


def half_log_det(covariance: Tensor) -> float:
    """½ ln |C|."""
    return 0.5 * float(torch.logdet(covariance))


def nll_of(covariance: Tensor) -> float:
    """½ ln |2πe C|, the entropy of a Gaussian in nats."""
    return half_log_det(covariance) + 0.5 * len(covariance) * math.log(2 * math.pi * math.e)


def explained(error: Tensor, total: Tensor) -> float:
    """1 − tr E / tr C."""
    return 1 - float(error.trace() / total.trace())


# --- isotropic Gaussians -----------------------------------------------------------------------------------


def expected_cosine(correlation: float, dim: int) -> float:
    """E cos(u, v) for Gaussian u, v whose `dim` pairs of coordinates are iid with one correlation ρ.

    ρ (2/d) [Γ((d+1)/2) / Γ(d/2)]² ₂F₁(½, ½; d/2 + 1; ρ²), which tends to ρ as d grows.
    """
    scale = 2 / dim * math.exp(2 * (gammaln((dim + 1) / 2) - gammaln(dim / 2)))
    return correlation * scale * float(hyp2f1(0.5, 0.5, dim / 2 + 1, correlation**2))


@lru_cache
def lloyd_max_distortion(cells: int) -> float:
    """D_K: mean squared error of the best K-level scalar quantiser of N(0, 1).

    Lloyd's iteration from equal cells in probability; for a log-concave density its fixed point is unique.

    Raises:
        ValueError: fewer than one cell.
    """
    if cells < 1:
        raise ValueError(f"lloyd_max_distortion: expected at least 1 cell, got {cells}")
    edges = norm.ppf(np.arange(cells + 1) / cells)
    while True:
        mass = np.diff(norm.cdf(edges))
        centres = -np.diff(norm.pdf(edges)) / mass
        moved = np.concatenate([edges[:1], (centres[1:] + centres[:-1]) / 2, edges[-1:]])
        if cells == 1 or np.abs(moved[1:-1] - edges[1:-1]).max() < 1e-13:
            return float(1 - (mass * centres**2).sum())
        edges = moved
