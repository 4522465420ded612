"""Mixture densities whose components share one linear map (semi-tied covariances).

A mixture of K diagonal Gaussians over u = A (x − b), with A the product of a fixed whitening matrix and a
learned unit lower-triangular matrix. One component is then any full-covariance Gaussian, and the map costs
one matrix product. log p(x) = log p(u) + log|det A|.

References:
    Bishop 1994 (mixture density networks); Gales 1999, "Semi-tied covariance matrices for hidden Markov
    models", IEEE Transactions on Speech and Audio Processing 7(3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MIN_SCALE = 0.02
"""Smallest component scale, in standard deviations of the whitened data: the σ-floor is tied to the data."""


@dataclass(frozen=True)
class Mixture:
    """Mixture parameters in the whitened space u: `logits` (..., K), `means` and `scales` (..., K, D)."""

    logits: Tensor
    means: Tensor
    scales: Tensor

    def log_prob(self, u: Tensor) -> Tensor:
        """Log-density of u (..., D) → (...)."""
        z = (u.unsqueeze(-2) - self.means) / self.scales
        log_component = -0.5 * z.square().sum(-1) - self.scales.log().sum(-1)
        log_component = log_component - 0.5 * u.shape[-1] * math.log(2 * math.pi)
        return torch.logsumexp(F.log_softmax(self.logits, -1) + log_component, -1)

    def mean(self) -> Tensor:
        """E u (..., D)."""
        return (F.softmax(self.logits, -1).unsqueeze(-1) * self.means).sum(-2)

    def sample(self, generator: torch.Generator) -> Tensor:
        """One draw for each leading index (..., D); the generator is a CPU one."""
        weights = F.softmax(self.logits, -1)
        flat = weights.reshape(-1, weights.shape[-1]).cpu()
        pick = torch.multinomial(flat, 1, generator=generator).to(weights.device)
        pick = pick.reshape(*weights.shape[:-1], 1, 1).expand(*weights.shape[:-1], 1, self.means.shape[-1])
        noise = torch.randn(self.means.shape[:-2] + self.means.shape[-1:], generator=generator)
        means, scales = self.means.gather(-2, pick).squeeze(-2), self.scales.gather(-2, pick).squeeze(-2)
        return means + scales * noise.to(means)


class Whitening(nn.Module):
    """The fixed affine map x ↦ W (x − b) that makes training frames white; the identity until `set_from`."""

    shift: Tensor
    matrix: Tensor
    inverse: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(dim))
        self.register_buffer("matrix", torch.eye(dim))
        self.register_buffer("inverse", torch.eye(dim))

    @torch.no_grad()
    def set_from(self, frames: Tensor, floor: float = 1e-6) -> Whitening:
        """Estimate shift and matrix.

        Args:
            frames: (n, D) training frames, n > D.
            floor: smallest eigenvalue of the covariance, relative to the largest, that is scaled to one; a
                direction below it is left as small as it is relative to the floor, not blown up.
        """
        x = frames.double()
        shift = x.mean(0)
        covariance = (x - shift).T @ (x - shift) / len(x)
        values, vectors = torch.linalg.eigh(covariance)
        roots = values.clamp(min=float(values.max()) * floor).sqrt()
        self.shift.copy_(shift)
        self.matrix.copy_((vectors / roots) @ vectors.T)
        self.inverse.copy_((vectors * roots) @ vectors.T)
        return self

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.shift) @ self.matrix.T

    def invert(self, u: Tensor) -> Tensor:
        """u ↦ x."""
        return u @ self.inverse.T + self.shift

    def log_det(self) -> Tensor:
        """log |det W|: what to add to a log-density of u to have that of x."""
        return torch.linalg.slogdet(self.matrix.double())[1].to(self.matrix.dtype)


class MixtureHead(nn.Module):
    """Features (..., H) → a mixture over D dimensions, with a learned shared triangular map.

    `log_prob` and `sample` work in the space the head was trained in (whitened latents).
    """

    def __init__(self, features: int, dim: int, components: int) -> None:
        super().__init__()
        self.dim, self.components = dim, components
        self.project = nn.Linear(features, components * (1 + 2 * dim))
        self.triangle = nn.Parameter(torch.zeros(dim, dim))
        self.spread = nn.Parameter(torch.randn(components, dim) * 0.5)

    def mixture(self, features: Tensor) -> Mixture:
        raw = self.project(features)
        k, d = self.components, self.dim
        logits, means, scales = raw.split((k, k * d, k * d), dim=-1)
        means = means.unflatten(-1, (k, d)) + self.spread
        return Mixture(logits, means, MIN_SCALE + F.softplus(scales.unflatten(-1, (k, d)) + 0.5))

    def shear(self) -> Tensor:
        """The unit lower-triangular matrix; its determinant is 1."""
        return self.triangle.tril(-1) + torch.eye(self.dim, device=self.triangle.device)

    def log_prob(self, features: Tensor, u: Tensor) -> Tensor:
        """log p(u | features): (..., H), (..., D) → (...)."""
        return self.mixture(features).log_prob(u @ self.shear().T)

    def sample(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """One draw per leading index (..., D)."""
        return self._unshear(self.mixture(features).sample(generator))

    def mean(self, features: Tensor) -> Tensor:
        """E[u | features] (..., D)."""
        return self._unshear(self.mixture(features).mean())

    def _unshear(self, v: Tensor) -> Tensor:
        flat = v.reshape(-1, self.dim)
        solved = torch.linalg.solve_triangular(self.shear(), flat.T, upper=False, unitriangular=True)
        return solved.T.reshape(v.shape)
