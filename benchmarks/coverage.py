"""How often the 95 % intervals of the tables hold the truth, on data whose truth is known.

    python benchmarks/coverage.py --write docs/coverage.md

The value of an utterance is the time mean of a Gaussian AR(1) around its speaker's mean, so that mean and
variance are known in closed form; the speakers' variance is set to an intraclass correlation of .3. A second
source is skewed: word errors over words, with log-normal error rates of the speakers. The intervals are those
of `bench.stats` and `leaderboard.ranks`; what they are compared with is computed here.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri

from bench.stats import LEVEL, REPLICATES, interval, paired_interval, student
from leaderboard.ranks import rank_intervals

CLUSTERS = (2, 4, 8, 12, 20, 50, 100, 251)
COMPARED = (4, 8, 20, 50)
ICC = 0.3
PER_SPEAKER = 5
COEFFICIENT = 0.8
FRAMES = 50
ROWS = 5
DRAWS = 1000
FEWER_DRAWS = 400


@dataclass(frozen=True)
class Sample:
    """One simulated test set: value, weight and speaker by utterance, and the truth of the weighted mean."""

    values: dict[str, float]
    weights: dict[str, float] | None
    speakers: dict[str, str]
    truth: float
    of_these_voices: float = 0.0


Source = Callable[[np.random.Generator, int], Sample]
Covered = bool | Sequence[bool]


def variance_of_time_mean(coefficient: float, frames: int) -> float:
    """Variance of the mean of `frames` frames of a Gaussian AR(1) of variance 1.

    >>> variance_of_time_mean(0.0, 4)
    0.25
    >>> round(variance_of_time_mean(0.5, 2), 4)  # (1 + 1 + 2 · 0.5) / 4
    0.75
    """
    a, n = coefficient, frames
    return (n * (1 - a**2) - 2 * a * (1 - a**n)) / (n * (1 - a)) ** 2


def gaussian(rng: np.random.Generator, speakers: int, shift: float = 0.0) -> Sample:
    """Utterance means of AR(1) frames around speaker means, exactly: a mean of Gaussians is Gaussian."""
    within = variance_of_time_mean(COEFFICIENT, FRAMES)
    means = rng.normal(shift, math.sqrt(within * ICC / (1 - ICC)), speakers)
    values = means[:, None] + rng.normal(0.0, math.sqrt(within), (speakers, PER_SPEAKER))
    return _named(values, None, shift, float(means.mean()))


def word_errors(rng: np.random.Generator, speakers: int) -> Sample:
    """Errors over 5 to 25 words; a speaker's rate is log-normal around .2 (σ .6), cut at .95."""
    words = rng.integers(5, 26, (speakers, PER_SPEAKER))
    rates = np.minimum(_rate(rng.normal(size=speakers)), 0.95)
    errors = rng.binomial(words, np.broadcast_to(rates[:, None], words.shape))
    return _named(errors / words, words.astype(float), MEAN_RATE)


def _rate(z: np.ndarray) -> np.ndarray:
    return 0.2 * np.exp(0.6 * z - 0.18)


def _mean_rate() -> float:
    grid = np.linspace(-9, 9, 100_001)
    density = np.exp(-(grid**2) / 2)
    return float(np.sum(np.minimum(_rate(grid), 0.95) * density) / np.sum(density))


MEAN_RATE = _mean_rate()


def _named(values: np.ndarray, weights: np.ndarray | None, truth: float, voices: float = 0.0) -> Sample:
    names = [f"s{s:03d}-{k}" for s in range(values.shape[0]) for k in range(values.shape[1])]
    given = None if weights is None else dict(zip(names, weights.ravel().tolist(), strict=True))
    return Sample(
        dict(zip(names, values.ravel().tolist(), strict=True)), given, {n: n[:4] for n in names}, truth, voices
    )


# --- what the tables use -----------------------------------------------------------------------------------


def speakers_cover(rng: np.random.Generator, n: int) -> bool:
    """Whether the interval over speakers holds the mean of all possible voices."""
    s = gaussian(rng, n)
    found = interval(s.values, s.speakers, replicates=DRAWS, seed=_seed(rng), over="speakers")
    return found.low <= s.truth <= found.high


