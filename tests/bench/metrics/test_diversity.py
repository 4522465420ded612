"""Overlaps against hand-made texts and another implementation's precisions, spreads against closed forms."""

import math

import numpy as np
import pytest

from bench.metrics.distortion import Unscorable
from bench.metrics.diversity import auto_bleu, fingerprint, relative_spread, self_bleu, spread, vert


def test_identical_texts_overlap_wholly_and_others_not_at_all() -> None:
    assert self_bleu(["the cat sat down"] * 3) == [1.0, 1.0, 1.0]
    assert self_bleu(["the cat sat", "a dog ran", "no words shared"]) == [0.0, 0.0, 0.0]


def test_self_bleu_clips_its_counts_and_takes_no_brevity_penalty() -> None:
    # "a" is three times in the first and once in the second: 2 of 4 words; "a b" is 1 of 3 pairs
    assert self_bleu(["a a a b", "a b"]) == pytest.approx([math.sqrt(2 / 4 * 1 / 3), 1.0])


def test_auto_bleu_by_hand() -> None:
    # every word comes again; of the three pairs the middle one overlaps with both others
    assert auto_bleu("a a a a") == pytest.approx(math.sqrt(1 * 2 / 3))
    assert auto_bleu("a b a b") == pytest.approx(math.sqrt(1 * 2 / 3))
    assert auto_bleu("a b c a b") == pytest.approx(math.sqrt(4 / 5 * 2 / 4))
    assert auto_bleu("a b c a") == 0.0
    assert auto_bleu("A, b! a B") == auto_bleu("a b a b")


def test_vert_is_the_geometric_mean_of_both() -> None:
    texts = ["a b a b c", "a b d a b", "c d a b x"]
    expected = math.sqrt(np.mean(self_bleu(texts)) * np.mean([auto_bleu(t) for t in texts]))
    assert vert(texts) == pytest.approx(expected)
    assert 0 < vert(texts) < 1
    assert vert(["a a a a a a", "a a a a a a"]) > vert(["a b a b a b", "a b c d a b"])
    assert vert(["the cat sat", "a dog ran"]) == 0.0


def test_the_order_of_texts_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdef"), 12)) for _ in range(8)]
    assert self_bleu(texts[::-1]) == self_bleu(texts)[::-1]


def test_self_bleu_is_that_of_nltk() -> None:
    bleu = pytest.importorskip("nltk.translate.bleu_score", reason="nltk is an extra: pip install 'latentbench[dev]'")
    rng = np.random.default_rng(1)
    texts = [list(rng.choice(list("abcdef"), rng.integers(8, 20))) for _ in range(6)]
    expected = []
    for i, words in enumerate(texts):
        others = texts[:i] + texts[i + 1 :]
        expected.append(math.sqrt(math.prod(float(bleu.modified_precision(others, words, n)) for n in (1, 2))))
    assert self_bleu([" ".join(words) for words in texts]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("texts", "reason"), [([], "two texts, got 0"), (["a b"], "two texts, got 1"), (["a b", " ?"], "2 words")]
)
def test_texts_that_cannot_be_scored(texts: list[str], reason: str) -> None:
    with pytest.raises(Unscorable, match=reason):
        vert(texts)


def test_spread_of_known_points() -> None:
    assert spread([[0.0], [1.0], [3.0]]) == pytest.approx((1 + 3 + 2) / 3)
    assert spread(np.zeros((4, 5, 2))) == 0.0
    # the difference of two normals has twice the variance, in each of many values
    x = np.random.default_rng(0).standard_normal((12, 100, 100))
    assert spread(x) == pytest.approx(math.sqrt(2), rel=0.01)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_relative_spread_is_blind_to_a_scale_of_both(scale: float) -> None:
    rng = np.random.default_rng(0)
    real, draws = rng.standard_normal((10, 40, 8)), 0.3 * rng.standard_normal((3, 6, 40, 8))
    found = relative_spread(list(scale * draws), scale * real)
    assert found == pytest.approx(relative_spread(list(draws), real), rel=1e-9)
    assert found == pytest.approx(0.3, rel=0.05)


def test_the_mean_of_a_prompt_changes_no_spread_and_a_collapse_has_none() -> None:
    rng = np.random.default_rng(0)
    real, draws = rng.standard_normal((10, 8)), rng.standard_normal((6, 8))
    assert relative_spread([draws + 100.0], real) == pytest.approx(relative_spread([draws], real))
    assert relative_spread([np.ones((6, 8))], real) == 0.0


def test_spreads_that_do_not_exist() -> None:
    with pytest.raises(Unscorable, match="do not differ"):
        relative_spread([np.ones((2, 3))], np.ones((2, 3)))
    with pytest.raises(Unscorable, match="no prompts"):
        relative_spread([], np.eye(3))
    for bad in (np.ones((1, 3)), np.array([[np.nan], [0.0]])):
        with pytest.raises(Unscorable, match="at least two latents"):
            spread(bad)


def test_the_fingerprint_names_order_and_normaliser() -> None:
    assert "1 to 2 words" in fingerprint()["vert"]
    assert fingerprint()["normaliser"].startswith("1:")
