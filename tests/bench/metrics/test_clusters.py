"""Cells, the unbiased ratio and recurring sequences, against closed forms."""

import numpy as np
import pytest

from bench.metrics.clusters import CellMeans, KMeansCells, QuantileCells, pool, recurrence

A, N = 0.8, 100_000


def ar1(seed: int, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """Independent pairs (x_t, Δ) of a stationary AR(1) of unit variance."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 1))
    return x, (A - 1) * x + np.sqrt(1 - A * A) * rng.standard_normal((n, 1))


def ratio(cells, count: int) -> float:
    (x, steps), (y, others) = ar1(1), ar1(2)
    made = cells(x, count)
    return CellMeans.of(made.assign(x), steps, count, 2).read(made.assign(y), others).ratio


@pytest.mark.parametrize(("count", "distortion"), [(2, 0.3634), (4, 0.1175), (8, 0.0345)])
def test_k_means_cells_are_lloyd_and_max_s(count: int, distortion: float) -> None:
    found = ratio(lambda x, k: KMeansCells(x, k, 0), count)
    assert found == pytest.approx(1 - 0.5 * (1 - A) * (1 - distortion), abs=0.004)
    x, y = ar1(1)[0], ar1(2)[0]
    cells = KMeansCells(x, count, 0)
    centres = cells.model.cluster_centers_[cells.assign(y)]
    assert np.square(y - centres).mean() == pytest.approx(distortion, abs=0.003)


@pytest.mark.parametrize(("count", "distortion"), [(4, 0.1389), (8, 0.0554)])
def test_quantile_cells_lose_more(count: int, distortion: float) -> None:
    assert ratio(QuantileCells, count) == pytest.approx(1 - 0.5 * (1 - A) * (1 - distortion), abs=0.004)
    x, y = ar1(1)[0], ar1(2)[0]
    ids = QuantileCells(x, count).assign(y)
    within = sum(np.square(y[ids == c] - y[ids == c].mean()).sum() for c in range(count)) / len(y)
    assert within == pytest.approx(distortion, abs=0.004)


def test_without_structure_the_ratio_is_one_however_many_cells() -> None:
    """A table of K means pays K / n for its noise, and an in-sample ratio would gain as much."""
    rng = np.random.default_rng(0)
    n, count, dim = 20_000, 2000, 8
    ids, other = rng.integers(count, size=(2, n))
    found = CellMeans.of(ids, rng.standard_normal((n, dim)), count, 1).read(other, rng.standard_normal((n, dim)))
    # of Σ ⟨Δ, m_c⟩ / Σ ‖Δ‖²: products of variance 1 · K / n, in n D terms
    assert found.ratio == pytest.approx(1.0, abs=4 * np.sqrt(count / n / (n * dim)))
    assert found.lookup.sum() / found.total.sum() == pytest.approx(1 + count / n, abs=0.02)


def test_cells_that_decide_the_step_leave_nothing() -> None:
    table = np.random.default_rng(0).standard_normal((5, 3))
    ids = np.arange(1000) % 5
    assert CellMeans.of(ids, table[ids], 5, 1).read(ids, table[ids]).ratio == pytest.approx(0.0, abs=1e-12)


def test_scale_and_rotation_of_the_steps_change_nothing() -> None:
    rng = np.random.default_rng(3)
    ids, steps = rng.integers(6, size=500), rng.standard_normal((500, 4))
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0] * 3.0
    one, other = (CellMeans.of(ids, s, 6, 1).read(ids, s).ratio for s in (steps, steps @ turn + 1.0))
    assert one == pytest.approx(other, abs=1e-9)


def test_frames_of_rare_cells_are_counted_and_left_out() -> None:
    ids = np.array([0] * 10 + [1] * 2)
    steps = np.random.default_rng(0).standard_normal((12, 2))
    found = CellMeans.of(ids, steps, 3, 3).read(np.array([0, 1, 2, 0]), steps[:4])
    assert found.excluded.tolist() == [False, True, True, False]
    assert found.total[1] == found.within[1] == 0.0 < found.total[0]


def test_the_same_seed_gives_the_same_cells() -> None:
    x = np.random.default_rng(0).standard_normal((5000, 6))
    for count in (16, 200):
        one, other = (KMeansCells(x, count, 5).assign(x) for _ in range(2))
        assert (one == other).all() and len(np.unique(one)) > 0.9 * count


def test_only_other_speakers_make_a_motif_recur() -> None:
    known = pool([("a", [0, 1, 1, 2]), ("b", [5, 0, 1, 2, 2])], 3)
    assert recurrence([0, 0, 1, 2, 3], "a", known, 3) == (1, 2)
    assert recurrence([5, 0, 1], "b", known, 3) == (0, 1)
    assert recurrence([5, 0, 1], "c", known, 3) == (1, 1)
    assert recurrence([7, 7, 7], "c", known, 3) == (0, 0)
