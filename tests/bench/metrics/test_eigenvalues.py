"""Effective rank and participation ratio of spectra whose answers are known."""

import math
from typing import Any

import pytest
import torch

from bench.metrics.eigenvalues import effective_rank, participation_ratio

BOTH = (effective_rank, participation_ratio)


@pytest.mark.parametrize("count", BOTH)
def test_isotropic_is_all_dimensions_and_one_direction_is_one(count: Any) -> None:
    for dim in (1, 2, 64, 512):
        assert count(torch.full((dim,), 0.3)) == pytest.approx(dim, rel=1e-12)
        alone = torch.zeros(dim)
        alone[dim // 2] = 7.0
        assert count(alone) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("count", BOTH)
def test_r_equal_directions_of_many_are_r_at_any_scale_and_order(count: Any) -> None:
    values = torch.cat([torch.zeros(20), torch.full((5,), 1e-3)])[torch.randperm(25)]
    assert count(values) == pytest.approx(5.0, rel=1e-6)
    assert count(1e6 * values) == pytest.approx(5.0, rel=1e-6)


def test_two_unequal_directions() -> None:
    # shares 3/4 and 1/4
    values = torch.tensor([3.0, 1.0])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(values) == pytest.approx(math.exp(entropy), rel=1e-12)
    assert participation_ratio(values) == pytest.approx(1 / (0.75**2 + 0.25**2), rel=1e-12)


def test_participation_is_never_above_the_effective_rank() -> None:
    # Rényi entropies fall with their order: 2 against 1
    values = torch.rand(100, 8, generator=torch.Generator().manual_seed(0))
    assert all(participation_ratio(one) <= effective_rank(one) + 1e-9 for one in values)


def test_the_stated_shrinkage_of_few_frames() -> None:
    dim, n = 32, 64
    found = []
    for seed in range(50):
        x = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        found.append(participation_ratio(torch.linalg.eigvalsh(torch.cov(x.T))))
    assert sum(found) / len(found) == pytest.approx(dim / (1 + dim / n), rel=0.03)


@pytest.mark.parametrize("count", BOTH)
def test_no_variance_has_no_rank(count: Any) -> None:
    with pytest.raises(ValueError, match="expected an eigenvalue above 0, got none"):
        count(torch.zeros(3))
