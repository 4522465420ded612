"""Mixture densities against torch.distributions, grids and their own samples."""

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from bench.metrics.mixture import Mixture, MixtureHead, Whitening


def random_head(dim: int, components: int, seed: int) -> tuple[MixtureHead, torch.Tensor]:
    torch.manual_seed(seed)
    head = MixtureHead(5, dim, components).double()
    with torch.no_grad():
        head.triangle.copy_(torch.randn(dim, dim))
    return head.requires_grad_(False), torch.randn(5, dtype=torch.float64)


@pytest.mark.parametrize("components", [1, 4])
def test_density_equals_torch_mixture_of_full_covariances(components: int) -> None:
    head, features = random_head(3, components, 0)
    mixture, shear = head.mixture(features), head.shear()
    inverse = torch.linalg.inv(shear)
    covariance = inverse @ torch.diag_embed(mixture.scales.square()) @ inverse.T
    reference = MixtureSameFamily(
        Categorical(logits=mixture.logits), MultivariateNormal(mixture.means @ inverse.T, covariance)
    )
    u = torch.randn(50, 3, dtype=torch.float64) * 3
    torch.testing.assert_close(head.log_prob(features.expand(50, -1), u), reference.log_prob(u))


def test_density_integrates_to_one() -> None:
    head, features = random_head(2, 3, 1)
    axis = torch.linspace(-25, 25, 1201, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    density = head.log_prob(features.expand(len(grid), -1), grid).exp()
    assert float(density.sum() * (axis[1] - axis[0]) ** 2) == pytest.approx(1.0, abs=1e-4)


def test_samples_have_the_mixtures_mean_and_covariance() -> None:
    head, features = random_head(3, 4, 2)
    draws = head.sample(features.expand(200_000, -1), torch.Generator().manual_seed(0))
    mixture, inverse = head.mixture(features), torch.linalg.inv(head.shear())
    weights = mixture.logits.softmax(-1)
    mean = weights @ mixture.means
    spread = mixture.means - mean
    covariance = torch.diag(weights @ mixture.scales.square()) + (weights[:, None] * spread).T @ spread
    torch.testing.assert_close(head.mean(features), inverse @ mean)
    torch.testing.assert_close(draws.mean(0), inverse @ mean, atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(draws.T), inverse @ covariance @ inverse.T, rtol=0.03, atol=0.05)


def test_sampling_depends_on_the_generator_alone() -> None:
    head, features = random_head(3, 4, 3)
    one, other = (head.sample(features.expand(9, -1), torch.Generator().manual_seed(s)) for s in (1, 2))
    torch.manual_seed(99)
    again = head.sample(features.expand(9, -1), torch.Generator().manual_seed(1))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_whitening_whitens_inverts_and_counts_its_volume() -> None:
    rng = torch.Generator().manual_seed(0)
    mixing = torch.randn(4, 4, generator=rng)
    x = torch.randn(50_000, 4, generator=rng) @ mixing.T + 3.0
    white = Whitening(4).set_from(x)
    u = white(x)
    torch.testing.assert_close(torch.cov(u.T), torch.eye(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(white.invert(u), x, atol=1e-4, rtol=1e-4)
    # entropy of the Gaussian that x is: that of u, less log|det W|
    entropy = 0.5 * torch.logdet(2 * math.pi * math.e * torch.cov(x.T))
    unit = Mixture(torch.zeros(1), torch.zeros(1, 4), torch.ones(1, 4))
    assert float(-(unit.log_prob(u) + white.log_det()).mean()) == pytest.approx(float(entropy), abs=1e-3)


def test_a_constant_dimension_does_not_blow_up() -> None:
    x = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 2.5
    u = Whitening(3).set_from(x)(x)
    assert torch.isfinite(u).all() and float(u.abs().max()) < 10
