"""Densities integrate to one and draw what they say; a mean is that of draws; temperature scales variance."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from baselines.heads import FlowDensity, Mixture, NoiseHead
from baselines.raw_flow_matching import FlowMatching, HeadConfig
from bench.metrics.mixture import MixtureHead

DIM, FEATURES = 2, 6
HEADS: dict[str, Any] = {
    **{
        kind: lambda kind=kind: Mixture(FEATURES, DIM, 3, kind, rank=1)
        for kind in ("shared", "diagonal", "low_rank", "full")
    },
    "nsf": lambda: FlowDensity(FEATURES, DIM, "nsf", 3),
    "maf": lambda: FlowDensity(FEATURES, DIM, "maf", 2),
}


@pytest.fixture(params=HEADS)
def head(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(3)
    made = HEADS[request.param]()
    with torch.no_grad():
        for name, p in made.named_parameters():
            p.add_(0.3 * torch.randn_like(p) * (0.3 if "flow" in name else 1.0))
    return made.requires_grad_(False)


def features(n: int) -> torch.Tensor:
    return torch.randn(1, FEATURES, generator=torch.Generator().manual_seed(0)).expand(n, -1)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grid() -> tuple[torch.Tensor, float]:
    axis = torch.linspace(-16, 16, 561)
    return torch.cartesian_prod(axis, axis), float(axis[1] - axis[0]) ** 2


def test_it_integrates_to_one_and_its_draws_have_its_moments(head: Any) -> None:
    points, cell = grid()
    p = head.log_prob(features(len(points)), points).double().exp() * cell
    assert float(p.sum()) == pytest.approx(1.0, abs=4e-3)
    mean = (p[:, None] * points).sum(0)
    covariance = (p[:, None, None] * (points - mean)[:, :, None] * (points - mean)[:, None]).sum(0)
    draws = head.sample(features(40_000), rng()).double()
    assert (draws.mean(0) - mean).abs().max() < 5 * float(covariance.diagonal().max().sqrt()) / 200
    torch.testing.assert_close(torch.cov(draws.T), covariance.double(), rtol=0.06, atol=0.03)


def test_its_mean_is_that_of_its_density(head: Any) -> None:
    """Exact for mixtures; for flows within what 16 noises give."""
    points, cell = grid()
    p = head.log_prob(features(len(points)), points).double().exp() * cell
    mean = (p[:, None] * points).sum(0)
    exact = isinstance(head, Mixture)
    torch.testing.assert_close(
        head.mean(features(1))[0].double(), mean, atol=3e-3 if exact else 0.5, rtol=0.02 if exact else 0.0
    )
    state = torch.random.get_rng_state()
    assert torch.equal(head.mean(features(1)), head.mean(features(1)))
    assert torch.equal(state, torch.random.get_rng_state())


def test_leading_shapes_do_not_matter(head: Any) -> None:
    f = torch.randn(2, 5, FEATURES, generator=rng(1))
    u = torch.randn(2, 5, DIM, generator=rng(2))
    torch.testing.assert_close(head.log_prob(f, u).flatten(), head.log_prob(f.flatten(0, 1), u.flatten(0, 1)))
    assert torch.equal(head.sample(f, rng()).flatten(0, 1), head.sample(f.flatten(0, 1), rng()))


def test_one_component_full_or_low_rank_is_a_gaussian() -> None:
    """Against torch's own multivariate normal."""
    torch.manual_seed(0)
    u = torch.randn(7, 3)
    low = Mixture(4, 3, 1, "low_rank", rank=2).requires_grad_(False)
    f = torch.randn(7, 4)
    _, means, scales = low._components(f)
    v = low._columns(f)[:, 0]
    covariance = torch.diag_embed(scales[:, 0] ** 2) + v @ v.mT
    truth = torch.distributions.MultivariateNormal(means[:, 0], covariance).log_prob(u)
    torch.testing.assert_close(low.log_prob(f, u), truth, atol=1e-4, rtol=1e-4)
    full = Mixture(4, 3, 1, "full").requires_grad_(False)
    torch.nn.init.normal_(full.shape.weight, std=0.5)
    _, means, scales = full._components(f)
    precise = torch.diag_embed(1 / scales[:, 0]) @ (torch.eye(3) + full._below(f)[:, 0])
    truth = torch.distributions.MultivariateNormal(means[:, 0], precision_matrix=precise.mT @ precise).log_prob(u)
    torch.testing.assert_close(full.log_prob(f, u), truth, atol=1e-4, rtol=1e-4)


