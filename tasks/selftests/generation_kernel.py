"""The kernel distance of paired sets: exact where they are the same in any order, a closed form for Gaussians."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
from scipy.signal import lfilter
from scipy.stats import chi2

from bench.calibration.check import Measured
from bench.metrics.distortion import RATE
from bench.metrics.kad import SCALE
from bench.outputs import Waveform, quantised
from tasks.generation_hearing import Hearing
from tasks.generation_scores import Heard, Job, measure

PAIRS, DIM, REPLICATES = 24, 8, 400
MANY, FEW = 200, 100
"""Pairs and replicates where the bandwidth has to be near that of the law."""
DEPENDENCE = 0.8
"""Correlation of a pair: a continuation and its recording are of one voice."""
SHIFT, STRETCH = 0.7, 1.2
CLIP_S, SETS = 0.75, 40


class _Given(Hearing):
    """Of embeddings that are given, (n, D) of the recordings."""

    def __init__(self, reference: np.ndarray) -> None:
        self.plan = SimpleNamespace(ids=[f"{i:03d}" for i in range(len(reference))])  # type: ignore[assignment]
        self._reference = dict(zip(self.plan.ids, reference.tolist(), strict=True))

    def contributions(self, embeddings: np.ndarray) -> np.ndarray:
        """(n,), as the task gives them to a table."""
        heard = {
            name: Heard(values={}, weights={}, unscored={}, transcript="", embedding=one)
            for name, one in zip(self.plan.ids, embeddings.tolist(), strict=True)
        }
        self._kernel(heard)
        return np.array([heard[name]["values"]["kad"] for name in self.plan.ids])


def gaussian(seed: int) -> Sequence[Measured]:
    """Exact identities, bias and spread."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(PAIRS, DIM))
    turned = _Given(y).contributions(np.roll(y, 1, 0))
    # Σ over i ≠ j loses the n pairs that meet themselves and gains those that met across
    squares = np.square(y[:, None] - y[None]).sum(-1)
    width = float(np.median(np.sqrt(squares[np.triu_indices(PAIRS, 1)])))
    meets = np.exp(-np.square(np.roll(y, 1, 0) - y).sum(1) / (2 * width**2))
    truth = -2 * SCALE * (1 - float(meets.mean())) / (PAIRS - 1)
    same = np.array([_set(rng, PAIRS, 0.0, 1.0) for _ in range(REPLICATES)])
    estimates = same.mean(1)
    far = np.array([_set(rng, MANY, SHIFT, STRETCH) for _ in range(FEW)])
    expected = _between(SHIFT, STRETCH)
    spread = np.array([_set(rng, PAIRS, 2 * SHIFT, 1.0) for _ in range(REPLICATES)])
    return [
        Measured("the recordings themselves", "1", float(np.abs(_Given(y).contributions(y)).max()), 0.0, 0.0),
        Measured("the recordings in another order", "1", float(turned.mean()), truth, 1e-9),
        Measured("the same law", "1", float(estimates.mean()), 0.0, 0.5, _error(estimates)),
        Measured("another law", "1", float(far.mean()), expected, 0.01 * expected, _error(far.mean(1))),
        Measured("error said / found, another law", "1", _said(spread) / float(spread.mean(1).std()), 1.0, 0.15),
        # the estimate is then degenerate: of variance 2 E h² / n (n − 1), where twice a pair's deviation has
        # 4 E h² (n − 2) / (n − 1)², and so the interval is wider than it needs to be
        Measured(
            "error said / found, the same law",
            "1",
            _said(same) / float(estimates.std()),
            math.sqrt(2 * (PAIRS - 2) / (PAIRS - 1)),
            0.2,
        ),
    ]  # fmt: skip


def _set(rng: np.random.Generator, pairs: int, shift: float, stretch: float) -> np.ndarray:
    """Contributions of N(shift · e_1, stretch² I) beside N(0, I), which depend on each other."""
    y = rng.normal(size=(pairs, DIM))
    x = DEPENDENCE * y + math.sqrt(1 - DEPENDENCE**2) * rng.normal(size=(pairs, DIM))
    x *= stretch
    x[:, 0] += shift
    return _Given(y).contributions(x)


def _between(shift: float, stretch: float) -> float:
    """1000 × MMD² at the bandwidth of the law: half the differences' χ² has its median there."""
    square = 2 * float(chi2.median(DIM))

    def mean(variance: float, apart: float) -> float:
        return float((1 + variance / square) ** (-DIM / 2) * math.exp(-(apart**2) / (2 * (square + variance))))

    return SCALE * (mean(2 * stretch**2, 0.0) + mean(2.0, 0.0) - 2 * mean(1 + stretch**2, shift))


def _error(replicates: np.ndarray) -> float:
    return float(replicates.std(ddof=1) / math.sqrt(len(replicates)))


def _said(sets: np.ndarray) -> float:
    """Root mean square of the standard errors that sets of contributions (R, n) say they have."""
    return float(np.sqrt(sets.var(1, ddof=1).mean() / sets.shape[1]))


def clips(seed: int) -> Sequence[Measured]:
    """Continuations of the law of the recordings, heard."""
    rng = np.random.default_rng(seed)
    shape = (SETS, PAIRS)
    x, y = ([[_embedded(_clip(rng)) for _ in range(shape[1])] for _ in range(shape[0])] for _ in range(2))
    found = np.array([_Given(np.array(b)).contributions(np.array(a)).mean() for a, b in zip(x, y, strict=True)])
    return [Measured("the same law", "1", float(found.mean()), 0.0, 1.0, _error(found))]


def _clip(rng: np.random.Generator) -> Waveform:
    """Noise of a random colour whose level moves at a random pace."""
    samples = int(CLIP_S * RATE)
    noise = lfilter([1.0], [1.0, -rng.uniform(-0.9, 0.9)], rng.normal(size=samples))
    moves = 1 + rng.uniform(0, 0.9) * np.sin(2 * np.pi * rng.uniform(1, 8) * np.arange(samples) / RATE)
    return quantised(0.05 * noise * moves, "clip")


def _embedded(waveform: Waveform) -> list[float]:
    return measure(Job(waveform, RATE, ("kad",)))["embedding"]
