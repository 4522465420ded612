"""Heads of raw autoregression where the exact law is known: every density, and the samples of flow matching.

The excess is over the source's own log-density (a Kalman filter's, F2's closed form) on the very same held-out frames:
0 for a perfect model, and never below it but by the luck of the sample. Units: nats per frame; of the energy score,
units of x.

Each head is held to what it can be: a MAF to nothing, as it is affine in each dimension and cannot hold F2; diagonal
components to F2 and to an F1 whose noise is diagonal (of a correlated one in four dimensions sixteen of them lost .19
and .21 nats).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from baselines.autoregressive import Autoregressive
from baselines.raw_ar import RawAR
from baselines.raw_flow_matching import RawFlowMatching
from bench.calibration.bimodal import Bimodal
from bench.calibration.check import Check, Measured
from bench.calibration.lab import fit_context
from bench.calibration.process import Process, utterances
from bench.calibration.state_space import StateSpace
from bench.calibration.var1 import VAR1
from bench.metrics.energy import energy_score
from bench.seeding import generator

FRAMES = 64
TRAIN, VALID, TEST = 2048, 64, 512
"""Sequences."""
NATS = 0.03
SCORE = 0.02
"""Of the energy score, relative to that of the source's own samples."""
DRAWS = 32
BACKBONE = {"width": 64, "dropout": 0.0}
FIT = {"batch": 16, "crop_frames": FRAMES, "lr": 1e-2, "weight_decay": 0.0, "evaluate_every": 100, "patience": 0}
"""Crops of whole sequences: of shorter ones a GRU never learns what a long context is worth."""
HEADS: dict[str, dict[str, Any]] = {
    "shared": {"components": 16},
    "diagonal": {"components": 16},
    "low_rank": {"components": 16, "rank": 5},
    "full": {"components": 16},
    "nsf": {"transforms": 3},
}
"""F2 has eight modes in its first frame and four given the announcement; with as many components one is lost.
In whitened coordinates F5's covariance is that of noise less three directions, which takes columns for the five
others: with two a head was .05 and .04 nats away."""
STEPS = {"F1": 400, "F1, a = 0.8": 400, "F2": 400, "F5": 500}
PROCESSES: dict[str, Any] = {
    "F1": VAR1.example,
    "F1, a = 0.8": partial(VAR1.isotropic, 0.8, 4),
    "F2": Bimodal,
    "F5": StateSpace.example,
}
HELD_TO = dict.fromkeys(HEADS, ("F1", "F2", "F5")) | {"diagonal": ("F1, a = 0.8", "F2")}


def checks() -> list[Check]:
    exact = [
        Check(f"raw_ar: {kind}", name, "full", partial(_density, kind=kind, name=name))
        for kind, names in HELD_TO.items()
        for name in names
    ]
    sampled = [Check("raw_flow_matching: samples", name, "full", partial(_samples, name=name)) for name in ("F1", "F2")]
    return [*sampled, *exact]


def _density(seed: int, kind: str, name: str) -> Sequence[Measured]:
    process = PROCESSES[name]()
    model = RawAR(backbone=BACKBONE, head={"kind": kind, **HEADS[kind]}, noise=0.0, fit={**FIT, "steps": STEPS[name]})
    x = fitted_on(model, process, seed)
    truth = process.oracle().log_prob(x, x, generator(seed, "oracle"))
    excess = (truth - model.log_prob(x, x, generator(seed, "model"))).mean(1)
    return [Measured("NLL over the source's", "nats/frame", float(excess.mean()), 0.0, NATS)]


def _samples(seed: int, name: str) -> Sequence[Measured]:
    process = PROCESSES[name]()
    head = {"width": 64, "layers": 3, "multiplier": 4}
    model = RawFlowMatching(backbone=BACKBONE, head=head, noise=0.0, fit={**FIT, "steps": 500, "lr": 4e-3})
    x = fitted_on(model, process, seed)
    past, future = x[:, : FRAMES // 2], x[:, FRAMES // 2]
    scores = [
        energy_score(sampler.rollout(past, 1, DRAWS, generator(seed, who))[:, :, 0], future)
        for who, sampler in (("model", model), ("source", process.oracle()))
    ]
    # the source's own samples are as lucky as the model's: the difference has a standard error
    excess = (scores[0] - scores[1]) / scores[1].mean()
    error = float(excess.std()) / math.sqrt(len(excess))
    return [Measured("energy score over the source's", "1", float(excess.mean()), 0.0, SCORE, error)]


def fitted_on(model: Autoregressive, process: Process, seed: int) -> Tensor:
    """Fit on a process; held-out frames (n, T, D) of the same seed."""
    train = utterances(process, TRAIN, FRAMES, seed, "train")
    model.fit(train, utterances(process, VALID, FRAMES, seed, "valid"), fit_context(process.dim, seed))
    return torch.stack([u.x for u in utterances(process, TEST, FRAMES, seed, "test")])