def test_the_shared_mixture_is_that_of_the_metrics() -> None:
    """Another implementation, given the same weights."""
    torch.manual_seed(0)
    mine, other = Mixture(5, 3, 4, "shared").requires_grad_(False), MixtureHead(5, 3, 4).requires_grad_(False)
    mine.load_state_dict(other.state_dict())
    torch.nn.init.normal_(mine.triangle)
    other.triangle.copy_(mine.triangle)
    f, u = torch.randn(6, 5), torch.randn(6, 3)
    torch.testing.assert_close(mine.log_prob(f, u), other.log_prob(f, u))
    torch.testing.assert_close(mine.mean(f), other.mean(f))
    assert torch.equal(mine.sample(f, rng()), other.sample(f, rng()))


def test_temperature_scales_the_variance() -> None:
    """√τ on the noise: one component's variance is τ times what it was, and at 0 the draw is its mean."""
    torch.manual_seed(0)
    for kind in ("shared", "diagonal", "low_rank", "full"):
        head: Any = Mixture(FEATURES, DIM, 1, kind, rank=1).requires_grad_(False)
        wide, narrow = (head.sample(features(20_000), rng(), t).var(0) for t in (1.0, 0.25))
        torch.testing.assert_close(narrow / wide, torch.full((DIM,), 0.25), atol=1e-3, rtol=0)
        torch.testing.assert_close(head.sample(features(3), rng(), 0.0), head.mean(features(3)))


def test_a_cold_mixture_takes_its_heaviest_component() -> None:
    torch.manual_seed(0)
    head: Any = Mixture(FEATURES, DIM, 3, "diagonal").requires_grad_(False)
    logits, means, _ = head._components(features(50))
    torch.testing.assert_close(head.sample(features(50), rng(), 0.0), means[0, logits[0].argmax()].expand(50, -1))


def test_noise_becomes_samples_as_it_is_told() -> None:
    class Affine(NoiseHead):
        dim = DIM

        def draw(self, features: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
            return features[..., :DIM] + 2.0 * noise

    head, f = Affine(), features(30_000)
    draws = head.sample(f, rng(), 0.25)
    torch.testing.assert_close(draws.std(0), torch.ones(DIM), atol=0.02, rtol=0)
    torch.testing.assert_close(head.mean(f[:4]), f[:4, :DIM], atol=1e-5, rtol=0)


def test_flow_matching_integrates_a_known_velocity() -> None:
    """Towards N(m, s²): the straight path's velocity is known, and Euler's error falls as one over the steps."""
    m, s = 1.5, 0.5

    class Known(FlowMatching):
        def velocity(self, u: torch.Tensor, t: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
            t = t.unsqueeze(-1)
            variance = (1 - t) ** 2 + (t * s) ** 2
            return m + (t * s * s - (1 - t)) / variance * (u - t * m)

    noise, errors = torch.randn(4000, DIM, generator=rng()), []
    for steps in (20, 80):
        head = Known(FEATURES, DIM, HeadConfig(width=8, layers=1, steps=steps))
        errors.append(float((head.draw(features(4000), noise) - (m + s * noise)).abs().max()))
    assert errors[1] < 0.1 and 3.0 < errors[0] / errors[1] < 5.0


def test_the_flow_matching_loss_is_least_at_that_velocity() -> None:
    """Data u ~ N(m, s²): no constant added to the known velocity lowers the loss."""
    m, s = 1.5, 0.5
    u = m + s * torch.randn(20_000, DIM, generator=rng(5))

    def loss(shift: float) -> float:
        class Known(FlowMatching):
            def velocity(self, u: torch.Tensor, t: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
                t = t.unsqueeze(-1)
                variance = (1 - t) ** 2 + (t * s) ** 2
                return m + shift + (t * s * s - (1 - t)) / variance * (u - t * m)

        torch.manual_seed(0)
        return float(Known(FEATURES, DIM, HeadConfig(width=8, layers=1)).loss(features(len(u)), u).mean())

    assert loss(0.0) < loss(0.1) and loss(0.0) < loss(-0.1)
    assert loss(0.1) - loss(0.0) == pytest.approx(DIM * 0.01, abs=0.01)
