"""Degenerate frames, each made on purpose; and ordinary ones, of which nothing is said."""

import math

import pytest
import torch

from bench.metrics.degenerate import report, support


def noise(n: int = 2000, dim: int = 4) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(0))


def test_ordinary_frames_are_ordinary_at_any_scale_and_with_silence() -> None:
    x = noise() * torch.tensor([1e4, 1.0, 1.0, 1e-2])
    x[:300] = x[0]
    found = report(x)
    assert not found.finite_support and found.full_rank and not found.duplicated and not found.constant
    assert found.silent_share == pytest.approx(0.15) and found.repeated_share == 0.0
    assert found.thin == 3


def test_atoms_are_seen_as_frames_and_as_values() -> None:
    x = noise()
    codebook = noise(64)
    assert report(codebook[torch.arange(2000) % 64]).finite_support
    assert report((x / 0.5).round() * 0.5).discrete == (0, 1, 2, 3)
    mixed = x.clone()
    mixed[:, 2] = x[:, 2].sign()
    assert report(mixed).discrete == (2,)


def test_flat_directions_are_named_and_projected_away() -> None:
    x = noise()
    x = torch.cat([x, x[:, :1] * -3.0 + 1.0, torch.full((2000, 1), 7.0), x[:, 1:2] + x[:, 2:3]], 1)
    found = report(x)
    assert found.constant == (5,) and found.duplicated == ((0, 4),) and found.rank == 4 and not found.full_rank
    basis = support(x)
    y = (x @ basis).double()
    assert basis.shape == (7, 4)
    # the rest of x is an affine function of what was kept
    design = torch.cat([y, torch.ones(2000, 1, dtype=torch.float64)], 1)
    left = x.double() - design @ torch.linalg.lstsq(design, x.double()).solution
    assert float(left.abs().max()) < 1e-4


def test_nan_and_nothing() -> None:
    x = noise()
    x[3, 1] = math.nan
    assert report(x).not_finite == 1 and report(x).rank == 4
    assert report(torch.full((5, 3), math.nan)).rank == 0
    assert report(torch.ones(5, 3)).rank == 0
    with pytest.raises(ValueError, match="n ≥ 2"):
        report(torch.ones(1, 3))
