"""One pass against two, and moments of distributions whose moments are known."""

import math

import pytest
import scipy.stats
import torch

from bench.metrics.moments import Moments


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gathered(x: torch.Tensor, *lengths: int) -> Moments:
    """`x` (n, D) in chunks of these lengths, over and over."""
    found, at, i = Moments(x.shape[1]), 0, 0
    while at < len(x):
        found.add(x[at : at + lengths[i % len(lengths)]])
        at, i = at + lengths[i % len(lengths)], i + 1
    return found


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_one_pass_is_two_passes(offset: float) -> None:
    x = (torch.randn(5000, 4, generator=rng(), dtype=torch.float64).exp() + offset).double()
    found = gathered(x, 1, 7, 300)
    close = {"rtol": 1e-9, "atol": 1e-9 * (1 + offset)}
    torch.testing.assert_close(found.mean, x.mean(0), **close)
    # an offset of 1e4 leaves 12 digits of x, and fewer of its powers about the mean
    close = {"rtol": 1e-7, "atol": 1e-7}
    torch.testing.assert_close(found.covariance(), torch.cov(x.T, correction=0), **close)
    torch.testing.assert_close(found.correlation(), torch.corrcoef(x.T), **close)
    torch.testing.assert_close(found.third / found.count, (x - x.mean(0)).pow(3).mean(0), **close)
    theirs = scipy.stats.kurtosis(x.numpy(), axis=0)
    torch.testing.assert_close(found.excess_kurtosis(), torch.from_numpy(theirs), **close)
    assert torch.equal(found.low, x.amin(0)) and torch.equal(found.high, x.amax(0))
    assert found.count == 5000


def test_millions_of_frames() -> None:
    # whose number to the third power is beyond 64 bits
    x = torch.randn(3_000_000, 1, generator=rng())
    found = gathered(x, 1_000_000)
    assert float(found.variance()) == pytest.approx(float(x.double().var(correction=0)), rel=1e-9)
    assert float(found.excess_kurtosis()) == pytest.approx(0.0, abs=0.01)


def test_kurtosis_of_gaussian_uniform_and_laplace_noise() -> None:
    n = 400_000
    gaussian = torch.randn(n, generator=rng(1))
    uniform = torch.rand(n, generator=rng(2))
    laplace = torch.empty(n).exponential_(generator=rng(3)) * torch.randn(n, generator=rng(4)).sign()
    found = gathered(torch.stack([gaussian, uniform, laplace], 1), 1000).excess_kurtosis()
    # standard errors .008, .002 and .04
    assert found[0] == pytest.approx(0.0, abs=0.025)
    assert found[1] == pytest.approx(-1.2, abs=0.01)
    assert found[2] == pytest.approx(3.0, abs=0.12)


def test_the_stated_bias_of_kurtosis() -> None:
    n, trials = 10, 2000
    # as many samples as dimensions; the standard error of the mean is .02
    found = gathered(torch.randn(n, trials, generator=rng()), n).excess_kurtosis()
    assert float(found.mean()) == pytest.approx(-6 / (n + 1), abs=0.06)


@pytest.mark.parametrize("a", [0.0, 0.8, -0.5])
def test_neighbours_of_an_autoregression(a: float) -> None:
    utterances, frames = 300, 400
    x = torch.empty(utterances, frames, 1, dtype=torch.float64)
    noise = torch.randn(utterances, frames, 1, generator=rng(), dtype=torch.float64)
    x[:, 0] = noise[:, 0] / math.sqrt(1 - a * a)
    for t in range(1, frames):
        x[:, t] = a * x[:, t - 1] + noise[:, t]
    found = Moments(1)
    for one in x:
        found.add(one + 50.0)
    assert float(found.lag_one()) == pytest.approx(a, abs=0.01)


def test_the_last_frame_of_one_utterance_is_no_neighbour_of_the_next() -> None:
    found = Moments(1)
    for level in (1.0, -1.0) * 50:
        found.add(torch.full((20, 1), level))
    # within an utterance all is equal; across the seams all changes
    assert float(found.lag_one()) == pytest.approx(1.0, abs=1e-12)


def test_constant_dimensions_have_no_shape() -> None:
    found = gathered(torch.tensor([[0.1, 1.0], [0.1, 2.0], [0.1, 4.0]]), 2)
    assert found.variance()[0] == 0.0
    assert found.excess_kurtosis()[0].isnan() and found.lag_one()[0].isnan()
    assert found.correlation()[0].tolist() == [0.0, 0.0]
    assert not found.excess_kurtosis()[1].isnan()


def test_a_frame_an_utterance_has_no_neighbours() -> None:
    assert gathered(torch.randn(5, 2, generator=rng()), 1).lag_one().isnan().all()


@pytest.mark.parametrize("x", [torch.zeros(0, 2), torch.zeros(4, 3), torch.zeros(4)])
def test_other_shapes_are_refused(x: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected \(n ≥ 1, 2\), got"):
        Moments(2).add(x)
