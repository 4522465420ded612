"""KAD against closed forms of Gaussians, its mean over splits of one law, and what it is blind to."""

import math

import pytest
import torch

from bench.metrics.kad import SCALE, bandwidth, fingerprint, kad


def normal(n: int, dim: int, seed: int) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def test_the_bandwidth_is_the_median_distance_of_the_reference() -> None:
    # distances 1, 3, 7, 2, 6, 4: the lower of the middle two
    assert bandwidth(torch.tensor([[0.0], [1.0], [3.0], [7.0]])) == 3.0
    # ‖x − y‖² of normals is 2 χ² with D degrees, whose median is nearly D (1 − 2 / (9 D))³
    dim = 16
    expected = math.sqrt(2 * dim * (1 - 2 / (9 * dim)) ** 3)
    assert bandwidth(normal(1500, dim, 0)) == pytest.approx(expected, rel=0.01)


def test_two_samples_of_one_law_are_at_nothing_on_average() -> None:
    found = torch.tensor([kad(normal(40, 5, 2 * i), normal(60, 5, 2 * i + 1)) for i in range(200)])
    error = float(found.std()) / math.sqrt(len(found))
    assert abs(float(found.mean())) < 3 * error
    assert error < 1.0
    assert float(found.min()) < 0


def test_two_gaussians_apart() -> None:
    """N(0, I) and N(μ, I) with h the reference's median: every term is a Gaussian integral."""
    dim, away = 4, 1.5
    found, expected = torch.zeros(60), torch.zeros(60)
    for i in range(len(found)):
        reference, generated = normal(300, dim, 2 * i), normal(250, dim, 2 * i + 1)
        generated[:, 0] += away
        found[i], h = kad(generated, reference), bandwidth(reference)
        total = h * h + 2
        expected[i] = SCALE * 2 * (h * h / total) ** (dim / 2) * (1 - math.exp(-away * away / (2 * total)))
    error = float((found - expected).std()) / math.sqrt(len(found))
    # h comes from the reference and is a little dependent on it
    assert float((found - expected).mean()) == pytest.approx(0.0, abs=4 * error)
    assert error < 0.02 * float(expected.mean())


def test_units_and_rotations_change_nothing() -> None:
    x, y = normal(50, 6, 0), normal(60, 6, 1) + 0.5
    turn = torch.linalg.qr(normal(6, 6, 2))[0]
    assert kad(100 * x @ turn + 3, 100 * y @ turn + 3) == pytest.approx(kad(x, y), rel=1e-4)


def test_the_reference_chooses_the_bandwidth() -> None:
    x, y = normal(50, 6, 0), 3 * normal(60, 6, 1)
    assert kad(x, y) != pytest.approx(kad(y, x), rel=0.05)


def test_bad_references() -> None:
    x = normal(5, 2, 0)
    for bad in (x[:1], x[:, 0]):
        with pytest.raises(ValueError, match=r"expected a reference"):
            kad(x, bad)
    with pytest.raises(ValueError, match="that differ"):
        kad(x, torch.ones(5, 2))
    with pytest.raises(ValueError, match="mmd2"):
        kad(normal(5, 3, 0), x)


def test_the_fingerprint_names_scale_and_bandwidth() -> None:
    assert "× 1000" in fingerprint()["kad"]
