"""Densities of the probe's heads against torch.distributions and against each other."""

import builtins

import pytest
import torch
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal

from bench.errors import BenchError
from bench.metrics.mixture import MIN_SCALE, MixtureHead
from tasks.probes.flow import FlowDensity
from tasks.probes.linear import LinearStart
from tasks.probes.mdn import MixtureDensity, log_kernel

N, H, D = 5, 6, 4


def head(covariance, components=1, **how):
    torch.manual_seed(0)
    made = MixtureDensity(H, D, components, covariance, **how)
    for p in made.parameters():
        p.data.add_(0.1 * torch.randn(p.shape))
    return made, torch.randn(N, H), torch.randn(N, D)


def test_low_rank_is_torchs() -> None:
    made, f, u = head("low_rank", rank=2)
    _, means, scales = made._weighted(f)
    factor = made.shape(f).unflatten(-1, (1, D, 2))[:, 0]
    expected = LowRankMultivariateNormal(means[:, 0], factor, scales[:, 0].square()).log_prob(u)
    torch.testing.assert_close(made.log_prob(f, u), expected)


def test_full_is_torchs_with_its_precision_factor() -> None:
    made, f, u = head("full")
    _, means, scales = made._weighted(f)
    rows, columns = torch.tril_indices(D, D, -1)
    unit = torch.eye(D).repeat(N, 1, 1)
    unit[:, rows, columns] = made.shape(f)
    factor = unit / scales[:, 0, :, None]
    expected = MultivariateNormal(means[:, 0], precision_matrix=factor.transpose(1, 2) @ factor).log_prob(u)
    torch.testing.assert_close(made.log_prob(f, u), expected, rtol=1e-4, atol=1e-4)


def test_semi_tied_is_the_baselines_head() -> None:
    made, f, u = head("semi_tied", components=3)
    other = MixtureHead(H, D, 3)
    other.load_state_dict(made.state_dict())
    torch.testing.assert_close(made.log_prob(f, u), other.log_prob(f, u))
    torch.testing.assert_close(made.mean(f), other.mean(f))


@pytest.mark.parametrize("df", [3.0, 8.0])
def test_student_t_integrates_to_one_and_has_heavier_tails(df: float) -> None:
    grid = torch.linspace(-200, 200, 400_001, dtype=torch.float64)
    density = log_kernel(grid.square(), 1, df)
    assert float(torch.trapezoid(density.exp(), grid)) == pytest.approx(1.0, abs=1e-4)
    torch.testing.assert_close(density[:-1], torch.distributions.StudentT(df).log_prob(grid)[:-1].double())
    far = torch.tensor(400.0)
    assert log_kernel(far, 4, df) > log_kernel(far, 4, 0.0) + 100


@pytest.mark.parametrize("kind", ["nsf", "maf"])
def test_a_flow_is_a_density_inside_and_outside_its_box(kind) -> None:
    torch.manual_seed(0)
    flow = FlowDensity(H, 1, kind, 3)
    grid = torch.linspace(-60, 60, 60_001)[:, None]
    with torch.no_grad():
        p = flow.log_prob(torch.randn(H).expand(len(grid), -1), grid).exp()
    assert float(torch.trapezoid(p, grid[:, 0])) == pytest.approx(1.0, abs=1e-3)


def test_without_zuko_one_line_says_what_to_install(monkeypatch) -> None:
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.startswith("zuko"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BenchError, match=r"pip install 'latentbench\[probes\]'"):
        FlowDensity(H, D, "nsf", 2)


def test_the_start_whitens_a_residual_and_keeps_the_floor() -> None:
    rng = torch.Generator().manual_seed(0)
    z, e = torch.randn(4000, 3, generator=rng), torch.randn(4000, 2, generator=rng)
    u = z @ torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]) + e @ torch.tensor([[0.5, 0.2], [0.0, 0.3]]) + 3
    start = LinearStart(3, 2)
    start.set_from((z, u), (z[:500], u[:500]), diagonal=False)
    torch.testing.assert_close(torch.cov(start(z, u).T), torch.eye(2), atol=5e-3, rtol=0)
    start.set_from((z, z[:, :2]), (z[:500], z[:500, :2]), diagonal=False)
    assert float(start.log_det) == pytest.approx(-2 * torch.tensor(MIN_SCALE).log().item())
