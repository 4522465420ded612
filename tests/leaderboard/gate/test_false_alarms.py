"""A short, seeded run of the gate's evidence: noise alone seldom alarms, what is twice the detectable is found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, chi2, kstest

from benchmarks import gate
from leaderboard.gate.margins import FALSE_ALARMS

CHANGES = 40


@pytest.fixture(scope="module")
def templates() -> list[gate.Template]:
    return gate.templates(("raw_ar_v1", "rssm_v1"), ("delta_nll",))


@pytest.fixture(scope="module")
def tallies(templates: list[gate.Template]) -> dict[str, gate.Tally]:
    return gate.simulate(templates, CHANGES, seed=2)


@pytest.mark.parametrize("kind", ["noise", "margin", "scorer"])
def test_false_alarms_are_within_what_the_rate_allows(tallies: dict[str, gate.Tally], kind: str) -> None:
    assert tallies[kind].changes == CHANGES
    assert tallies[kind].hits <= binom.ppf(0.99, CHANGES, FALSE_ALARMS)


def test_planted_regressions_are_found(tallies: dict[str, gate.Tally]) -> None:
    """Stated for 80 %, so of 40 at least as many as a power of .8 gives 99.9 times in a hundred; twice that, 95 %."""
    assert tallies["once"].hits >= binom.ppf(0.001, CHANGES, 0.8)
    assert tallies["twice"].hits >= 0.95 * CHANGES


def test_the_simulated_noise_is_what_it_says(templates: list[gate.Template]) -> None:
    """Given σ, a mean move is Gaussian with 2 σ² and the sampling error of the differences, and a card measures σ²."""
    of, column = templates[0], ("delta_nll", "own_gain_80ms")
    drawn = [gate.draw(of, np.random.default_rng(i)) for i in range(600)]
    differences = of.differences[column]
    sigma = np.array([d.truth[column] for d in drawn])
    means = np.array([d.moves[column].mean() for d in drawn])
    z = means / np.sqrt(2 * sigma**2 + differences.var() / len(differences))
    assert kstest(z, "norm").pvalue > 0.01
    measured = np.array([next(c.sd for c in d.card.columns if c.column == column[1]) for d in drawn])
    df = of.noise[column].df
    assert kstest(df * (measured / sigma) ** 2, chi2(df).cdf).pvalue > 0.01
    # σ² itself spreads about the shipped card's as its degrees of freedom leave open
    seeds = of.seeds[column]
    assert kstest(seeds.df * (seeds.sd / sigma) ** 2, chi2(seeds.df).cdf).pvalue > 0.01
    # the columns of one task move together, as the differences of the two seeds do
    other = ("delta_nll", "own_gain_160ms")
    seen = np.corrcoef(np.sign(means), np.sign([d.moves[other].mean() for d in drawn]))[0, 1]
    correlation = np.corrcoef(differences, of.differences[other])[0, 1]
    assert seen == pytest.approx(2 / np.pi * np.arcsin(correlation), abs=0.12)


def test_without_a_second_seed_nothing_shifts(templates: list[gate.Template]) -> None:
    of = templates[0]
    drawn = gate.draw(of, np.random.default_rng(0), seeds=False)
    for column, moves in drawn.moves.items():
        assert set(np.round(moves, 12)) <= set(np.round(of.differences[column], 12))
