"""Borrowed degrees of freedom: known priors are found again, and estimates come nearer to the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leaderboard.gate.moderated import FEWEST, MOST, NOTHING, Prior, moderated, prior


def ratios(rng: np.random.Generator, columns: int, df: int, of: Prior) -> tuple[np.ndarray, np.ndarray]:
    """Truths φ and estimates x of many columns."""
    truth = of.df * of.ratio / rng.chisquare(of.df, columns) if math.isfinite(of.df) else np.full(columns, of.ratio)
    return truth, truth * rng.chisquare(df, columns) / df


@pytest.mark.parametrize("of", [Prior(1.0, 4.0), Prior(3.0, 8.0), Prior(0.2, 2.0)])
@pytest.mark.parametrize("df", [1, 2, 6])
def test_a_known_prior_is_found(of: Prior, df: int) -> None:
    _, x = ratios(np.random.default_rng(df), 40_000, df, of)
    found = prior(x.tolist(), [df] * len(x), most=50.0)
    assert found.ratio == pytest.approx(of.ratio, rel=0.1)
    assert found.df == pytest.approx(of.df, rel=0.15)


def test_columns_that_differ_by_chance_alone_lend_all_they_may() -> None:
    _, x = ratios(np.random.default_rng(0), 4000, 3, Prior(2.0, math.inf))
    found = prior(x.tolist(), [3] * len(x))
    assert found.df == MOST == 4.0
    assert found.ratio == pytest.approx(2.0, rel=0.1)


def test_few_columns_say_nothing_of_another() -> None:
    assert prior([1.0] * (FEWEST - 1), [2] * (FEWEST - 1)) == NOTHING
    assert moderated(3.0, 2, NOTHING) == (3.0, 2)


def test_a_steadied_variance_is_nearer_to_the_truth() -> None:
    truth, x = ratios(np.random.default_rng(1), 300, 2, Prior(2.0, 6.0))
    of = prior(x.tolist(), [2] * len(x))
    steadied = np.array([moderated(v, 2, of)[0] for v in x])
    assert np.mean(np.log(steadied / truth) ** 2) < 0.5 * np.mean(np.log(x / truth) ** 2)


def test_its_t_is_students_with_the_degrees_of_both() -> None:
    """D / √φ̃ has as many tails as t with d_0 + d degrees of freedom: one in fifty beyond its 98 % quantile."""
    from scipy import stats

    rng, of = np.random.default_rng(2), Prior(2.0, 4.0)
    truth, x = ratios(rng, 100_000, 2, of)
    t = rng.normal(0, np.sqrt(truth)) / np.sqrt([moderated(v, 2, of)[0] for v in x])
    assert np.mean(t > stats.t.ppf(0.98, 6)) == pytest.approx(0.02, abs=0.002)
