"""How alike the draws of a generator are: VERT of their transcripts, and the spread of their latents.

Conventions: texts are normalised as for word errors and split at spaces; overlaps are in [0, 1], lower is more diverse.
No diversity is good in itself: noise is diverse. Hold a value against that of real transcripts of the same lengths and
number, since all of these grow with both.

* self-BLEU of a text: how much of it is in the others of its set, clipped counts, without a brevity penalty;
* auto-BLEU of a text: the share of its n-grams that come again within it, without overlap, as in fairseq;
* VERT: √(mean self-BLEU · mean auto-BLEU), each the geometric mean of unigrams and bigrams;
* `relative_spread`: mean distance between the latents of draws, over that between real utterances; 1: as diverse as
  these, 0: every draw the same. Blind to a common scale of both.

The paper does not say whether unigrams and bigrams are averaged geometrically; fairseq prints both ways, and the
geometric one is BLEU's own.

References:
    Lakhotia et al. 2021 (VERT, arXiv 2102.01192) and fairseq's `gslm/metrics/asr_metrics/self_auto_bleu.py`;
    Zhu et al. 2018 (self-BLEU, arXiv 1802.01886); Papineni et al. 2002, "BLEU", ACL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from bench.metrics.distortion import Unscorable
from bench.metrics.intelligibility import NORMALISER, normalise

ORDER = 2
"""Of the n-grams; each order from 1 weighs the same."""

Words = Sequence[str]


def fingerprint() -> dict[str, str]:
    """What decides the overlaps beside the texts."""
    return {"vert": f"1: geometric means over 1 to {ORDER} words, no brevity penalty", "normaliser": NORMALISER}


def vert(texts: Sequence[str]) -> float:
    """√(self-BLEU · auto-BLEU) of a set of transcripts, in [0, 1].

    >>> round(vert(["the cat the cat", "the cat the cat"]), 4)
    0.9036

    Raises:
        Unscorable: fewer than two texts, or one of fewer than two words.
    """
    return float(np.sqrt(np.mean(self_bleu(texts)) * np.mean([auto_bleu(text) for text in texts])))


def self_bleu(texts: Sequence[str]) -> list[float]:
    """Of each text against all the others.

    >>> self_bleu(["a b c", "a b d", "x y"])
    [0.5773502691896257, 0.5773502691896257, 0.0]
    """
    if len(texts) < 2:
        raise Unscorable(f"self-BLEU: needs at least two texts, got {len(texts)}")
    split = [_words("self-BLEU", text) for text in texts]
    precisions = np.ones((len(texts), ORDER))
    for n in range(1, ORDER + 1):
        counts = [Counter(_grams(words, n)) for words in split]
        most = _two_largest(counts)
        for i, own in enumerate(counts):
            # the largest count among the others: the second where this text holds the largest
            shared = sum(min(count, most[gram][most[gram][0] == count]) for gram, count in own.items())
            precisions[i, n - 1] = shared / own.total()
    return [float(value) for value in precisions.prod(1) ** (1 / ORDER)]


def auto_bleu(text: str) -> float:
    """Of one text within itself.

    >>> auto_bleu("a b c d")
    0.0
    """
    words = _words("auto-BLEU", text)
    shares = [_repeated(words, n) for n in range(1, ORDER + 1)]
    return float(np.prod(shares) ** (1 / ORDER))


def relative_spread(draws: Sequence[npt.ArrayLike], real: npt.ArrayLike) -> float:
    """Mean distance between draws, prompt by prompt, over that between real utterances.

    Args:
        draws: for each prompt (n, ...), n ≥ 2 latents of its draws; all of one shape.
        real: (m, ...), m ≥ 2 latents of real utterances, of the same shape.

    Raises:
        Unscorable: real utterances that are all the same.
    """
    if not draws:
        raise Unscorable("spread: no prompts")
    scale = spread(real)
    if not scale > 0:
        raise Unscorable("spread: the real utterances do not differ")
    return float(np.mean([spread(of_prompt) for of_prompt in draws]) / scale)


def spread(latents: npt.ArrayLike) -> float:
    """Mean Euclidean distance between the n (n − 1) / 2 pairs of latents (n, ...), root mean square over values.

    Raises:
        Unscorable: fewer than two, or values that are not finite.
    """
    x = np.asarray(latents, dtype=np.float64)
    if len(x) < 2 or not np.isfinite(x).all():
        raise Unscorable(f"spread: needs at least two latents of finite values, got {x.shape}")
    x = x.reshape(len(x), -1)
    return float(np.mean([np.sqrt(np.square(a - b).mean()) for a, b in combinations(x, 2)]))


def _words(metric: str, text: str) -> list[str]:
    words = normalise(text).split()
    if len(words) < ORDER:
        raise Unscorable(f"{metric}: needs texts of at least {ORDER} words, got {text!r}")
    return words


def _grams(words: Words, n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def _repeated(words: Words, n: int) -> float:
    """Share of the n-grams that are also before or after themselves, not overlapping."""
    grams = _grams(words, n)
    found = [gram in grams[: max(i - n + 1, 0)] or gram in grams[i + n :] for i, gram in enumerate(grams)]
    return sum(found) / len(found)


def _two_largest(counts: Sequence[Counter[tuple[str, ...]]]) -> dict[tuple[str, ...], tuple[int, int]]:
    """n-gram → its two largest counts over texts, the larger first."""
    most: dict[tuple[str, ...], tuple[int, int]] = {}
    for own in counts:
        for gram, count in own.items():
            first, second = most.get(gram, (0, 0))
            most[gram] = (count, first) if count > first else (first, max(second, count))
    return most
