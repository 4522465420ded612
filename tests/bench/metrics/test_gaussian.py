"""Closed forms against torch.distributions and the VAR(1) truth."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from bench.metrics.gaussian import LinearGaussian, kl_diagonal, log_normal
from tests.lab import ar1, gain


def test_kl_and_log_density_equal_torch() -> None:
    rng = torch.Generator().manual_seed(0)
    qm, pm, x = (torch.randn(7, 3, generator=rng) for _ in range(3))
    qs, ps = (torch.rand(7, 3, generator=rng) + 0.1 for _ in range(2))
    torch.testing.assert_close(kl_diagonal(qm, qs, pm, ps), kl_divergence(Normal(qm, qs), Normal(pm, ps)))
    torch.testing.assert_close(log_normal(x, qm, qs), Normal(qm, qs).log_prob(x).sum(-1))


@pytest.mark.parametrize("a", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("k", [1, 4])
def test_linear_gaussian_recovers_the_gain_under_any_mixing(a: float, k: int) -> None:
    mixing = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    train, test = ar1(a, 4, 3000, 40, 0, mixing), ar1(a, 4, 6000, 40, 1, mixing)
    pair = lambda us: (torch.cat([u.x[:-k] for u in us]), torch.cat([u.x[k:] for u in us]))  # noqa: E731
    conditional = LinearGaussian(*pair(train))
    marginal = LinearGaussian(pair(train)[0][:, :0], pair(train)[1])
    c, y = pair(test)
    measured = float((conditional.log_prob(c, y) - marginal.log_prob(c[:, :0], y)).mean())
    assert measured == pytest.approx(gain(a, 4, k), abs=0.03)


def test_marginal_nll_is_the_gaussian_entropy() -> None:
    x = torch.randn(40_000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2.0, 0.5])
    nll = -LinearGaussian(x[:20_000, :0], x[:20_000]).log_prob(x[20_000:, :0], x[20_000:]).mean()
    assert float(nll) == pytest.approx(1.5 * math.log(2 * math.pi * math.e), abs=0.02)
