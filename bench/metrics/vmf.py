"""The von Mises–Fisher distribution on the unit sphere of R^d: density, moments, entropy, samples, fit.

f(u) = C_d(κ) exp(κ μᵀu) against the surface measure, C_d(κ) = κ^ν / ((2π)^{d/2} I_ν(κ)) with ν = d/2 − 1; the mean
cosine is A_d(κ) = I_{ν+1}(κ) / I_ν(κ), and d ln C_d / dκ = −A_d. Natural logarithms, float64 inside.

I_ν underflows long before κ^−ν I_ν does (I_255(10) is below 1e-300), so that only ln (κ^−ν I_ν) is formed. At an
order M ≥ 32 it has the uniform expansion of Debye, good to 1e-14 for every κ ≥ 0; from there the ratios
s_j = I_{j+1} / (κ I_j) = 1 / (2 (j + 1) + κ² s_{j+1}) lead down to ν, a recurrence of positive terms.

References:
    DLMF 10.41 (uniform expansions) and 10.29 (recurrences); Wood 1994, "Simulation of the von Mises Fisher
    distribution", Communications in Statistics 23(1); Sra 2012, "A short note on parameter approximation for von
    Mises–Fisher distributions", Computational Statistics 27.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ORDER = 32
"""From which the expansion is used."""
TERMS = 12
NEWTON_STEPS = 12


def _debye(terms: int) -> list[list[float]]:
    """Coefficients, lowest first, of u_0 … u_{terms−1}: u' = ½ t² (1 − t²) u̇ + ⅛ ∫ (1 − 5 t²) u."""
    u = [Fraction(1)]
    rows = [u]
    for _ in range(terms - 1):
        new = [Fraction(0)] * (len(u) + 3)
        for i, c in enumerate(u):
            new[i + 1] += c * i / 2 + c / (8 * (i + 1))
            new[i + 3] -= c * i / 2 + 5 * c / (8 * (i + 3))
        u = new
        rows.append(u)
    return [[float(c) for c in row] for row in rows]


POLYNOMIALS = _debye(TERMS)


def log_normaliser(kappa: Tensor, dim: int) -> Tensor:
    """ln C_d(κ), of any shape, float64; differentiable in κ once. At κ = 0 it is −ln |S^{d−1}|."""
    return cast(Tensor, _LogNormaliser.apply(kappa.double(), dim))


def mean_cosine(kappa: Tensor, dim: int) -> Tensor:
    """A_d(κ) = E μᵀu, of any shape, float64; differentiable in κ once."""
    return cast(Tensor, _MeanCosine.apply(kappa.double(), dim))


def log_prob(u: Tensor, natural: Tensor) -> Tensor:
    """ln f(u) for κμ = `natural`: two (..., d) → (...), nats."""
    u, natural = u.double(), natural.double()
    # the floor keeps the gradient of the norm finite at 0
    kappa = (natural.square().sum(-1) + 1e-24).sqrt()
    return (u * natural).sum(-1) + log_normaliser(kappa, u.shape[-1])


def log_area(dim: int) -> float:
    """ln |S^{d−1}|, the entropy of the uniform distribution."""
    return math.log(2) + 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim)


def entropy(kappa: Tensor, dim: int) -> Tensor:
    """−ln C_d(κ) − κ A_d(κ), nats."""
    return -log_normaliser(kappa, dim) - kappa * mean_cosine(kappa, dim)


def concentration(cosine: Tensor, dim: int) -> Tensor:
    """κ with A_d(κ) = r̄: Newton's method from r̄ (d − r̄²) / (1 − r̄²).

    Raises:
        ValueError: a mean cosine outside [0, 1).
    """
    r = cosine.double()
    if ((r < 0) | (r >= 1) | r.isnan()).any():
        raise ValueError(f"concentration: expected mean cosines in [0, 1), got {r.min():.4g} to {r.max():.4g}")
    kappa = r * (dim - r.square()) / (1 - r.square())
    for _ in range(NEWTON_STEPS):
        a, scaled = _ratio(kappa, dim)
        slope = 1 - a.square() - (dim - 1) * scaled
        # 1 − A² − (d − 1) A / κ cancels for large κ, where it is (d − 1) / 2κ² to first order
        slope = torch.where(slope > 0, slope, 0.5 * (dim - 1) / kappa.square().clamp(min=1e-300))
        kappa = (kappa - (a - r) / slope).clamp(min=0.0)
    return kappa


def fit(u: Tensor) -> tuple[Tensor, Tensor]:
    """Maximum likelihood from unit vectors (n, d): mean direction (d,) and κ ()."""
    mean = u.double().mean(0)
    length = mean.norm()
    return mean / length, concentration(length, u.shape[1])


