"""F5 against dense normal densities, an optimiser, fits and simulation."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor

from bench.calibration.oracles import KalmanOracle
from bench.calibration.state_space import StateSpace
from bench.contract import missing_capability
from bench.metrics.gaussian import LinearGaussian

HORIZONS = (1, 2, 4, 8)
SETTLED = 12
"""Frames after which the filter is in its steady state, to well below what samples can tell."""
PAST = 30
"""Frames after which it is to 1e-9."""


@pytest.fixture(scope="module")
def process() -> StateSpace:
    return StateSpace.example()


@pytest.fixture(scope="module")
def oracle(process: StateSpace) -> KalmanOracle:
    return process.oracle()


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_mean(values: Tensor, truth: float, bias: float = 0.0) -> None:
    """The mean of independent values is the truth within 3 standard errors."""
    error = float(values.double().std()) / math.sqrt(len(values))
    assert abs(float(values.double().mean()) - truth) < 3 * error + bias


def dense(process: StateSpace, frames: int) -> tuple[Tensor, Tensor]:
    """Cov of (x_0, …, x_{T−1}) (T D, T D), and of z with it (T, Z, T D), from powers of F alone."""
    powers = [torch.linalg.matrix_power(process.transition, h) for h in range(frames)]

    def states(i: int, j: int) -> Tensor:
        return powers[i - j] @ process.stationary if i >= j else (powers[j - i] @ process.stationary).T

    zx = torch.stack(
        [torch.cat([states(i, j) @ process.observation.T for j in range(frames)], 1) for i in range(frames)]
    )
    xx = torch.cat([process.observation @ row for row in zx])
    return xx + torch.block_diag(*[process.observation_noise] * frames), zx


def given_past(covariance: Tensor, select: Tensor, past: int) -> tuple[float, float]:
    """½ ln |C| of `select` @ (x_0, x_1, …), alone and given the first `past` numbers."""
    moments = select @ covariance @ select.T
    cross = select @ covariance[:, :past]
    left = moments - cross @ torch.linalg.solve(covariance[:past, :past], cross.T)
    return 0.5 * float(torch.logdet(moments)), 0.5 * float(torch.logdet(left))


def test_stationary_covariances_solve_their_equations(process: StateSpace) -> None:
    z = process.transition @ process.stationary @ process.transition.T + process.state_noise
    torch.testing.assert_close(z, process.stationary, rtol=1e-12, atol=1e-12)
    settled = process.oracle().step(200)
    torch.testing.assert_close(settled.before, process.predicted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(settled.after, process._state_ahead(0), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_stationary_from_the_first_frame(process: StateSpace, seed: int) -> None:
    n = 10_000
    x = process.sample(n, 6, rng(seed)).flatten(1).double()
    expected, _ = dense(process, 6)
    error = ((expected.diagonal()[:, None] * expected.diagonal() + expected.square()) / n).sqrt()
    z = (x.T @ x / n - expected) / error
    # 1,176 different entries
    assert z.abs().max() < 4.5 and (z.abs() < 3).float().mean() > 0.99


def test_log_prob_is_the_dense_normal_one(process: StateSpace) -> None:
    x = process.sample(4, 12, rng(0))
    expected, _ = dense(process, 12)
    whole = multivariate_normal(cov=expected.numpy()).logpdf(x.flatten(1).double().numpy())
    torch.testing.assert_close(process.log_prob(x.double()).sum(1), torch.from_numpy(whole), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(process.log_prob(x), process.log_prob(x.double()).float())


def test_states_are_conditional_means_of_what_was_seen(process: StateSpace, oracle: KalmanOracle) -> None:
    x = process.sample(3, 10, rng(0))
    covariance, zx = dense(process, 10)
    states = oracle.represent(x.double(), rng(0))
    for t in (0, 4, 9):
        seen = 8 * (t + 1)
        weights = torch.linalg.solve(covariance[:seen, :seen], zx[t][:, :seen].T)
        torch.testing.assert_close(states[:, t], x.double().flatten(1)[:, :seen] @ weights, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(oracle.represent(x[:, :5], rng(0)), states[:, :5].float())
    assert missing_capability(oracle, ["represent", "log_prob", "rollout"]) is None


@pytest.mark.parametrize("k", HORIZONS)
def test_gains_are_those_of_a_long_dense_past(process: StateSpace, k: int) -> None:
    frames = PAST + k
    covariance, _ = dense(process, frames)
    past = 8 * PAST
    frame = [torch.eye(8 * frames, dtype=torch.float64)[8 * i : 8 * i + 8] for i in range(frames)]
    now = PAST - 1
    targets = {
        "gain": frame[now + k],
        "increment_gain": frame[now + k] - frame[now],
        "stale_gain": frame[now + k] - frame[now + k - 1],
    }
    for metric, select in targets.items():
        alone, given = given_past(covariance, select, past)
        assert process.truth(metric, k=k) == pytest.approx(alone - given, abs=1e-9), metric
        if metric == "gain":
            entropy = 4 * math.log(2 * math.pi * math.e)
            assert process.truth("nll", k=k) == pytest.approx(given + entropy, abs=1e-9)
            assert process.truth("marginal_nll") == pytest.approx(alone + entropy, abs=1e-9)
            assert process.truth("log_det_ahead", k=k) == pytest.approx(2 * given, abs=1e-9)
    for window in (1, 3):
        rows = covariance[8 * (PAST - window) :, 8 * (PAST - window) :]
        alone, given = given_past(rows, torch.eye(len(rows), dtype=torch.float64)[-8:], 8 * window)
        assert process.truth("window_gain", window=window, k=k) == pytest.approx(alone - given, abs=1e-9)


def test_longer_windows_gain_more_up_to_the_whole_past(process: StateSpace) -> None:
    gains = [process.truth("window_gain", window=w, k=2) for w in (1, 2, 4, 30)]
    assert gains == sorted(gains) and gains[0] < gains[1] - 0.01
    assert gains[-1] == pytest.approx(process.truth("gain", k=2), abs=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_window_gain_is_that_of_a_fitted_density(process: StateSpace, seed: int) -> None:
    x = process.sample(20_000, 4, rng(seed))
    past, y = x[:, :2].flatten(1), x[:, 3]
    given, alone = LinearGaussian(past[::2], y[::2]), LinearGaussian(past[::2, :0], y[::2])
    gain = given.log_prob(past[1::2], y[1::2]) - alone.log_prob(past[1::2, :0], y[1::2])
    # 128 fitted weights cost about 128 / (2 n) nats on held-out pairs
    assert_mean(gain, process.truth("window_gain", window=2, k=2), bias=128 / 20_000)


@pytest.mark.parametrize("seed", [0, 1])
def test_nll_its_parts_and_r2_on_samples(process: StateSpace, oracle: KalmanOracle, seed: int) -> None:
    x = process.sample(5000, SETTLED + 8, rng(seed))
    assert_mean(-process.log_prob(x)[:, SETTLED], process.truth("nll"))
    before, after = (z[:, SETTLED] for z in oracle.filtered(x))
    step = oracle.step(SETTLED)
    posterior = torch.distributions.MultivariateNormal(after, step.after)
    prior = torch.distributions.MultivariateNormal(before, step.before)
    assert_mean(torch.distributions.kl_divergence(posterior, prior), process.truth("innovation_kl"))
    parts = process.truth("innovation_kl") + process.truth("reconstruction_nll")
    assert process.truth("nll") == pytest.approx(parts, abs=1e-12)
    ahead = oracle.rollout(x[:, :SETTLED], 8, 1, rng(0), mean=True)[:, 0]
    for k in HORIZONS:
        error = (x[:, SETTLED + k - 1] - ahead[:, k - 1]).double().square().sum(1)
        total = x[:, SETTLED + k - 1].double().square().sum(1)
        measured = 1 - error.mean() / total.mean()
        assert_mean(measured - (error - (1 - measured) * total) / total.mean(), process.truth("r2", k=k))


def test_reconstruction_nll_is_the_expected_one_of_the_noise(process: StateSpace) -> None:
    noise = torch.distributions.Normal(0.0, math.sqrt(process.noise))
    assert process.truth("reconstruction_nll") == pytest.approx(8 * float(noise.entropy()), abs=1e-6)


@pytest.mark.parametrize("beta", [1.0, 2.0, 4.0, 8.0])
def test_kl_budget_is_that_of_the_best_linear_autoencoder(process: StateSpace, beta: float) -> None:
    """Innovation e ~ N(0, S), code N(W e, diag s²) charged against N(0, 1), e decoded by V with noise σ² 1."""
    innovation, sigma = process.ahead(1), process.noise
    encoder, decoder = torch.randn(3, 8, generator=rng(0)).double() * 0.3, torch.randn(8, 3, generator=rng(1)).double()
    log_scale = torch.zeros(3, dtype=torch.float64)
    parameters = [p.requires_grad_() for p in (encoder, decoder, log_scale)]
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=3000, tolerance_grad=1e-10, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def rate() -> Tensor:
        power = (encoder @ innovation @ encoder.T).diagonal()
        return 0.5 * (power + (2 * log_scale).exp() - 1 - 2 * log_scale).sum()

    def closure() -> Tensor:
        optimiser.zero_grad()
        left = torch.eye(8, dtype=torch.float64) - decoder @ encoder
        error = (left @ innovation @ left.T).trace() + (decoder.square() * (2 * log_scale).exp()).sum()
        loss = error / (2 * sigma) + beta * rate()
        loss.backward()
        return loss

    optimiser.step(closure)
    assert float(rate().detach()) == pytest.approx(process.truth("kl_budget", beta=beta), abs=2e-3)
    if beta == 1.0:
        assert process.truth("kl_budget", beta=beta) == pytest.approx(process.truth("innovation_kl"), abs=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_rollout_gaps_are_those_of_simulated_rollouts(process: StateSpace, oracle: KalmanOracle, seed: int) -> None:
    x = process.sample(4000, SETTLED + 8, rng(seed))
    past, forced = x[:, :SETTLED], process.log_prob(x)
    for mean in (False, True):
        own = oracle.rollout(past, 8, 1, rng(seed + 10), mean)[:, 0]
        free = oracle.log_prob(torch.cat([past, own], 1), x)
        for k in HORIZONS:
            metric = "rollout_gap_mean" if mean else "rollout_gap"
            truth = process.truth(metric, k=k)
            assert oracle.rollout_floor(k, mean) == truth
            assert_mean((forced - free)[:, SETTLED + k - 1], truth, bias=1e-5)


def test_rollouts_have_the_covariance_ahead(process: StateSpace, oracle: KalmanOracle) -> None:
    prompt = process.sample(1, SETTLED, rng(0))
    n = 10_000
    drawn = oracle.rollout(prompt, 4, n, rng(1))[0].double()
    center = oracle.rollout(prompt, 4, 1, rng(1), mean=True)[0, 0].double()
    for k in (1, 4):
        expected = process.ahead(k)
        away = drawn[:, k - 1] - center[k - 1]
        error = ((expected.diagonal()[:, None] * expected.diagonal() + expected.square()) / n).sqrt()
        assert ((away.T @ away / n - expected).abs() < 4 * error).all()


def test_refuses_what_has_no_density_or_no_single_noise(process: StateSpace) -> None:
    f, h, q, r = process.transition, process.observation, process.state_noise, process.observation_noise
    with pytest.raises(ValueError, match="F5: expected a transition of spectral radius below 1"):
        StateSpace(2 * f, h, q, r)
    with pytest.raises(ValueError, match="positive definite observation noise"):
        StateSpace(f, h, q, 0 * r)
    with pytest.raises(ValueError, match="expected an observation noise σ² 1"):
        StateSpace(f, h, q, r + torch.diag(torch.arange(8.0))).truth("kl_budget", beta=1)
