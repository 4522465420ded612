"""Closed forms for Gaussians: KL of diagonals, and the linear-Gaussian conditional density.

Units: nats. Directions: KL(q‖p) ≥ 0, lower is closer; log-densities, higher is likelier.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def kl_diagonal(q_mean: Tensor, q_scale: Tensor, p_mean: Tensor, p_scale: Tensor) -> Tensor:
    """KL(N(q_mean, q_scale²) ‖ N(p_mean, p_scale²)) per dimension, all (..., D) → (..., D)."""
    ratio = (q_scale / p_scale).square()
    return 0.5 * (ratio + ((q_mean - p_mean) / p_scale).square() - 1.0 - ratio.log())


def log_normal(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """log N(x; mean, scale²) summed over the last axis."""
    z = (x - mean) / scale
    return (-0.5 * z.square() - scale.log() - 0.5 * math.log(2 * math.pi)).sum(-1)


class LinearGaussian:
    """p(y | c) = N(A [c, 1], Σ) by ridge regression, with the full residual covariance.

    The floor that a trained probe must beat, and exact on linear-Gaussian processes. Both estimates come from
    training pairs; the covariance is the maximum-likelihood one, whose bias is O((dim c + D) / n).

    Args:
        context: (n, C) training contexts; C = 0 gives the Gaussian marginal.
        target: (n, D) training targets.
        ridge: added to the diagonal of the standardised normal equations, times n.
    """

    def __init__(self, context: Tensor, target: Tensor, ridge: float = 1e-4) -> None:
        c, y = context.double(), target.double()
        self.c_mean, self.y_mean = c.mean(0), y.mean(0)
        self.c_scale = (c - self.c_mean).square().mean(0).sqrt().clamp(min=1e-9)
        c, y = (c - self.c_mean) / self.c_scale, y - self.y_mean
        gram = c.T @ c / len(c) + ridge * torch.eye(c.shape[1], dtype=c.dtype)
        self.weights = torch.linalg.solve(gram, c.T @ y / len(c)) if c.shape[1] else c.new_zeros(0, y.shape[1])
        residual = y - c @ self.weights
        covariance = residual.T @ residual / len(c)
        jitter = 1e-9 * covariance.diagonal().mean()
        self.cholesky = torch.linalg.cholesky(covariance + jitter * torch.eye(len(covariance), dtype=c.dtype))

    def log_prob(self, context: Tensor, target: Tensor) -> Tensor:
        """log p(target | context): (n, C), (n, D) → (n,)."""
        c = (context.double() - self.c_mean) / self.c_scale
        residual = target.double() - self.y_mean - c @ self.weights
        z = torch.linalg.solve_triangular(self.cholesky, residual.T, upper=False)
        log_det = self.cholesky.diagonal().log().sum()
        return -0.5 * z.square().sum(0) - log_det - 0.5 * residual.shape[1] * math.log(2 * math.pi)
