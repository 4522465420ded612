"""F2 against quadrature, Monte Carlo with another implementation of its density, and fits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from bench.calibration.bimodal import Bimodal, pair_entropy
from bench.metrics.gaussian import LinearGaussian

LONG = 60_000


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_mean(values: torch.Tensor, truth: float, bias: float = 0.0) -> None:
    """The mean of independent values is the truth within 3 standard errors."""
    error = float(values.double().std()) / math.sqrt(len(values))
    assert abs(float(values.double().mean()) - truth) < 3 * error + bias


def mixture(means: list[list[float]], scale: float) -> MixtureSameFamily:
    """Equal weights, one scale."""
    at = torch.tensor(means, dtype=torch.float64)
    return MixtureSameFamily(
        Categorical(torch.ones(len(at), dtype=torch.float64)), Independent(Normal(at, torch.full_like(at, scale)), 1)
    )


@pytest.mark.parametrize(("ratio", "gain"), [(1, 0.0659), (2, 0.3674), (3, 0.6059)])
def test_gain_has_the_published_digits(ratio: float, gain: float) -> None:
    assert Bimodal(ratio).truth("gain", k=1) == pytest.approx(gain, abs=5e-5)


def test_gain_tends_to_the_choice_of_an_axis_and_the_gaussian_pair_goes_beyond() -> None:
    assert Bimodal(10).truth("gain", k=1) == pytest.approx(math.log(2), abs=1e-6)
    assert Bimodal(3).truth("gaussian_gain", k=1) == pytest.approx(0.553, abs=5e-4)
    assert Bimodal(5).truth("gaussian_gain", k=1) == pytest.approx(0.974, abs=5e-4)
    assert Bimodal(5).truth("gaussian_gain", k=1) > Bimodal(5).truth("gain", k=1)


@pytest.mark.parametrize("ratio", [0.3, 1.0, 3.0, 7.0])
def test_pair_entropy_is_the_entropy_of_the_density(ratio: float) -> None:
    def integrand(x: float) -> float:
        log_p = np.logaddexp(-0.5 * (x - ratio) ** 2, -0.5 * (x + ratio) ** 2) - math.log(2 * math.sqrt(2 * math.pi))
        return float(-np.exp(log_p) * log_p)

    entropy = 2 * quad(integrand, 0, ratio + 12, epsabs=1e-12, limit=200)[0]
    assert pair_entropy(ratio) == pytest.approx(entropy - 0.5 * math.log(2 * math.pi * math.e), abs=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_nll_and_gain_are_those_of_the_density(ratio: float, seed: int) -> None:
    process = Bimodal(ratio)
    x = process.sample(LONG, 2, rng(seed)).double()
    first = x[:, 0, 2] < 0
    sides = [[[ratio, 0.0], [-ratio, 0.0]], [[0.0, ratio], [0.0, -ratio]]]
    next_frame = x[:, 1, :2]
    given = torch.where(first, *(mixture(s, 1.0).log_prob(next_frame) for s in sides))
    alone = mixture(sides[0] + sides[1], 1.0).log_prob(next_frame)
    announced = mixture([[1.0], [-1.0]], process.announcement_noise).log_prob(x[:, 1, 2:])
    assert_mean(given - alone, process.truth("gain", k=1))
    assert_mean(-given - announced, process.truth("nll", k=1))
    assert_mean(-alone - announced, process.truth("marginal_nll"))
    oracle = process.oracle().log_prob(x, x, rng(0))
    # the oracle counts with a misheard announcement, if seldom with effect
    assert float((oracle[:, 1] - given - announced).abs().mean()) < 1e-5
    alone = mixture(sides[0] + sides[1], 1.0).log_prob(x[:, 0, :2])
    announced = mixture([[1.0], [-1.0]], process.announcement_noise).log_prob(x[:, 0, 2:])
    torch.testing.assert_close(oracle[:, 0], alone + announced)


@pytest.mark.parametrize("seed", [0, 1])
def test_no_mean_shows_it_but_two_covariances_do(seed: int) -> None:
    process = Bimodal(3.0)
    x = process.sample(LONG, 2, rng(seed))
    past, y = x[:, 0], x[:, 1]
    given, alone = LinearGaussian(past[::2], y[::2]), LinearGaussian(past[::2, :0], y[::2])
    linear = given.log_prob(past[1::2], y[1::2]) - alone.log_prob(past[1::2, :0], y[1::2])
    assert_mean(linear, process.truth("linear_gain", k=1), bias=30 / LONG)
    axis = past[:, 2] > 0
    for side in (axis, ~axis):
        assert_mean(y[side][:, 0], process.truth("r2", k=1))
    gains = []
    for side in (axis, ~axis):
        plane = y[side][:, :2]
        own = LinearGaussian(plane[::2, :0], plane[::2])
        marginal = LinearGaussian(past[::2, :0], y[::2, :2])
        gains.append(own.log_prob(plane[1::2, :0], plane[1::2]) - marginal.log_prob(plane[1::2, :0], plane[1::2]))
    assert_mean(torch.cat(gains), process.truth("gaussian_gain", k=1), bias=30 / LONG)


def test_only_the_next_frame_is_announced() -> None:
    x = Bimodal(3.0).sample(LONG, 4, rng(0))
    which = (x[..., 1].square() - x[..., 0].square()).sign()
    for k, announced in ((1, True), (2, False), (3, False)):
        agreement = (which[:, k] * x[:, 0, 2].sign()).mean()
        assert (float(agreement) > 0.9) if announced else (abs(float(agreement)) < 3 / math.sqrt(LONG))
        if not announced:
            assert Bimodal(3.0).truth("gain", k=k) == 0.0


def test_the_announcement_is_as_good_as_said() -> None:
    assert 0 < Bimodal().truth("left_open") < 1e-5
    # a bad one, so that what is left of the axis can be measured
    process = Bimodal(3.0, announcement_noise=0.8)
    x = process.sample(LONG, 2, rng(0)).double()
    oracle = process.oracle()
    second = oracle.represent(x, rng(0))[:, 0, 0]
    left = torch.distributions.Bernoulli(second).entropy()
    assert_mean(left, process.truth("left_open"))
    once = oracle.log_prob(x[:, 1:], x[:, 1:], rng(0))[:, 0]
    gain = float((oracle.log_prob(x, x, rng(0))[:, 1] - once).mean())
    assert process.truth("gain", k=1) - process.truth("left_open") - 0.01 < gain < process.truth("gain", k=1) - 0.05


@pytest.mark.parametrize("seed", [0, 1])
def test_rollouts_follow_the_law(seed: int) -> None:
    process = Bimodal(2.0)
    oracle = process.oracle()
    prompt = process.sample(20_000, 2, rng(seed))
    own = oracle.rollout(prompt, 3, 1, rng(seed + 10))[:, 0]
    whole = torch.cat([prompt, own], 1)
    log_p = oracle.log_prob(whole, whole, rng(0))
    for k in (1, 2, 3):
        assert_mean(-log_p[:, 1 + k], process.truth("nll", k=1))
        assert_mean(-oracle.log_prob(whole[:, 1 + k :], whole[:, 1 + k :], rng(0))[:, 0], process.truth("marginal_nll"))
    assert oracle.rollout(prompt, 3, 2, rng(0), mean=True).abs().max() == 0
