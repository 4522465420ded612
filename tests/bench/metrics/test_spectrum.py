"""Effective rank where it is known."""

import math

import pytest
import torch

from bench.metrics.spectrum import effective_rank


def noise(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def test_from_one_direction_to_all() -> None:
    x = noise(100_000, 8)
    assert effective_rank(x) == pytest.approx(8.0, abs=0.01)
    assert effective_rank(x[:, :1] @ torch.ones(1, 8)) == pytest.approx(1.0, abs=1e-6)
    assert effective_rank(x[:, :1]) == pytest.approx(1.0)


def test_of_a_known_spectrum_whatever_the_rotation_and_the_mean() -> None:
    share = torch.tensor([0.5, 0.25, 0.125, 0.125])
    turn = torch.linalg.qr(noise(4, 4, 1)).Q
    x = (noise(200_000, 4) * share.sqrt()) @ turn + 3.0
    assert effective_rank(x) == pytest.approx(2**1.75, rel=0.01)  # an entropy of 1.75 bit


def test_too_few_frames_lower_it_by_the_stated_factor() -> None:
    n, dim = 200, 20
    mean = sum(effective_rank(noise(n, dim, s)) for s in range(50)) / 50
    assert mean == pytest.approx(dim * math.exp(-dim / (2 * n)), rel=0.01)


@pytest.mark.parametrize(("x", "expected"), [(torch.zeros(1, 3), "at least 2 frames"), (torch.ones(9, 3), "differ")])
def test_without_variance_there_is_none(x: torch.Tensor, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        effective_rank(x)
