"""The energy score against its closed form for a Gaussian."""

import math

import pytest
import torch

from bench.metrics.energy import energy_score


def test_one_dimension_is_the_crps_of_a_gaussian() -> None:
    draws = torch.randn(400, 200, 1, generator=torch.Generator().manual_seed(0))
    measured = float(energy_score(draws, torch.zeros(400, 1)).mean())
    assert measured == pytest.approx(math.sqrt(2 / math.pi) - 1 / math.sqrt(math.pi), abs=5e-3)


def test_unbiased_in_the_number_of_draws() -> None:
    rng = torch.Generator().manual_seed(1)
    truth = torch.randn(20_000, 4, generator=rng)
    few = energy_score(torch.randn(20_000, 2, 4, generator=rng), truth).mean()
    many = energy_score(torch.randn(20_000, 32, 4, generator=rng), truth).mean()
    assert float(few) == pytest.approx(float(many), abs=0.02)


def test_proper_the_truth_beats_a_shift_and_a_wrong_spread() -> None:
    rng = torch.Generator().manual_seed(2)
    truth, draws = torch.randn(5000, 3, generator=rng), torch.randn(5000, 16, 3, generator=rng)
    right = float(energy_score(draws, truth).mean())
    for wrong in (draws + 0.5, draws * 0.3, draws * 2.0):
        assert float(energy_score(wrong, truth).mean()) > right + 0.05


def test_one_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 draws, got 1"):
        energy_score(torch.zeros(1, 3), torch.zeros(3))
