"""CALM's heads on F2, whose next frame is one of two with even odds: a head that averages them misses both.

A head alone is given what F2 announces and learns the plane's law. The plane is divided by its standard deviation,
so that it has the unit variance that heads expect; on the axis announced its law is ± r + noise, even odds. MMD² is
unbiased, with the bandwidths of `bench.metrics.mmd`, of its samples against as many fresh ones of the truth, so that
0 is exact; the tolerance is what a head is allowed. A head that gives the mean would be near 1.

The whole family is fitted on sequences of F2 and gives teacher-forced one-step samples; those of frame t are compared
with other sequences' frames behind the same announcement. Its energy score is over the oracle's on the same frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from baselines.calm import CALM
from baselines.consistency import ConsistencyHead, HeadConfig, head
from baselines.training import TrainConfig, train
from bench.calibration.bimodal import Bimodal
from bench.calibration.check import Check, Measured
from bench.calibration.lab import fit_context
from bench.calibration.process import utterances
from bench.fitting import initialised
from bench.metrics.energy import energy_score
from bench.metrics.mmd import mmd2
from bench.seeding import generator

SAMPLES, COMPARED = 16_000, 2000
"""Samples of either law, and of those of one announcement the most that MMD² compares."""
SIZES = {"width": 64, "layers": 3, "multiplier": 4}
BALANCE = 0.03
"""Tolerance of the share of samples in one mode."""
PLAIN = {"lr": 2e-3, "weight_decay": 0.0, "patience": 0}


@dataclass(frozen=True)
class Bar:
    """How a head is taught, steps of so many frames under so slow an average, and the MMD² it is allowed."""

    mmd2: float
    steps: int
    batch: int = 256
    ema: float = 0.99
    width: int = 96
    adaptive: bool = False


BARS = {
    "lsd": Bar(0.01, 400),
    # what it learns at one time it hands on to the next: many small steps do more than a few large ones
    "scm": Bar(0.02, 3000, batch=64, ema=0.995, width=64),
    "trigflow": Bar(0.01, 500, adaptive=True),
}
WARMUP = 0.3
"""Of sCM's tangent, as a share of its steps."""

FAMILY = {"backbone": {"width": 32, "dropout": 0.0}, "head": SIZES | {"adaptive": False}}
FAMILY_FIT = PLAIN | {"ema": 0.99, "steps": 500, "batch": 24, "crop_frames": 16, "evaluate_every": 100, "lr": 4e-3}
FRAMES, TRAIN, VALID, TEST = 16, 1024, 32, 600
DRAWS = 16
FAMILY_MMD2, FAMILY_ENERGY = 0.02, 0.03
"""MMD² of the family, and its energy score over the oracle's, relative."""


def checks() -> list[Check]:
    heads = [Check(f"calm: {kind} head", "F2", "full", partial(_head, kind=kind)) for kind in BARS]
    return [*heads, Check("calm: the family", "F2", "full", _family)]


def taught(process: Bimodal, seed: int, config: HeadConfig, bar: Bar) -> ConsistencyHead:
    """A head fitted to the plane given the announcement."""
    own = initialised(lambda: head(1, 2, config), seed)
    assert isinstance(own, ConsistencyHead)

    def loss(step: int, rng: torch.Generator) -> Tensor:
        return own.loss(*pairs(process, bar.batch, rng), step).mean()

    # the last weights are kept: there is nothing to select them by
    fit = TrainConfig(**PLAIN, ema=bar.ema, steps=bar.steps, evaluate_every=bar.steps)
    train(own, loss, lambda: 0.0, fit, fit_context(2, seed), f"calm {config.kind}")
    return own.requires_grad_(False)


def pairs(process: Bimodal, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Announcements (n, 1) and the plane behind them (n, 2), at unit variance."""
    x = process.sample(n, 2, rng)
    return x[:, 0, 2:], x[:, 1, :2] / math.sqrt(1 + process.ratio**2 / 2)


def against_truth(process: Bimodal, own: ConsistencyHead, seed: int) -> tuple[float, list[float]]:
    """MMD² given the announcement, the mean of both; and the share of the upper mode behind each."""
    announced, truth = pairs(process, SAMPLES, generator(seed, "calm", "truth"))
    samples = own.sample(announced, generator(seed, "calm", "samples"))
    return _compared(announced[:, 0], samples, announced[:, 0], truth)


def _compared(announced: Tensor, samples: Tensor, other: Tensor, truth: Tensor) -> tuple[float, list[float]]:
    distances, shares = [], []
    for axis in (0, 1):
        one, two = samples[(announced > 0) == axis], truth[(other > 0) == axis]
        distances.append(mmd2(one[:COMPARED], two[:COMPARED]))
        shares.append(float((one[:, axis] > 0).float().mean()))
    return sum(distances) / 2, shares


def _head(seed: int, kind: str) -> Sequence[Measured]:
    process, bar = Bimodal(), BARS[kind]
    sizes = SIZES | {"width": bar.width, "adaptive": bar.adaptive}
    config = HeadConfig(kind=kind, **sizes, warmup=round(WARMUP * bar.steps))
    own = taught(process, seed, config, bar)
    distance, shares = against_truth(process, own, seed)
    return _rows(distance, shares, bar.mmd2, f"in {own.steps} steps" if own.steps > 1 else "in one step")


def _family(seed: int) -> Sequence[Measured]:
    process = Bimodal()
    own = CALM(**FAMILY, fit=FAMILY_FIT)
    train_set, valid = (utterances(process, n, FRAMES, seed, s) for n, s in ((TRAIN, "train"), (VALID, "valid")))
    own.fit(train_set, valid, fit_context(process.dim, seed))
    x = torch.stack([u.x for u in utterances(process, TEST, FRAMES, seed)])
    draws = torch.stack([own.reconstruct(x, "prior", generator(seed, "calm", i)) for i in range(DRAWS)], -2)
    oracle = process.oracle().rollout(x[:, :-1].reshape(-1, 1, 3), 1, DRAWS, generator(seed, "calm", "oracle"))[:, :, 0]
    scores = [energy_score(d, x[:, 1:].flatten(0, 1)) for d in (draws[:, 1:].flatten(0, 1), oracle)]
    # of independent sequences: halves, each compared with the other's frames
    scale = x.flatten(0, 1).std(0)
    half, samples, frames = TEST // 2, draws[:, 1:, 0] / scale, x[:, 1:] / scale
    behind = x[:, :-1, 2]
    distance, shares = _compared(
        behind[:half].flatten(), samples[:half].flatten(0, 1), behind[half:].flatten(), frames[half:].flatten(0, 1)
    )
    excess = (scores[0] - scores[1]).unflatten(0, (TEST, -1)).mean(1) / scores[1].mean()
    error = float(excess.std()) / math.sqrt(TEST)
    energy = Measured("energy score over the oracle's", "1", float(excess.mean()), 0.0, FAMILY_ENERGY, error)
    return [*_rows(distance, shares, FAMILY_MMD2, "of one-step samples"), energy]


def _rows(distance: float, shares: Sequence[float], bar: float, how: str) -> list[Measured]:
    share = [
        Measured(f"share of one mode, axis {axis + 1}", "1", value, 0.5, BALANCE) for axis, value in enumerate(shares)
    ]
    return [Measured(f"MMD² {how}", "1", distance, 0.0, bar, side="at most"), *share]
