"""F1 against fits, simulation, dense normal densities and published quantisers."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans

from bench.calibration.var1 import VAR1, expected_cosine, lloyd_max_distortion
from bench.metrics.energy import energy_score
from bench.metrics.gaussian import LinearGaussian
from tests.lab import OracleAR

PAIRS = 20_000
HORIZONS = (1, 2, 4, 8)


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_mean(values: torch.Tensor, truth: float, bias: float = 0.0) -> None:
    """The mean of independent values is the truth within 3 standard errors."""
    error = float(values.double().std()) / math.sqrt(len(values))
    assert abs(float(values.double().mean()) - truth) < 3 * error + bias


@pytest.mark.parametrize("seed", [0, 1])
def test_stationary_from_the_first_frame(seed: int) -> None:
    process = VAR1.example()
    x = process.sample(PAIRS, 12, rng(seed)).double()
    assert x.shape == (PAIRS, 12, 4)
    sigma = process.covariance
    error = ((sigma.diagonal()[:, None] * sigma.diagonal() + sigma.square()) / PAIRS).sqrt()
    for t in (0, 1, 11):
        assert ((x[:, t].T @ x[:, t] / PAIRS - sigma).abs() < 3.5 * error).all()
    lagged = x[:, 4].T @ x[:, 3] / PAIRS
    assert ((lagged - process.matrix @ sigma).abs() < 3.5 * error).all()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("k", HORIZONS)
def test_gains_and_r2_are_those_of_fitted_densities(k: int, seed: int) -> None:
    process = VAR1.example()
    x = process.sample(PAIRS, k + 1, rng(seed))
    half = PAIRS // 2
    targets = {
        "gain": (x[:, k], "r2"),
        "increment_gain": (x[:, k] - x[:, 0], "increment_r2"),
        "stale_gain": (x[:, k] - x[:, k - 1], None),
    }
    for metric, (y, r2) in targets.items():
        given = LinearGaussian(x[:half, 0], y[:half])
        alone = LinearGaussian(x[:half, 0, :0], y[:half])
        nll, marginal = -given.log_prob(x[half:, 0], y[half:]), -alone.log_prob(x[half:, 0, :0], y[half:])
        # twenty fitted numbers cost about 20 / (2 n) nats on held-out pairs
        assert_mean(marginal - nll, process.truth(metric, k=k), bias=20 / PAIRS)
        if metric == "gain":
            assert_mean(nll, process.truth("nll", k=k), bias=30 / PAIRS)
            assert_mean(marginal, process.truth("marginal_nll"), bias=30 / PAIRS)
        if r2 is not None:
            weights = torch.linalg.lstsq(x[:half, 0].double(), y[:half].double()).solution
            error = (y.double() - x[:, 0].double() @ weights)[half:].square().sum(1)
            total = y[half:].double().square().sum(1)
            measured = 1 - error.mean() / total.mean()
            assert_mean(measured - (error - (1 - measured) * total) / total.mean(), process.truth(r2, k=k), bias=1e-3)


@pytest.mark.parametrize("a", [0.0, 0.5, 0.95])
def test_isotropic_gains_have_scalar_forms(a: float) -> None:
    process = VAR1.isotropic(a, 6)
    for k in HORIZONS:
        assert process.truth("gain", k=k) == pytest.approx(-3 * math.log(1 - a ** (2 * k)), abs=1e-12)
        assert process.truth("increment_gain", k=k) == pytest.approx(3 * math.log(2 / (1 + a**k)), abs=1e-12)
    assert process.truth("stale_gain", k=1) == pytest.approx(3 * math.log(2 / (1 + a)), abs=1e-12)


def test_the_increment_gain_has_noise_for_its_least_and_never_vanishes() -> None:
    process = VAR1.example()
    # far ahead the target is as good as independent of x_t
    assert process.truth("gain", k=400) == pytest.approx(0, abs=1e-8)
    assert process.truth("increment_gain", k=400) == pytest.approx(2 * math.log(2), abs=1e-8)
    assert process.truth("stale_gain", k=400) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("seed", [0, 1])
def test_rollout_gaps_are_those_of_simulated_rollouts(seed: int) -> None:
    process = VAR1.example()
    oracle = process.oracle()
    x = process.sample(4000, 9, rng(seed))
    forced = oracle.log_prob(x, x)
    for mean in (False, True):
        own = oracle.rollout(x[:, :1], 8, 1, rng(seed + 10), mean)[:, 0]
        free = oracle.log_prob(torch.cat([x[:, :1], own], 1), x)
        for k in HORIZONS:
            metric = "rollout_gap_mean" if mean else "rollout_gap"
            assert oracle.rollout_floor(k, mean) == process.truth(metric, k=k)
            assert_mean((forced - free)[:, k], process.truth(metric, k=k), bias=1e-6)


@pytest.mark.parametrize(("dim", "a"), [(1, 0.5), (4, 0.0), (4, 0.9), (32, 0.0)])
def test_direction_cosine_is_that_of_simulated_pairs(dim: int, a: float) -> None:
    process = VAR1.isotropic(a, dim)
    for seed in (0, 1):
        x = process.sample(20_000, 2, rng(seed))
        cosine = torch.cosine_similarity(x[:, 1] - x[:, 0], -x[:, 0])
        assert_mean(cosine, process.truth("direction_cosine"))


def test_expected_cosine_in_one_dimension_in_many_and_at_one() -> None:
    assert expected_cosine(0.3, 1) == pytest.approx(2 / math.pi * math.asin(0.3), abs=1e-12)
    assert expected_cosine(0.3, 100_000) == pytest.approx(0.3, abs=1e-5)
    assert expected_cosine(1.0, 7) == pytest.approx(1.0, abs=1e-9)


def test_smoother_latents_look_less_direction_predictable() -> None:
    cosines = [VAR1.isotropic(a, 8).truth("direction_cosine") for a in (0.0, 0.5, 0.9, 0.99)]
    assert cosines == sorted(cosines, reverse=True)


@pytest.mark.parametrize("k", HORIZONS)
def test_energy_skill_is_that_of_the_oracle_s_samples(k: int) -> None:
    process = VAR1.isotropic(0.9, 4)
    for seed in (0, 1):
        x = process.sample(3000, k + 1, rng(seed))
        draws = process.oracle().rollout(x[:, :1], k, 16, rng(seed + 10))[:, :, k - 1]
        model = energy_score(draws, x[:, k])
        marginal = energy_score(torch.randn(3000, 16, 4, generator=rng(seed + 20)), x[:, k])
        skill = 1 - model.mean() / marginal.mean()
        assert_mean(skill - (model - (1 - skill) * marginal) / marginal.mean(), process.truth("energy_skill", k=k))


def test_lloyd_max_distortions_are_the_published_ones() -> None:
    # Max 1960, table I
    published = {1: 1.0, 2: 0.3634, 3: 0.1902, 4: 0.1175, 5: 0.07994, 8: 0.03454, 16: 0.009497}
    for cells, distortion in published.items():
        assert lloyd_max_distortion(cells) == pytest.approx(distortion, rel=6e-4)
    assert lloyd_max_distortion(2) == pytest.approx(1 - 2 / math.pi, abs=1e-14)
    with pytest.raises(ValueError, match="at least 1 cell, got 0"):
        lloyd_max_distortion(0)


@pytest.mark.parametrize("cells", [2, 4, 8])
def test_cluster_ratios_are_those_of_k_means_cells(cells: int) -> None:
    process = VAR1.isotropic(0.8, 1)
    x = process.sample(60_000, 2, rng(cells)).double()
    labels = torch.from_numpy(KMeans(cells, n_init=1, random_state=0).fit_predict(x[:, 0].numpy())).long()
    for metric, y in (("cluster_ratio", x[:, 1, 0] - x[:, 0, 0]), ("cluster_ratio_x", x[:, 1, 0])):
        sums = torch.zeros(cells, dtype=y.dtype).index_add(0, labels, y)
        within = (y - (sums / torch.bincount(labels))[labels]).square()
        ratio = within.mean() / y.square().mean()
        influence = (within - ratio * y.square()) / y.square().mean()
        # k-means cells are Lloyd–Max cells up to sampling and its stopping rule
        assert_mean(ratio + influence, process.truth(metric, cells=cells), bias=1e-3)


def test_the_oracle_s_density_is_the_dense_normal_one() -> None:
    process = VAR1.example(3)
    x = process.sample(5, 6, rng(0))
    lag = [torch.linalg.matrix_power(process.matrix, h) @ process.covariance for h in range(6)]
    rows = [torch.cat([lag[i - j] if i >= j else lag[j - i].T for j in range(6)], 1) for i in range(6)]
    dense = multivariate_normal(cov=torch.cat(rows).numpy()).logpdf(x.flatten(1).double().numpy())
    torch.testing.assert_close(
        process.oracle().log_prob(x.double(), x.double()).sum(1), torch.from_numpy(dense), rtol=1e-9, atol=1e-9
    )


def test_the_oracle_is_the_isotropic_one_of_the_laboratory() -> None:
    x = VAR1.isotropic(0.9, 4).sample(3, 20, rng(0))
    other = OracleAR(0.9).log_prob(x, x, rng(0))
    torch.testing.assert_close(VAR1.isotropic(0.9, 4).oracle().log_prob(x, x), other, rtol=1e-5, atol=1e-5)


def test_refuses_what_is_not_a_stationary_process() -> None:
    eye = torch.eye(2)
    with pytest.raises(ValueError, match="F1: expected a transition of spectral radius below 1, got 1"):
        VAR1(eye, eye)
    with pytest.raises(ValueError, match="positive definite noise"):
        VAR1(0.5 * eye, torch.ones(2, 2))
    with pytest.raises(KeyError, match="F1: no truth for 'direction_cosine'; there are: gain"):
        VAR1.example().truth("direction_cosine")
