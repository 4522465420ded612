"""Simulated coverage at 20 speakers, and that the simulation's own closed forms hold."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import coverage

TRIALS = 400


@pytest.mark.parametrize("one", [coverage.speakers_cover, coverage.difference_covers])
def test_twenty_speakers_are_enough(one: object) -> None:
    assert callable(one)
    (share,) = coverage.covered(one, 20, TRIALS)
    # 93 to 97 %, with 3 standard errors of a binomial
    error = 3 * math.sqrt(0.95 * 0.05 / TRIALS)
    assert 0.93 - error <= share <= 0.97 + error


def test_utterances_do_not_stand_for_voices() -> None:
    """Five utterances a speaker at a correlation of .3: errors too small by √(1 + 4 · .3), so 1.96 covers 81 %."""
    everyone, these = coverage.covered(coverage.utterances_cover, 20, TRIALS)
    assert everyone == pytest.approx(math.erf(1.96 / math.sqrt(2.2) / math.sqrt(2)), abs=0.06)
    assert these >= 0.93


def test_the_variance_of_a_time_mean_is_the_double_sum() -> None:
    lags = np.abs(np.subtract.outer(np.arange(7), np.arange(7)))
    assert coverage.variance_of_time_mean(0.8, 7) == pytest.approx(float((0.8**lags).sum()) / 49, rel=1e-12)


def test_the_simulated_correlation_is_the_declared_one() -> None:
    sample = coverage.gaussian(np.random.default_rng(0), 4000)
    values = np.array(list(sample.values.values())).reshape(4000, coverage.PER_SPEAKER)
    within = float(values.var(axis=1, ddof=1).mean())
    between = float(values.mean(axis=1).var(ddof=1)) - within / coverage.PER_SPEAKER
    assert between / (between + within) == pytest.approx(coverage.ICC, abs=0.03)


def test_the_simulated_error_rate_is_the_declared_one() -> None:
    sample = coverage.word_errors(np.random.default_rng(0), 999)
    values, words = (np.array(list(d.values())) for d in (sample.values, sample.weights or {}))
    assert (values * words).sum() / words.sum() == pytest.approx(sample.truth, abs=0.02)
    assert 0.19 < sample.truth < 0.2


def test_the_document_is_of_this_script() -> None:
    """Same rows and columns; its numbers take minutes and are made anew with the script."""
    text = (Path(__file__).parents[2] / "docs/coverage.md").read_text("utf-8")
    for n in coverage.CLUSTERS:
        assert f"\n| {n} |" in text
    assert all(method in text for method in coverage.METHODS)
