"""Mixture-density heads: features to a mixture over the whitened target, in four kinds of covariance.

* `semi_tied` (the default): diagonal components after one learned unit lower-triangular map that all share; one
  component is then any full-covariance Gaussian, at the price of one matrix product.
* `diagonal`: the same without the map. Its gain depends on the coordinates of x: see `docs/design/0003-probe.md`.
* `low_rank`: diag(s²) + V Vᵀ for each component, V of `rank` columns.
* `full`: a precision factor L for each component, z = L (u − m), lower triangular.

Scales never fall below `MIN_SCALE` standard deviations of the whitened data: the σ-floor is tied to the data, and
the same for the probe and its twin. With `df` > 0 every component is a multivariate Student-t of that many degrees
of freedom on the same Mahalanobis distance, for latents with spikes.

References:
    Bishop 1994 (mixture density networks); Gales 1999 (semi-tied covariances); Peel and McLachlan 2000, "Robust
    mixture modelling using the t distribution", Statistics and Computing 10.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.metrics.mixture import MIN_SCALE

Covariance = Literal["diagonal", "low_rank", "full", "semi_tied"]


class MixtureDensity(nn.Module):
    """Features (n, H) → log-density of u (n, D) under a mixture.

    Args:
        features: H.
        dim: D.
        components: K.
        covariance: see the module.
        rank: columns of V, for `low_rank`.
        df: degrees of freedom of Student-t components; 0: Gaussian ones.
    """

    def __init__(
        self, features: int, dim: int, components: int, covariance: Covariance, rank: int = 2, df: float = 0.0
    ) -> None:
        super().__init__()
        self.dim, self.components, self.covariance, self.df = dim, components, covariance, df
        self.rank = min(rank, dim)
        self.project = nn.Linear(features, components * (1 + 2 * dim))
        # with one component the density starts at the closed form that it is put upon
        nn.init.normal_(self.project.weight, std=0.1 / math.sqrt(features))
        nn.init.zeros_(self.project.bias)
        # a component near every mode of white data in few dimensions, near one Gaussian in many
        spread = torch.randn(components, dim) * math.sqrt(3 / dim)
        self.spread = nn.Parameter(spread - spread.mean(0))
        if covariance == "semi_tied":
            self.triangle = nn.Parameter(torch.zeros(dim, dim))
        elif covariance != "diagonal":
            extra = dim * self.rank if covariance == "low_rank" else dim * (dim - 1) // 2
            self.shape = nn.Linear(features, components * extra)
            # a little off zero: at V = 0 its gradient vanishes
            nn.init.normal_(self.shape.weight, std=0.01)
            nn.init.normal_(self.shape.bias, std=0.1 if covariance == "low_rank" else 0.0)

    def log_prob(self, features: Tensor, u: Tensor) -> Tensor:
        """log p(u | features): (n, H), (n, D) → (n,) nats."""
        if self.covariance == "semi_tied":
            u = u @ self._unit(self.triangle.tril(-1)).T
        logits, means, scales = self._weighted(features)
        distance, log_det = self._mahalanobis(features, u.unsqueeze(-2) - means, scales)
        return torch.logsumexp(F.log_softmax(logits, -1) + log_kernel(distance, self.dim, self.df) - log_det, -1)

    def mean(self, features: Tensor) -> Tensor:
        """E[u | features]: (n, H) → (n, D)."""
        logits, means, _ = self._weighted(features)
        mean = (F.softmax(logits, -1).unsqueeze(-1) * means).sum(-2)
        if self.covariance != "semi_tied":
            return mean
        shear = self._unit(self.triangle.tril(-1))
        return torch.linalg.solve_triangular(shear, mean.T, upper=False, unitriangular=True).T

    def _weighted(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        k, d = self.components, self.dim
        logits, means, scales = self.project(features).split((k, k * d, k * d), dim=-1)
        means = means.unflatten(-1, (k, d)) + self.spread
        return logits, means, MIN_SCALE + F.softplus(scales.unflatten(-1, (k, d)) + 0.5)

    def _mahalanobis(self, features: Tensor, centred: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """Squared distance and ½ log |Σ| of each component: (n, K) both; centred and scales (n, K, D)."""
        if self.covariance == "low_rank":
            return self._woodbury(features, centred / scales, scales)
        if self.covariance == "full":
            below = self.shape(features).unflatten(-1, (self.components, -1))
            rows, columns = torch.tril_indices(self.dim, self.dim, -1, device=below.device)
            lower = below.new_zeros(*below.shape[:-1], self.dim, self.dim)
            lower[..., rows, columns] = below
            centred = centred + (lower @ centred.unsqueeze(-1)).squeeze(-1)
        return (centred / scales).square().sum(-1), scales.log().sum(-1)

    def _woodbury(self, features: Tensor, z: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """(S + V Vᵀ)⁻¹ and its determinant by the capacitance I + Vᵀ S⁻¹ V, rank × rank."""
        v = self.shape(features).unflatten(-1, (self.components, self.dim, self.rank)) / scales.unsqueeze(-1)
        capacitance = self._unit(v.transpose(-1, -2) @ v)
        factor = torch.linalg.cholesky(capacitance)
        inner = torch.linalg.solve_triangular(factor, v.transpose(-1, -2) @ z.unsqueeze(-1), upper=False)
        distance = z.square().sum(-1) - inner.squeeze(-1).square().sum(-1)
        return distance, scales.log().sum(-1) + factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    @staticmethod
    def _unit(matrix: Tensor) -> Tensor:
        return matrix + torch.eye(matrix.shape[-1], device=matrix.device)


def log_kernel(distance: Tensor, dim: int, df: float) -> Tensor:
    """Log-density at a squared Mahalanobis distance, without the −½ log |Σ|.

    Args:
        distance: (…).
        dim: D.
        df: degrees of freedom of a Student-t; 0: Gaussian.
    """
    if df == 0.0:
        return -0.5 * distance - 0.5 * dim * math.log(2 * math.pi)
    constant = math.lgamma(0.5 * (df + dim)) - math.lgamma(0.5 * df) - 0.5 * dim * math.log(df * math.pi)
    return constant - 0.5 * (df + dim) * torch.log1p(distance / df)