def word_errors_cover(rng: np.random.Generator, n: int) -> bool:
    """The same of a ratio of skewed sums."""
    s = word_errors(rng, n)
    found = interval(s.values, s.speakers, s.weights, replicates=DRAWS, seed=_seed(rng), over="speakers")
    return found.low <= s.truth <= found.high


def difference_covers(rng: np.random.Generator, n: int) -> bool:
    """Whether the paired interval over speakers holds a true difference of .5 between rows on one hard set."""
    hard, a, b = gaussian(rng, n), gaussian(rng, n), gaussian(rng, n, shift=0.5)
    first, second = ({u: 3 * hard.values[u] + s.values[u] for u in s.values} for s in (a, b))
    found = paired_interval(first, second, a.speakers, replicates=DRAWS, seed=_seed(rng), over="speakers")
    return found.low <= 0.5 <= found.high


def utterances_cover(rng: np.random.Generator, n: int) -> tuple[bool, bool]:
    """Whether the interval over utterances holds the mean of all possible voices, and of these voices."""
    s = gaussian(rng, n)
    found = interval(s.values, s.speakers, replicates=FEWER_DRAWS, seed=_seed(rng), over="utterances")
    return found.low <= s.truth <= found.high, found.low <= s.of_these_voices <= found.high


def ranks_cover(rng: np.random.Generator, n: int) -> bool:
    """Whether five rows that are truly equal are all left unranked among each other."""
    rows = [gaussian(rng, n) for _ in range(ROWS)]
    given = {f"r{i}": row.values for i, row in enumerate(rows)}
    # utterances that stand for speakers, so that fewer than 20 are resampled too
    means = {r: _speaker_means(v) for r, v in given.items()}
    found = rank_intervals(means, {u: u for u in means["r0"]}, replicates=FEWER_DRAWS, seed=_seed(rng))
    return set(found.values()) == {(1, ROWS)}


def _speaker_means(values: dict[str, float]) -> dict[str, float]:
    grouped: dict[str, list[float]] = {}
    for u, v in values.items():
        grouped.setdefault(u[:4], []).append(v)
    return {s: float(np.mean(v)) for s, v in grouped.items()}


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


# --- what else could be used -------------------------------------------------------------------------------

METHODS = ("percentile", "expanded percentile", "BCa", "bootstrap-t", "t")


