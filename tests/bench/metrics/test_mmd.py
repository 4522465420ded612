"""MMD² against closed forms: of Gaussians, of a point, and its mean over samples of one law."""

import math

import pytest
import torch

from bench.metrics.mmd import mmd2


def normal(n: int, dim: int, seed: int) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def expected(h: float, variance: float, away: float, dim: int) -> float:
    """E exp(−‖z‖² / (2 h²)) of z normal with `variance` in each dimension, its mean `away` from 0 along the first."""
    total = h * h + variance
    return (h * h / total) ** (dim / 2) * math.exp(-away * away / (2 * total))


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("bandwidths", [(0.7,), (0.5, 2.0)])
def test_two_gaussians(dim: int, bandwidths: tuple[float, ...]) -> None:
    """N(0, I) and N(μ, s² I): every term is a Gaussian integral."""
    away, scale = 0.6, 1.5
    found = torch.zeros(40)
    for i in range(len(found)):
        x, y = normal(300, dim, 2 * i), scale * normal(250, dim, 2 * i + 1)
        y[:, 0] += away
        found[i] = mmd2(x, y, bandwidths)
    error = float(found.std()) / math.sqrt(len(found))
    terms = [
        expected(h, 2, 0, dim) + expected(h, 2 * scale**2, 0, dim) - 2 * expected(h, 1 + scale**2, away, dim)
        for h in bandwidths
    ]
    assert float(found.mean()) == pytest.approx(sum(terms) / len(terms), abs=3 * error)
    assert error < 0.004


def test_a_point_against_two_points() -> None:
    """x all at 0, y half at 0 and half at d, exact: 1 + E k(y, y') − 2 E k(0, y)."""
    near = math.exp(-2.0)
    x, y = torch.zeros(4, 1), torch.tensor([[0.0], [0.0], [2.0], [2.0]])
    pairs = (2 * 2 * 1 + 2 * 4 * near) / 12
    assert mmd2(x, y, (1.0,)) == pytest.approx(1 + pairs - 2 * (1 + near) / 2, abs=1e-12)


def test_it_is_unbiased_for_equal_laws() -> None:
    """Its mean over small samples is 0 within three standard errors: the diagonals would add 2 (1 − E k) / n."""
    found = torch.tensor([mmd2(normal(12, 2, 2 * i), normal(12, 2, 2 * i + 1)) for i in range(400)])
    error = float(found.std()) / math.sqrt(len(found))
    assert abs(float(found.mean())) < 3 * error < 0.02
    assert float(found.min()) < 0


def test_it_is_the_same_for_any_split_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(50, 2, 0), normal(40, 2, 1)
    whole = mmd2(x, y)
    monkeypatch.setattr("bench.metrics.mmd.ROWS", 7)
    assert mmd2(x, y) == pytest.approx(whole, abs=1e-12)


def test_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mmd2: expected .* got \(1, 2\) and \(3, 2\)"):
        mmd2(torch.zeros(1, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="mmd2"):
        mmd2(torch.zeros(3, 1), torch.zeros(3, 2))