def sample_cosine(kappa: float, dim: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draws of μᵀu, float64, by Wood's rejection sampler.

    Args:
        kappa: κ ≥ 0.
        dim: d ≥ 2.
    """
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    half, count = dim - 1, math.prod(shape)
    b = half / (2 * kappa + math.sqrt(4 * kappa**2 + half**2))
    mode = (1 - b) / (1 + b)
    peak = kappa * mode + half * math.log1p(-(mode**2))
    kept: list[np.ndarray] = []
    while sum(map(len, kept)) < count:
        z = rng.beta(half / 2, half / 2, size=max(64, 2 * (count - sum(map(len, kept)))))
        w = (1 - (1 + b) * z) / (1 - (1 - b) * z)
        kept.append(w[kappa * w + half * np.log1p(-mode * w) - peak >= np.log(rng.uniform(size=len(w)))])
    return torch.from_numpy(np.concatenate(kept)[:count]).reshape(shape)


def around(mean: Tensor, cosine: Tensor, generator: torch.Generator) -> Tensor:
    """Unit vectors at the given cosines (...) from `mean` (..., d), otherwise uniform: (..., d), float64."""
    mean = mean.double()
    side = torch.randn(mean.shape, generator=generator, dtype=torch.float64)
    side = side - (side * mean).sum(-1, keepdim=True) * mean
    side = side / side.norm(dim=-1, keepdim=True)
    w = cosine[..., None]
    return w * mean + (1 - w.square()).clamp(min=0.0).sqrt() * side


def sample(mean: Tensor, kappa: float, n: int, generator: torch.Generator) -> Tensor:
    """`n` draws around the unit vector `mean` (d,): (n, d), float64."""
    cosine = sample_cosine(kappa, len(mean), (n,), generator)
    return around(mean.expand(n, -1), cosine, generator)


class _LogNormaliser(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kappa: Tensor, dim: int) -> Tensor:
        top, lifts = _top(dim)
        log_scaled, s = _log_scaled(kappa, top), _log_step(kappa, top).exp()
        square, product = kappa.square(), torch.ones_like(kappa)
        for i in range(lifts):
            s = 1 / (2 * (top - i) + square * s)
            product = product * s
        ctx.save_for_backward(kappa * s)
        return product.log() - log_scaled - 0.5 * dim * math.log(2 * math.pi)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -grads[0] * ctx.saved_tensors[0], None


class _MeanCosine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kappa: Tensor, dim: int) -> Tensor:
        a, scaled = _ratio(kappa, dim)
        ctx.save_for_backward(1 - a.square() - (dim - 1) * scaled)
        return a

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.saved_tensors[0], None


def _top(dim: int) -> tuple[float, int]:
    """The order at which the expansion starts, and its distance from ν."""
    order = 0.5 * dim - 1
    lifts = max(0, math.ceil(ORDER - order))
    return order + lifts, lifts


def _ratio(kappa: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """A_d(κ), and A_d(κ) / κ."""
    top, lifts = _top(dim)
    s = _log_step(kappa, top).exp()
    for i in range(lifts):
        s = 1 / (2 * (top - i) + kappa.square() * s)
    return kappa * s, s


@lru_cache
def _coefficients(order: float) -> Tensor:
    """Σ_k u_k(t) / M^k as one polynomial of t, lowest first."""
    total = torch.zeros(len(POLYNOMIALS[-1]), dtype=torch.float64)
    for k, row in enumerate(POLYNOMIALS):
        total[: len(row)] += torch.tensor(row, dtype=torch.float64) / order**k
    return total


def _series(kappa: Tensor, order: float) -> Tensor:
    """ln Σ_k u_k(t) / M^k at t = M / √(M² + κ²)."""
    t = order / (order**2 + kappa.square()).sqrt()
    c = _coefficients(order).to(kappa.device)
    return (t[..., None] ** torch.arange(len(c), device=kappa.device) @ c).log()


def _log_scaled(kappa: Tensor, order: float) -> Tensor:
    """ln (κ^−M I_M(κ)) = R − M ln (M + R) − ½ ln (2π R) + ln Σ, R = √(M² + κ²)."""
    root = (order**2 + kappa.square()).sqrt()
    return root - order * (order + root).log() - 0.5 * (2 * math.pi * root).log() + _series(kappa, order)


def _log_step(kappa: Tensor, order: float) -> Tensor:
    """ln s_M, the difference of two `_log_scaled` with what cancels left out."""
    low, high = ((m**2 + kappa.square()).sqrt() for m in (order, order + 1))
    rise = (2 * order + 1) / (high + low)
    bend = rise - order * torch.log1p((1 + rise) / (order + low)) - (order + 1 + high).log()
    return bend - 0.5 * torch.log1p(rise / low) + _series(kappa, order + 1) - _series(kappa, order)
