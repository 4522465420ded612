"""F0 against F1 with A = 0, a published number, fits and simulation."""

from __future__ import annotations

import inspect
import math

import pytest
import torch

from bench.calibration.iid import Iid
from bench.calibration.var1 import VAR1
from bench.metrics.gaussian import LinearGaussian

ARGUMENTS = {"k": (1, 2, 4, 8), "cells": (2, 4, 8)}


@pytest.mark.parametrize("dim", [1, 4, 32])
def test_every_truth_is_that_of_an_autoregression_without_memory(dim: int) -> None:
    noise, process = Iid(dim), VAR1.isotropic(0.0, dim)
    assert set(noise.truths) == set(process.truths)
    for metric, truth in noise.truths.items():
        name = next(iter(inspect.signature(truth).parameters), "")
        for at in [{name: value} for value in ARGUMENTS[name]] if name else [{}]:
            assert noise.truth(metric, **at) == pytest.approx(process.truth(metric, **at), abs=1e-12), metric


def test_the_note_s_headline_on_noise() -> None:
    assert Iid(512).truth("increment_gain", k=1) == pytest.approx(177.45, abs=0.005)
    assert Iid(32).truth("direction_cosine") == pytest.approx(0.701, abs=5e-4)
    assert Iid(512).truth("direction_cosine") == pytest.approx(1 / math.sqrt(2), abs=5e-4)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("k", [1, 2])
def test_gains_are_those_of_fitted_densities(k: int, seed: int) -> None:
    noise = Iid(4)
    x = noise.sample(20_000, k + 1, torch.Generator().manual_seed(seed))
    targets = {"gain": x[:, k], "increment_gain": x[:, k] - x[:, 0], "stale_gain": x[:, k] - x[:, k - 1]}
    for metric, y in targets.items():
        given, alone = LinearGaussian(x[::2, 0], y[::2]), LinearGaussian(x[::2, 0, :0], y[::2])
        gain = given.log_prob(x[1::2, 0], y[1::2]) - alone.log_prob(x[1::2, 0, :0], y[1::2])
        error = float(gain.std()) / math.sqrt(len(gain))
        # twenty fitted numbers cost about 20 / (2 n) nats on held-out pairs
        assert abs(float(gain.mean()) - noise.truth(metric, k=k)) < 3 * error + 20 / 20_000


def test_frames_are_standard_normal_and_independent() -> None:
    x = Iid(3).sample(20_000, 3, torch.Generator().manual_seed(0)).flatten(1).double()
    away = x.T @ x / len(x) - torch.eye(9)
    assert (away.abs() < 3.5 * math.sqrt(2 / len(x))).all()
    assert (x.mean(0).abs() < 3.5 / math.sqrt(len(x))).all()


def test_the_oracle_has_the_density_of_noise() -> None:
    x = Iid(3).sample(4, 5, torch.Generator().manual_seed(0))
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(-1)
    torch.testing.assert_close(Iid(3).oracle().log_prob(x, x), expected)
