"""The von Mises–Fisher density against arbitrary precision, and its samples against its moments."""

import math

import mpmath
import pytest
import torch

from bench.metrics import vmf

POINTS = [(d, kappa) for d in (2, 3, 8, 64, 66, 512, 1024) for kappa in (0.01, 10.0, 1000.0)]


def at(kappa: float) -> torch.Tensor:
    return torch.tensor(kappa, dtype=torch.float64)


@pytest.mark.parametrize(("dim", "kappa"), POINTS)
def test_normaliser_mean_cosine_and_inverse_are_those_of_arbitrary_precision(dim, kappa) -> None:
    mpmath.mp.dps = 30
    order = mpmath.mpf(dim) / 2 - 1
    low, high = (mpmath.besseli(order + i, kappa, maxterms=10**6) for i in (0, 1))
    truth = order * mpmath.log(kappa) - mpmath.mpf(dim) / 2 * mpmath.log(2 * mpmath.pi) - mpmath.log(low)
    assert float(vmf.log_normaliser(at(kappa), dim)) == pytest.approx(float(truth), rel=1e-12)
    cosine = float(high / low)
    assert float(vmf.mean_cosine(at(kappa), dim)) == pytest.approx(cosine, rel=1e-12)
    assert float(vmf.concentration(at(cosine), dim)) == pytest.approx(kappa, rel=1e-8)


def test_no_concentration_is_the_uniform_distribution() -> None:
    for dim in (2, 3, 512):
        assert float(vmf.log_normaliser(at(0.0), dim)) == pytest.approx(-vmf.log_area(dim), rel=1e-12)
    assert vmf.log_area(3) == pytest.approx(math.log(4 * math.pi))


@pytest.mark.parametrize("dim", [2, 8, 512])
def test_derivatives_are_those_of_finite_differences(dim) -> None:
    kappa = torch.tensor([0.5, 20.0, 300.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda k: vmf.log_normaliser(k, dim), kappa)
    assert torch.autograd.gradcheck(lambda k: vmf.mean_cosine(k, dim), kappa)
    natural = torch.zeros(1, dim, requires_grad=True)
    vmf.log_prob(torch.eye(dim)[:1], natural).sum().backward()
    assert natural.grad is not None and float(natural.grad[0, 0]) == pytest.approx(1.0)


@pytest.mark.parametrize(("dim", "kappa"), [(2, 3.0), (8, 20.0), (256, 400.0)])
def test_samples_have_the_moments_and_entropy_and_give_the_parameters_back(dim, kappa) -> None:
    mean = torch.nn.functional.normalize(torch.arange(1.0, dim + 1).double(), dim=0)
    u = vmf.sample(mean, kappa, 20_000, torch.Generator().manual_seed(0))
    assert torch.allclose(u.norm(dim=1), torch.ones(1).double())
    direction, found = vmf.fit(u)
    assert float(direction @ mean) > 0.999 and float(found) == pytest.approx(kappa, rel=0.03)
    nll = -vmf.log_prob(u, kappa * mean)
    error = float(nll.std()) / math.sqrt(len(u))
    assert float(nll.mean()) == pytest.approx(float(vmf.entropy(at(kappa), dim)), abs=4 * error)


def test_a_mean_cosine_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="mean cosines in .0, 1., got 1.5"):
        vmf.concentration(at(1.5), 3)
