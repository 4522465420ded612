"""A short, seeded run of the gate's evidence: noise alone seldom alarms, what is twice the detectable is found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks import gate
from leaderboard.gate.margins import FALSE_ALARMS

CHANGES = 40


@pytest.fixture(scope="module")
def templates() -> list[gate.Template]:
    return gate.templates(("raw_ar_v1", "rssm_v1"))


@pytest.fixture(scope="module")
def tallies(templates: list[gate.Template]) -> dict[str, gate.Tally]:
    return gate.simulate(templates, CHANGES, seed=1)


@pytest.mark.parametrize("kind", ["noise", "margin", "scorer"])
def test_false_alarms_are_within_what_the_rate_allows(tallies: dict[str, gate.Tally], kind: str) -> None:
    assert tallies[kind].changes == CHANGES
    assert tallies[kind].hits <= binom.ppf(0.99, CHANGES, FALSE_ALARMS)


def test_planted_regressions_are_found(tallies: dict[str, gate.Tally]) -> None:
    """Stated for 80 %, so of 40 at least as many as a power of .8 gives 99.9 times in a hundred; twice that, 95 %."""
    assert tallies["once"].hits >= binom.ppf(0.001, CHANGES, 0.8)
    assert tallies["twice"].hits >= 0.95 * CHANGES


def test_the_simulated_noise_is_what_it_says(templates: list[gate.Template]) -> None:
    """A move's variance over changes is 2 σ² and, of its mean, the sampling error of the differences."""
    of, column = templates[0], ("delta_nll", "own_gain_80ms")
    drawn = [gate.draw(of, np.random.default_rng(i)) for i in range(600)]
    means = np.array([d.moves[column].mean() for d in drawn])
    differences, noise = of.differences[column], of.noise[column]
    expected = 2 * noise.sd**2 + differences.var() / len(differences)
    assert means.var() == pytest.approx(expected, rel=0.2)
    cards = np.array([next(c.sd for c in d.card.columns if c.column == column[1]) for d in drawn])
    assert np.mean(cards**2) == pytest.approx(noise.sd**2, rel=0.2)
    # the columns of one task move together, as the differences of the two seeds do
    other = ("delta_nll", "own_gain_160ms")
    seen = np.corrcoef(means, [d.moves[other].mean() for d in drawn])[0, 1]
    assert seen == pytest.approx(np.corrcoef(differences, of.differences[other])[0, 1], abs=0.12)


def test_without_a_second_seed_nothing_shifts(templates: list[gate.Template]) -> None:
    of = templates[0]
    drawn = gate.draw(of, np.random.default_rng(0), seeds=False)
    for column, moves in drawn.moves.items():
        assert set(np.round(moves, 12)) <= set(np.round(of.differences[column], 12))
