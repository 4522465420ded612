"""F6: maps of linear-Gaussian processes are such processes again, whose own truths are the other route."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bench.calibration.bimodal import Bimodal
from bench.calibration.iid import Iid
from bench.calibration.maps import Dropped, Duplicated, Mapped, Quantised
from bench.calibration.oracles import KalmanOracle
from bench.calibration.process import Process
from bench.calibration.state_space import StateSpace
from bench.calibration.var1 import VAR1
from bench.metrics.gaussian import LinearGaussian

AHEAD = ("gain", "increment_gain", "stale_gain", "nll", "rollout_gap", "rollout_gap_mean")


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_same(mapped: Process, other: Process, metrics: tuple[str, ...], **at: float) -> None:
    for metric in metrics:
        assert mapped.truth(metric, **at) == pytest.approx(other.truth(metric, **at), abs=1e-8), metric


def measured_gain(x: Tensor, window: int) -> tuple[float, float]:
    """Gain of the last frame from `window` frames before it, and its standard error."""
    past, y = x[:, -1 - window : -1].flatten(1), x[:, -1]
    given, alone = LinearGaussian(past[::2], y[::2], ridge=1e-9), LinearGaussian(past[::2, :0], y[::2])
    gain = given.log_prob(past[1::2], y[1::2]) - alone.log_prob(past[1::2, :0], y[1::2])
    return float(gain.mean()), float(gain.std()) / math.sqrt(len(gain))


@pytest.fixture(scope="module")
def matrix() -> Tensor:
    return torch.randn(8, 8, generator=rng(0), dtype=torch.float64) + 2 * torch.eye(8, dtype=torch.float64)


def test_a_mapped_autoregression_is_an_autoregression(matrix: Tensor) -> None:
    process, b = VAR1.example(), matrix[:4, :4]
    other = VAR1(b @ process.matrix @ torch.linalg.inv(b), b @ process.noise @ b.T)
    for k in (1, 3):
        assert_same(Mapped(process, b), other, AHEAD, k=k)
    assert_same(Mapped(process, b), other, ("marginal_nll",))


def test_a_mapped_state_space_model_is_one(matrix: Tensor) -> None:
    process = StateSpace.example()
    noise = matrix @ process.observation_noise @ matrix.T
    other = StateSpace(process.transition, matrix @ process.observation, process.state_noise, noise)
    mapped = Mapped(process, matrix)
    for k in (1, 3):
        assert_same(mapped, other, (*AHEAD, "log_det_ahead"), k=k)
    assert_same(mapped, other, ("marginal_nll", "innovation_kl", "reconstruction_nll"))
    assert_same(mapped, other, ("window_gain",), window=2, k=1)


def test_a_mapped_sample_is_the_sample_mapped(matrix: Tensor) -> None:
    x = Mapped(Iid(8), matrix).sample(20_000, 2, rng(0))
    back = torch.linalg.solve(matrix, x.double().flatten(0, 1).T).T
    assert ((back.T @ back / len(back) - torch.eye(8)).abs() < 3.5 * math.sqrt(2 / len(back))).all()
    plain = Iid(8).sample(20_000, 2, rng(0)).flatten(0, 1)
    torch.testing.assert_close(back.float(), plain, rtol=1e-3, atol=1e-4)


def test_no_variance_survives_a_map(matrix: Tensor) -> None:
    with pytest.raises(KeyError, match="F6a: no truth for 'r2'"):
        Mapped(StateSpace.example(), matrix).truth("r2", k=1)
    with pytest.raises(KeyError, match="F2: no truth for 'rollout_gap'"):
        Mapped(Bimodal(), matrix[:3, :3]).truth("rollout_gap", k=1)


@pytest.mark.parametrize("spread", [1.0, 0.01])
def test_a_duplicated_autoregression_is_an_autoregression(spread: float) -> None:
    process = VAR1.example()
    duplicated = Duplicated(process, spread, weights=torch.randn(3, 4, generator=rng(1), dtype=torch.float64))
    w, a, q = duplicated.weights, process.matrix, process.noise
    blank = torch.zeros(4, 3, dtype=torch.float64)
    matrix = torch.cat([torch.cat([a, blank], 1), torch.cat([w @ a, blank[:3]], 1)])
    noise = torch.cat([torch.eye(4, dtype=torch.float64), w]) @ q @ torch.cat([torch.eye(4, dtype=torch.float64), w]).T
    noise[4:, 4:] += spread**2 * torch.eye(3, dtype=torch.float64)
    other = VAR1(matrix, noise)
    for k in (1, 3):
        for metric in AHEAD:
            assert duplicated.truth(metric, k=k) == pytest.approx(other.truth(metric, k=k), abs=1e-6), metric
    assert duplicated.truth("marginal_nll") == pytest.approx(other.truth("marginal_nll"), abs=1e-6)


def test_a_duplicated_state_space_model_is_one() -> None:
    process, spread = StateSpace.example(), 0.3
    duplicated = Duplicated(process, spread)
    both = torch.cat([torch.eye(8, dtype=torch.float64), duplicated.weights])
    noise = both @ process.observation_noise @ both.T
    noise[8:, 8:] += spread**2 * torch.eye(8, dtype=torch.float64)
    other = StateSpace(process.transition, both @ process.observation, process.state_noise, noise)
    for k in (1, 3):
        assert_same(duplicated, other, (*AHEAD, "log_det_ahead"), k=k)
    assert_same(duplicated, other, ("marginal_nll", "innovation_kl", "reconstruction_nll"))
    assert_same(duplicated, other, ("window_gain",), window=2, k=1)


def test_nll_falls_without_bound_and_the_gain_stays() -> None:
    process = VAR1.example()
    nll = [Duplicated(process, spread).truth("nll") for spread in (1.0, 1e-3, 1e-6)]
    assert nll[0] - nll[1] == pytest.approx(4 * math.log(1e3)) and nll[1] - nll[2] == pytest.approx(4 * math.log(1e3))
    for seed in (0, 1):
        for spread in (1.0, 0.01):
            duplicated = Duplicated(process, spread)
            gain, error = measured_gain(duplicated.sample(20_000, 2, rng(seed)), window=1)
            # 64 fitted weights cost about 64 / (2 n) nats on held-out pairs
            assert abs(gain - duplicated.truth("gain", k=1)) < 3 * error + 64 / 20_000


def test_duplicates_add_to_gains_of_increments_even_on_noise() -> None:
    duplicated = Duplicated(Iid(4), 0.1)
    assert duplicated.dim == 8
    assert duplicated.truth("gain", k=1) == 0
    assert duplicated.truth("increment_gain", k=4) == pytest.approx(4 * math.log(2))
    assert duplicated.truth("stale_gain", k=2) == 0


def test_dropping_dimensions_loses() -> None:
    process = VAR1.example()
    dropped = Dropped(process, (0, 2))
    select = torch.eye(4, dtype=torch.float64)[[1, 3]]
    x = dropped.sample(30_000, 9, rng(0))
    torch.testing.assert_close(x, process.sample(30_000, 9, rng(0))[..., [1, 3]], rtol=0, atol=0)
    exact = KalmanOracle(
        process.matrix,
        select,
        process.noise,
        torch.zeros(2, 2, dtype=torch.float64),
        process.covariance,
        lambda k, m: 0.0,
    )
    log_p = exact.log_prob(x.double(), x.double())
    true_gain = float((log_p[:, -1] - log_p[:, 0]).mean())
    gain, error = measured_gain(x, window=8)
    # the marginal of the first frame is that of the last up to sampling
    assert gain == pytest.approx(true_gain, abs=0.03)
    assert gain + 3 * error < dropped.truth("gain_at_most", k=1)
    with pytest.raises(KeyError, match="F6c: no truth for 'gain'; there are: gain_at_most"):
        dropped.truth("gain", k=1)


@pytest.mark.parametrize("seed", [0, 1])
def test_rounding_loses_and_fine_rounding_little(seed: int) -> None:
    process = VAR1.isotropic(0.9, 1)
    information = []
    for step in (2.0, 1.0, 0.5):
        quantised = Quantised(process, step)
        levels = (quantised.sample(200_000, 2, rng(seed))[..., 0] / step).double()
        assert torch.equal(levels, levels.round())
        levels = (levels - levels.min()).long()
        size = int(levels.max()) + 1
        joint = (
            torch.bincount(levels[:, 0] * size + levels[:, 1], minlength=size**2).view(size, size).double() / 200_000
        )
        entropies = [-torch.special.xlogy(p, p).sum() for p in (joint.sum(0), joint.sum(1), joint.flatten())]
        information.append(float(entropies[0] + entropies[1] - entropies[2]))
    # (x_t+1 ; x_t) is less than the gain from the whole rounded past, which is at most that of x
    assert information == sorted(information)
    assert 0.8 * process.truth("gain", k=1) < information[-1] < Quantised(process, 0.5).truth("gain_at_most", k=1)


def test_refuses_what_is_no_such_map() -> None:
    process = Iid(4)
    with pytest.raises(ValueError, match=r"F6a: expected a matrix \(4, 4\), got \(3, 3\)"):
        Mapped(process, torch.eye(3))
    with pytest.raises(ValueError, match="F6a: expected an invertible matrix"):
        Mapped(process, torch.zeros(4, 4))
    with pytest.raises(ValueError, match="F6b: expected a spread above 0"):
        Duplicated(process, 0.0)
    with pytest.raises(ValueError, match="F6c: expected some of the dimensions 0 … 3"):
        Dropped(process, (4,))
    with pytest.raises(ValueError, match="F6d: expected a step above 0"):
        Quantised(process, 0.0)
