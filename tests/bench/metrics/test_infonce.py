"""InfoNCE: chance, saturation, and the optimal critic of a Gaussian pair."""

import math

import pytest
import torch

from bench.metrics import infonce


def test_chance_is_exactly_one_in_n_for_a_critic_that_knows_nothing() -> None:
    truth = torch.arange(12) % 6
    assert torch.equal(infonce.accuracy(torch.zeros(12, 6), truth), torch.full((12,), 1 / 6))
    torch.testing.assert_close(infonce.loss(torch.zeros(12, 6), truth), torch.full((12,), math.log(6)))


def test_noise_is_right_one_time_in_n() -> None:
    scores = torch.randn(40_000, 8, generator=torch.Generator().manual_seed(0))
    hits = infonce.accuracy(scores, torch.arange(40_000) % 8)
    assert float(hits.mean()) == pytest.approx(1 / 8, abs=3 * math.sqrt(7 / 64 / 40_000))


def test_the_bound_saturates_at_ln_n() -> None:
    truth = torch.arange(16)
    assert float(infonce.bound(1e3 * torch.eye(16), truth).mean()) == pytest.approx(math.log(16))


def test_the_optimal_critic_of_a_gaussian_pair_is_below_its_information() -> None:
    """log p(y | x) − log p(y) for correlation ρ; I = −½ ln(1 − ρ²), approached for N far above e^I."""
    rho, n = 0.8, 512
    x, e = torch.randn(2, 8 * n, generator=torch.Generator().manual_seed(1))
    y = rho * x + math.sqrt(1 - rho**2) * e
    bounds = []
    for xs, ys in zip(x.split(n), y.split(n), strict=True):
        scores = -0.5 * (ys[None] - rho * xs[:, None]).square() / (1 - rho**2) + 0.5 * ys.square()[None]
        bounds.append(infonce.bound(scores, torch.arange(n)))
    information = -0.5 * math.log(1 - rho**2)
    assert float(torch.cat(bounds).mean()) == pytest.approx(information, abs=0.05)
