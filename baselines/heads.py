"""Heads of autoregressive models: features of the past → a law of the next frame, in whitened latents u.

Densities (mixtures with four kinds of covariance, flows) have `log_prob`; a head driven by noise has samples alone,
and its mean is that of a fixed set of opposite noises, so that it draws nothing.

Temperature τ scales the variance of the noise that is drawn, as in CALM: its standard deviation is √τ; a mixture's
choice of component is sharpened by 1/τ beside.

References:
    Bishop 1994 (mixture density networks); Gales 1999 (semi-tied covariances); Durkan et al. 2019 (neural spline
    flows, arXiv 1906.04032); Papamakarios et al. 2017 (MAF, arXiv 1705.07057).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.errors import BenchError
from bench.metrics.mixture import MIN_SCALE
from bench.seeding import generator as seeded

Covariance = Literal["diagonal", "low_rank", "full", "shared"]
Flow = Literal["nsf", "maf"]
BINS, HIDDEN = 8, 64
"""Of a spline, and of a flow's masked networks."""
MEAN_NOISES = 16
"""Noises whose average is the mean of a head without one in closed form; half are the others' opposites."""
SMALLEST_TEMPERATURE = 1e-4


class Head(nn.Module, ABC):
    """Features (..., H) → a law of u (..., D)."""

    @abstractmethod
    def sample(self, features: Tensor, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """One draw (..., D) for each leading index; the generator is a CPU one."""

    @abstractmethod
    def mean(self, features: Tensor) -> Tensor:
        """E[u | features] (..., D)."""


class Density(Head):
    """A head with a density."""

    @abstractmethod
    def log_prob(self, features: Tensor, u: Tensor) -> Tensor:
        """log p(u | features): (..., H), (..., D) → (...), nats."""


class NoiseHead(Head):
    """A head that turns standard normal noise into samples."""

    dim: int

    @abstractmethod
    def draw(self, features: Tensor, noise: Tensor) -> Tensor:
        """Features (..., H) and noise (..., D) → u (..., D)."""

    def sample(self, features: Tensor, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        noise = torch.randn(*features.shape[:-1], self.dim, generator=generator).to(features)
        return self.draw(features, noise * math.sqrt(temperature))

    def mean(self, features: Tensor) -> Tensor:
        return averaged(self.draw, features, self.dim)


def averaged(draw: Callable[[Tensor, Tensor], Tensor], features: Tensor, dim: int) -> Tensor:
    """Mean of `draw` (features (..., H), noise (..., D) → (..., D)) over fixed noises and their opposites."""
    half = torch.randn(MEAN_NOISES // 2, dim, generator=seeded(0, "mean")).to(features)
    noises = torch.cat([half, -half]).reshape(MEAN_NOISES, *(1 for _ in features.shape[:-1]), dim)
    many = features.expand(MEAN_NOISES, *features.shape)
    return draw(many, noises.expand(*many.shape[:-1], dim)).mean(0)


class Mixture(Density):
    """A mixture of K Gaussians.

    * `shared`: diagonal after one learned unit lower-triangular map that all components share (semi-tied);
    * `diagonal`; `low_rank`: diag(s²) + V Vᵀ, V of `rank` columns; `full`: a precision factor for each component.

    Args:
        features: H.
        dim: D.
        components: K.
        rank: columns of V, for `low_rank`.
    """

    def __init__(self, features: int, dim: int, components: int, covariance: Covariance, rank: int = 2) -> None:
        super().__init__()
        self.dim, self.components, self.covariance, self.rank = dim, components, covariance, min(rank, dim)
        self.project = nn.Linear(features, components * (1 + 2 * dim))
        spread = torch.randn(components, dim) * math.sqrt(3 / dim)
        self.spread = nn.Parameter(spread - spread.mean(0))
        if covariance == "shared":
            self.triangle = nn.Parameter(torch.zeros(dim, dim))
        elif covariance != "diagonal":
            extra = dim * self.rank if covariance == "low_rank" else dim * (dim - 1) // 2
            self.shape = nn.Linear(features, components * extra)
            # a little off zero: at V = 0 its gradient vanishes
            nn.init.normal_(self.shape.weight, std=0.01)
            nn.init.normal_(self.shape.bias, std=0.1 if covariance == "low_rank" else 0.0)

    def log_prob(self, features: Tensor, u: Tensor) -> Tensor:
        if self.covariance == "shared":
            u = u @ self._shear().T
        logits, means, scales = self._components(features)
        distance, log_det = self._mahalanobis(features, u.unsqueeze(-2) - means, scales)
        log_component = -0.5 * distance - log_det - 0.5 * self.dim * math.log(2 * math.pi)
        return torch.logsumexp(F.log_softmax(logits, -1) + log_component, -1)

    def mean(self, features: Tensor) -> Tensor:
        logits, means, _ = self._components(features)
        return self._unsheared((F.softmax(logits, -1).unsqueeze(-1) * means).sum(-2))

    def sample(self, features: Tensor, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        logits, means, scales = self._components(features)
        weights = F.softmax(logits / max(temperature, SMALLEST_TEMPERATURE), -1)
        pick = torch.multinomial(weights.reshape(-1, self.components).cpu(), 1, generator=generator)
        pick = pick.to(means.device).reshape(*weights.shape[:-1], 1)
        noise = torch.randn(*features.shape[:-1], self.dim, generator=generator).to(means) * math.sqrt(temperature)
        chosen = self._chosen(means, pick)
        scale = self._chosen(scales, pick)
        if self.covariance == "low_rank":
            v = self._chosen(self._columns(features).flatten(-2), pick).unflatten(-1, (self.dim, self.rank))
            other = torch.randn(*features.shape[:-1], self.rank, generator=generator).to(means)
            other = other * math.sqrt(temperature)
            return chosen + scale * noise + (v @ other.unsqueeze(-1)).squeeze(-1)
        if self.covariance == "full":
            # z = (I + L)(u − m) / s
            unit = self._chosen(self._below(features).flatten(-2), pick).unflatten(-1, (self.dim, self.dim))
            unit = unit + torch.eye(self.dim, device=unit.device)
            scaled = (noise * scale).unsqueeze(-1)
            solved = torch.linalg.solve_triangular(unit, scaled, upper=False, unitriangular=True)
            return chosen + solved.squeeze(-1)
        return self._unsheared(chosen + scale * noise)

    def _components(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        k, d = self.components, self.dim
        logits, means, scales = self.project(features).split((k, k * d, k * d), dim=-1)
        means = means.unflatten(-1, (k, d)) + self.spread
        return logits, means, MIN_SCALE + F.softplus(scales.unflatten(-1, (k, d)) + 0.5)

    def _mahalanobis(self, features: Tensor, centred: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """Squared distance and ½ log |Σ| of each component, (..., K) both."""
        if self.covariance == "low_rank":
            z, v = centred / scales, self._columns(features) / scales.unsqueeze(-1)
            capacitance = v.transpose(-1, -2) @ v + torch.eye(self.rank, device=v.device)
            factor = torch.linalg.cholesky(capacitance)
            inner = torch.linalg.solve_triangular(factor, v.transpose(-1, -2) @ z.unsqueeze(-1), upper=False)
            distance = z.square().sum(-1) - inner.squeeze(-1).square().sum(-1)
            return distance, scales.log().sum(-1) + factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        if self.covariance == "full":
            centred = centred + (self._below(features) @ centred.unsqueeze(-1)).squeeze(-1)
        return (centred / scales).square().sum(-1), scales.log().sum(-1)

    def _columns(self, features: Tensor) -> Tensor:
        return self.shape(features).unflatten(-1, (self.components, self.dim, self.rank))

    def _below(self, features: Tensor) -> Tensor:
        """The strictly lower triangular matrices (..., K, D, D)."""
        below = self.shape(features).unflatten(-1, (self.components, -1))
        rows, columns = torch.tril_indices(self.dim, self.dim, -1, device=below.device)
        lower = below.new_zeros(*below.shape[:-1], self.dim, self.dim)
        lower[..., rows, columns] = below
        return lower

    def _chosen(self, values: Tensor, pick: Tensor) -> Tensor:
        """(..., K, C) at the component `pick` (..., 1) → (..., C)."""
        return values.gather(-2, pick.unsqueeze(-1).expand(*pick.shape, values.shape[-1])).squeeze(-2)

    def _shear(self) -> Tensor:
        return self.triangle.tril(-1) + torch.eye(self.dim, device=self.triangle.device)

    def _unsheared(self, v: Tensor) -> Tensor:
        if self.covariance != "shared":
            return v
        flat = v.reshape(-1, self.dim)
        solved = torch.linalg.solve_triangular(self._shear(), flat.T, upper=False, unitriangular=True)
        return solved.T.reshape(v.shape)


class FlowDensity(Density):
    """A conditional autoregressive flow of zuko.

    One affine autoregressive layer goes before the splines, which act on [−5, 5] alone: what they see is then the
    residual of a conditional Gaussian. A MAF has affine layers only.

    Args:
        features: H.
        dim: D.
        kind: "nsf" or "maf".
        transforms: autoregressive layers in alternating order, the affine first one included.

    Raises:
        BenchError: zuko is not installed.
    """

    def __init__(self, features: int, dim: int, kind: Flow, transforms: int) -> None:
        super().__init__()
        zuko = _zuko()
        self.dim = dim
        affine: dict[str, Any] = {"univariate": partial(zuko.transforms.MonotonicAffineTransform, slope=MIN_SCALE)}
        spline: dict[str, Any] = {
            "univariate": zuko.transforms.MonotonicRQSTransform,
            "shapes": [(BINS,), (BINS,), (BINS - 1,)],
        }
        order = torch.arange(dim)
        layers = [
            zuko.flows.MaskedAutoregressiveTransform(
                dim,
                features,
                order=order if index % 2 == 0 else order.flip(0),
                hidden_features=(HIDDEN,),
                **(spline if kind == "nsf" and index else affine),
            )
            for index in range(transforms)
        ]
        base = zuko.flows.UnconditionalDistribution(
            zuko.distributions.DiagNormal, loc=torch.zeros(dim), scale=torch.ones(dim), buffer=True
        )
        self.flow = zuko.flows.Flow(layers, base)

    def log_prob(self, features: Tensor, u: Tensor) -> Tensor:
        return self.flow(features).log_prob(u)

    def sample(self, features: Tensor, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        noise = torch.randn(*features.shape[:-1], self.dim, generator=generator).to(features)
        return self._from_noise(features, noise * math.sqrt(temperature))

    def mean(self, features: Tensor) -> Tensor:
        return averaged(self._from_noise, features, self.dim)

    def _from_noise(self, features: Tensor, noise: Tensor) -> Tensor:
        return self.flow(features).transform.inv(noise)


def _zuko() -> Any:
    try:
        import zuko
        import zuko.distributions
        import zuko.flows
        import zuko.transforms
    except ImportError as error:
        raise BenchError("a flow head needs zuko: pip install 'latentbench[probes]'") from error
    return zuko