def alternatives(source: Source, rng: np.random.Generator, speakers: int, draws: int = 600) -> list[bool]:
    """Whether each of METHODS covers, all from the same resamples of speakers."""
    sample = source(rng, speakers)
    w = sample.weights or dict.fromkeys(sample.values, 1.0)
    top = _sums(sample, {u: v * w[u] for u, v in sample.values.items()})
    bottom = _sums(sample, w)
    n, value = len(top), top.sum() / bottom.sum()
    chosen = rng.integers(n, size=(draws, n))
    ratios = top[chosen].sum(1) / bottom[chosen].sum(1)
    small = math.sqrt(n / (n - 1))
    error = small * math.sqrt(float(np.sum((top - value * bottom) ** 2))) / bottom.sum()
    residuals = top[chosen] - ratios[:, None] * bottom[chosen]
    errors = small * np.sqrt((residuals**2).sum(1)) / bottom[chosen].sum(1)
    studentised = (ratios - value)[errors > 0] / errors[errors > 0]
    t, z = student(n, (1 + LEVEL) / 2), float(ndtri((1 + LEVEL) / 2))
    low, high = np.quantile(studentised, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    limits = [
        np.quantile(ratios, [ndtr(-z), ndtr(z)]),
        np.quantile(ratios, [ndtr(-small * t), ndtr(small * t)]),
        np.quantile(ratios, _accelerated(ratios, value, (top.sum() - top) / (bottom.sum() - bottom), z)),
        (value - high * error, value - low * error),
        (value - t * error, value + t * error),
    ]
    return [bool(a <= sample.truth <= b) for a, b in limits]


def _sums(sample: Sample, values: dict[str, float]) -> np.ndarray:
    speakers = sorted(set(sample.speakers.values()))
    position = {s: i for i, s in enumerate(speakers)}
    out = np.zeros(len(speakers))
    np.add.at(out, [position[sample.speakers[u]] for u in values], list(values.values()))
    return out


def _accelerated(draws: np.ndarray, value: float, left_out: np.ndarray, z: float) -> list[float]:
    """BCa's percentiles (Efron and Tibshirani 1993, chapter 14)."""
    u = left_out.mean() - left_out
    acceleration = float(np.sum(u**3) / (6 * np.sum(u**2) ** 1.5)) if np.any(u) else 0.0
    share = min(max(float(np.mean(draws < value)), 1 / len(draws)), 1 - 1 / len(draws))
    bias = float(ndtri(share))
    return [float(ndtr(bias + (bias + s) / (1 - acceleration * (bias + s)))) for s in (-z, z)]


# --- the document ------------------------------------------------------------------------------------------


def covered(one: Callable[[np.random.Generator, int], Covered], n: int, replicates: int) -> np.ndarray:
    """Share of replicates that cover, per truth value that `one` returns."""
    rng = np.random.default_rng([n, replicates])
    hits = [one(rng, n) for _ in range(replicates)]
    return np.asarray(np.mean(hits, axis=0)).reshape(-1)


def document(replicates: int) -> str:
    """The Markdown of docs/coverage.md."""
    rows = []
    for n in CLUSTERS:
        runs = [covered(f, n, replicates) for f in (speakers_cover, difference_covers, word_errors_cover, ranks_cover)]
        runs.append(covered(utterances_cover, n, replicates))
        rows.append([str(n), *(f"{100 * share:.1f}" for run in runs for share in run)])
    compared = []
    sources: dict[str, Source] = {"AR(1)": gaussian, "word errors": word_errors}
    for name, source in sources.items():
        for n in COMPARED:
            shares = covered(partial(alternatives, source), n, replicates)
            compared.append([name, str(n), *(f"{100 * share:.1f}" for share in shares)])
    error = 100 * math.sqrt(LEVEL * (1 - LEVEL) / replicates)
    return TEMPLATE.format(
        replicates=f"{replicates:,}",
        error=f"{error:.1f}",
        per=PER_SPEAKER,
        icc=ICC,
        rows=ROWS,
        fewer=FEWER_DRAWS,
        draws=REPLICATES,
        main=_table(
            [
                "Speakers",
                "over speakers",
                "paired difference",
                "word errors",
                "ranks",
                "over utterances, for all voices",
                "over utterances, for these voices",
            ],
            rows,
        ),
        compared=_table(["Source", "Speakers", *METHODS], compared),
    )


TEMPLATE = """# Coverage of the intervals

Generated by `python benchmarks/coverage.py --write docs/coverage.md`. How often, in %, a 95 % interval holds
the truth: {replicates} replicates each, so that a true 95.0 shows as 95.0 ± {error} (one standard error). {per}
utterances a speaker; intraclass correlation {icc}.

{main}

- *over speakers*: what tables use from 20 speakers up; AR(1) utterances with random speaker means, the mean.
- *paired difference*: the same of row b − row a on utterances whose common difficulty is three times larger.
- *word errors*: a ratio of sums with log-normal speaker rates, far from Gaussian.
- *ranks*: {rows} rows that are truly equal; how often none is called better than another ({fewer} resamples; tables
  use {draws:,}).
- *over utterances*: what tables use below 20 speakers, labelled "conditional on these voices". For these
  voices it is wide enough; for all voices it is not, with however many speakers. Below 20 speakers no
  resampling of speakers mends that (two speakers have three distinct resamples); Student's t would, where the
  values are nearly Gaussian.

## Why expanded percentiles

Plain percentiles miss 95 % by the factor √((n−1)/n) and by the normal in place of Student's quantile. All
methods below see the same resamples of speakers.

{compared}

From 20 speakers up the expanded percentiles lie within about a point of Student's t, for symmetric values and for
skewed ones. They keep shares between 0 and 1, and one rule serves means, medians and distances from a target.
BCa does not correct for small samples. The bootstrap-t is the best for skewed values, but needs a standard
error within every resample, which a median has not. Below 8 speakers only the last two hold.
"""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---:"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the coverage of the 95 % intervals.")
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--write", type=Path, help="write the document here instead of to the terminal")
    given = parser.parse_args()
    text = document(given.replicates)
    if given.write:
        given.write.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
