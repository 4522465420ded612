"""F3: entropies against counts, and memory that helps."""

import math

import pytest
import torch

from bench.calibration.lookup import Lookup, MotifBook


def test_the_entropy_rate_is_its_closed_form() -> None:
    assert Lookup().truth("entropy_rate") == pytest.approx(0.7295, abs=1e-4)
    assert Lookup().truth("horizon_entropy", k=1) == pytest.approx(Lookup().truth("entropy_rate"), rel=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_entropies_are_those_of_long_sequences(seed) -> None:
    source = Lookup(symbols=8, epsilon=0.2)
    v = source.draw(400, 500, torch.Generator().manual_seed(seed))
    pairs = torch.bincount((8 * v[:, :-1] + v[:, 1:]).flatten(), minlength=64).double().reshape(8, 8)
    pairs /= pairs.sum()
    assert torch.allclose(pairs, source.pairs, atol=0.005)
    given = source.given[v[:, :-2], v[:, 1:-1]].gather(-1, v[:, 2:, None])
    assert float(-given.log().mean()) == pytest.approx(source.truth("entropy_rate"), abs=0.01)
    entropy = lambda p: float(-torch.special.xlogy(p, p).sum())  # noqa: E731
    assert source.truth("order1_entropy") == pytest.approx(entropy(pairs) - entropy(pairs.sum(0)), abs=0.01)
    assert source.truth("gain", k=1) > source.truth("gain", k=2) > source.truth("gain", k=4) > 0


def test_latents_give_their_symbols_back() -> None:
    source = Lookup()
    v = source.draw(4, 50, torch.Generator().manual_seed(0))
    assert torch.equal(source.nearest(source.latents(v, torch.Generator().manual_seed(1))), v)


def test_motifs_need_a_context_and_then_cost_their_index() -> None:
    book = MotifBook()
    entropies = [book.truth("context_entropy", context=c) for c in range(5)]
    assert entropies == sorted(entropies, reverse=True) and entropies[-1] > book.truth("entropy_rate")
    v = book.draw(3000, 40, torch.Generator().manual_seed(0))
    nll = -book.log_prob(v).mean(0)
    for c, entropy in enumerate(entropies):
        assert float(nll[c]) == pytest.approx(entropy, abs=0.08)
    assert float(nll[-8:].mean()) == pytest.approx(math.log(16) / 4, abs=0.02)


@pytest.mark.parametrize("steps", [True, False])
def test_the_variance_left_by_two_symbols_is_that_of_long_sequences(steps: bool) -> None:
    process = Lookup(symbols=5, epsilon=0.3, dim=3, noise=0.2)
    rng = torch.Generator().manual_seed(0)
    v = process.draw(4000, 60, rng)
    x = process.latents(v, rng).double()
    target = (x[:, 2:] - x[:, 1:-1] if steps else x[:, 2:]).flatten(0, 1)
    pair = (v[:, :-2] * 5 + v[:, 1:-1]).flatten()
    within = sum(float((target[pair == p] - target[pair == p].mean(0)).square().sum()) for p in pair.unique())
    total = float((target - target.mean(0)).square().sum())
    metric = "cluster_ratio" if steps else "cluster_ratio_x"
    assert within / total == pytest.approx(process.truth(metric), abs=3e-3)
