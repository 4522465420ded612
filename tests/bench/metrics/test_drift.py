"""Crossings of curves that are known, and detectors of collapse against paths that do and do not."""

import math

import numpy as np
import pytest
import torch

from bench.metrics import drift
from bench.metrics.energy import energy_score


def test_the_crossing_of_a_line_is_exact_and_shared_out_among_its_curves() -> None:
    curves = np.array([[3.0, 1.0, -1.0], [5.0, 3.0, 1.0]])
    found = drift.crossing(curves, np.array([3.0, 1.0]))
    assert found.position == pytest.approx(2.75)
    assert np.average(found.values, weights=[3, 1]) == pytest.approx(found.position)
    np.testing.assert_allclose(found.values, [2.5, 3.5])


def test_a_curve_that_never_or_always_is_positive() -> None:
    never = drift.crossing(np.array([[-1.0, 0.5, -3.0]]), np.ones(1))
    assert never.position == 0.0 and never.values.tolist() == [0.0]
    assert drift.crossing(np.array([[2.0, -1.0, 2.0]]), np.ones(1)) is None


def test_one_noisy_frame_does_not_move_the_crossing() -> None:
    """The least-squares falling fit of (5, −1, 4, −6) is (5, 1.5, 1.5, −6): it falls to zero after frame 3."""
    assert 3 < drift.crossing(np.array([[5.0, -1.0, 4.0, -6.0]]), np.ones(1)).position < 4


def test_contributions_spread_as_the_crossing_does_under_resampling() -> None:
    rng = np.random.default_rng(0)
    curves = np.linspace(2, -2, 9) + rng.normal(size=(400, 9)) * 0.7
    found = drift.crossing(curves, np.ones(400))
    again = [drift.crossing(curves[rng.integers(0, 400, 400)], np.ones(400)).position for _ in range(400)]
    assert found.values.std() / 20 == pytest.approx(np.std(again), rel=0.2)


def windows(n: int, frames: int = 16, dim: int = 4, a: float = 0.7, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    x = [torch.randn(n, dim, generator=rng)]
    for _ in range(frames - 1):
        x.append(a * x[-1] + math.sqrt(1 - a * a) * torch.randn(n, dim, generator=rng))
    return torch.stack(x, 1)


@pytest.fixture(scope="module", params=[0.0, 0.7, 0.97])
def known(request):
    return drift.Collapse(windows(20_000, a=request.param), 0.01), windows(20_000, a=request.param, seed=1)


def test_the_false_alarm_rate_is_at_most_the_stated_one_on_the_process_itself(known) -> None:
    """Binomial error of both shares: √(2 · .01 · .99 / 20000) = .001."""
    collapse, fresh = known
    assert (collapse.flags(fresh).float().mean(0) <= 0.014).all()


def test_the_quantile_binds_where_real_paths_differ_much() -> None:
    """Loud and silent paths of log-normal scale: a tenth of the median is no longer rare, so that 1 % is the limit."""
    rng = torch.Generator().manual_seed(2)
    scaled = lambda seed: windows(20_000, seed=seed) * torch.randn(20_000, 1, 1, generator=rng).mul(1.5).exp()  # noqa: E731
    shares = drift.Collapse(scaled(0), 0.01).flags(scaled(1)).float().mean(0)
    assert shares[[0, 2]].numpy() == pytest.approx(np.full(2, 0.01), abs=0.004)


def test_a_path_of_a_third_of_the_variance_does_not_stand_still() -> None:
    collapse, fresh = drift.Collapse(windows(20_000, dim=32), 0.01), windows(2_000, dim=32, seed=1)
    assert collapse.flags(fresh / math.sqrt(3)).float().mean() < 0.001
    assert collapse.flags(fresh * 0.2)[:, 0].all()


def test_each_collapse_is_called_by_its_name(known) -> None:
    collapse, fresh = known
    time = torch.arange(16)
    named = lambda path: dict(zip(drift.COLLAPSES, collapse.flags(path).float().mean(0).tolist(), strict=True))  # noqa: E731
    assert named(fresh[:, :1].expand(-1, 16, -1))["still"] == 1.0
    assert named(fresh[:, :1].expand(-1, 16, -1))["cyclic"] < 0.02
    slowing = fresh * 0.05 ** (time / 4)[:, None]
    assert named(slowing)["still"] == 1.0
    for period in (2, 3, 5, 8):
        assert named(fresh[:, time % period])["cyclic"] == 1.0
    assert named(fresh * 1.9 ** time[:, None])["exploding"] > 0.999


def test_a_cycle_longer_than_half_the_window_is_none_that_could_be_seen(known) -> None:
    collapse, fresh = known
    assert collapse.flags(fresh[:, torch.arange(16) % 12])[:, 1].float().mean() < 0.05


def test_statistics_of_known_paths() -> None:
    """A ramp of slope 1 in 2 dimensions: variance of 8 even steps, lag-2 over lag-1 distance 4, end (15, 15)."""
    ramp = torch.arange(16.0)[:, None].expand(16, 2)
    assert float(drift.stillness(ramp)) == pytest.approx((8**2 - 1) / 12)
    assert float(drift.recurrence(ramp)) == pytest.approx((8 / 7) ** 2)
    assert float(drift.excursion(ramp)) == 225.0
    assert float(drift.movement(ramp)) == pytest.approx(math.sqrt(2))
    assert float(drift.recurrence(torch.zeros(16, 2))) == 1.0


def test_the_reference_scores_as_the_energy_score_does() -> None:
    sample, truth = torch.randn(64, 3), torch.randn(5, 7, 3)
    expected = energy_score(sample.expand(5, 7, -1, -1), truth)
    torch.testing.assert_close(drift.Reference(sample).energy(truth), expected, rtol=1e-4, atol=1e-5)


def test_windows_are_those_of_the_sequence() -> None:
    x = torch.arange(20.0)[:, None].expand(20, 2)
    assert drift.windows(x, 6, 5)[:, :, 0].tolist() == [
        [0, 1, 2, 3, 4, 5],
        [5, 6, 7, 8, 9, 10],
        [10, 11, 12, 13, 14, 15],
    ]
    assert drift.windows(x, 21, 5).shape == (0, 21, 2)


@pytest.mark.parametrize(("shape", "share"), [((0, 16, 2), 0.01), ((5, 3, 2), 0.01), ((5, 16, 2), 0.0)])
def test_detectors_without_a_basis_are_refused(shape, share) -> None:
    with pytest.raises(ValueError, match="collapse"):
        drift.Collapse(torch.zeros(shape), share)
