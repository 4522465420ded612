"""RSSM on a linear-Gaussian state space: noise, bound, rate and KL budget, which all have closed forms there.

The model class holds the truth: z_rec has as many dimensions as the process's state, the reconstructor's noise is
isotropic in the units of x, and every term of the loss but the bound is off. The truths are those of the steady
state, so that frames before `SETTLED` are left out; the excess alone is over a filter on the very same frames. The
last check alone trains on rollouts, whose loss standing still may lower: states must move as those of true frames do,
within a factor of two.
Units: nats per frame; σ_x² in squared units of x.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from baselines.rssm import RSSM
from baselines.rssm_alarms import AHEAD, PROMPT, movement_ratio
from bench.calibration.check import Check, Measured
from bench.calibration.lab import fit_context
from bench.calibration.process import utterances
from bench.calibration.state_space import StateSpace
from bench.seeding import generator

FRAMES, SETTLED = 64, 16
TRAIN, VALID, TEST = 2048, 128, 512
"""Sequences."""
BETAS = (1.0, 2.0, 4.0)
OFF = ("free_nats", "lambda_", "prior_weight", "horizon_weight", "rollout_weight")
WARMUP = 0.5
"""At 0.1 the weakest direction stayed closed at one of two seeds, for .08 nats more and .36 nats less of KL."""
FIT = {"steps": 1000, "batch": 64, "crop_frames": 32, "lr": 4e-3, "weight_decay": 0.0}
FIT |= {"evaluate_every": 100, "patience": 0}
ROLLOUT = {"rollout_weight": 1.0, "rollout_frames": 16, "rollout_score": "prior", "forced": 0.25, "prior_weight": 0.05}
ROLLED = {"steps": 300}
MOVEMENT = (0.5, 2.0)
NOISE, NATS = 0.02, 0.03
"""Tolerances: of σ_x², relative; of nats per frame."""


def checks() -> list[Check]:
    budget = [
        Check(f"rssm: KL at β = {beta:g}, σ_x fixed", "F5", "full", partial(_budget, beta=beta)) for beta in BETAS
    ]
    moving = Check("rssm: movement after rollout training", "F5", "full", _rolled)
    return [Check("rssm: noise, bound and rate", "F5", "full", _learned), *budget, moving]


def fitted(
    process: StateSpace,
    seed: int,
    beta: float = 1.0,
    fixed: bool = False,
    recipe: Mapping[str, Any] | None = None,
    **fit: float,
) -> RSSM:
    """An RSSM fitted on a process.

    Args:
        fixed: give it the process's σ_x, as the KL budget needs; else it is learned.
        recipe: laid over that of the bound alone.
        fit: laid over `FIT`.
    """
    submission = RSSM(
        mode="strict",
        importance_samples=1,
        encoder={"width": 64, "dropout": 0.0},
        dynamics={"width": 64, "dropout": 0.0},
        sizes={"width": 64, "state": 64, "innovation": len(process.transition), "dropout": 0.0},
        noise=0.0,
        observation={"units": "latent", "sigma": math.sqrt(process.noise) if fixed else None},
        recipe={"beta": beta, "warmup": WARMUP} | dict.fromkeys(OFF, 0.0) | dict(recipe or {}),
        fit=FIT | fit,
    )
    train, valid = utterances(process, TRAIN, FRAMES, seed, "train"), utterances(process, VALID, FRAMES, seed, "valid")
    submission.fit(train, valid, fit_context(process.dim, seed))
    return submission


def held_out(process: StateSpace, seed: int) -> Tensor:
    """Test frames (n, T, D) of the fits at `seed`."""
    return torch.stack([u.x for u in utterances(process, TEST, FRAMES, seed, "test")])


def noise_bound_and_rate(process: StateSpace, submission: RSSM, x: Tensor, seed: int) -> list[Measured]:
    """Of a submission whose noise was learned."""
    noise = float(submission.network.noise_covariance()[0, 0])
    # at one importance sample the bound is the ELBO
    bound = submission.log_prob(x, x, generator(seed, "bound"))
    return [
        Measured("σ_x²", "x²", noise, process.noise, NOISE * process.noise),
        _row("−ELBO over the Kalman filter's NLL", (process.log_prob(x) - bound).mean(1), 0.0),
        rate(submission, x, process.truth("innovation_kl"), seed),
    ]


def rate(submission: RSSM, x: Tensor, truth: float, seed: int) -> Measured:
    """Raw KL of z_rec in the steady state."""
    kl = submission.innovation(x, generator(seed, "innovation")).kl_rec
    return _row("KL of the innovation", kl[:, SETTLED:].mean(1), truth)


def moving(submission: RSSM, x: Tensor, seed: int) -> list[Measured]:
    """How far states of sampled rollouts move against those of the truth, from either side."""
    ratio = movement_ratio(submission, x[:, : PROMPT + AHEAD], generator(seed, "movement"))
    value, error = float(ratio.mean()), float(ratio.std()) / math.sqrt(len(ratio))
    low, high = MOVEMENT
    what = "‖Δẑ‖ / ‖Δz‖ of sampled rollouts"
    return [
        Measured(f"{what}, least", "1", value, low, 0.0, error, "at least"),
        Measured(f"{what}, most", "1", value, high, 0.0, error, "at most"),
    ]


def _learned(seed: int) -> Sequence[Measured]:
    process = StateSpace.example()
    return noise_bound_and_rate(process, fitted(process, seed), held_out(process, seed), seed)


def _budget(seed: int, beta: float) -> Sequence[Measured]:
    process = StateSpace.example()
    submission = fitted(process, seed, beta, fixed=True)
    return [rate(submission, held_out(process, seed), process.truth("kl_budget", beta=beta), seed)]


def _rolled(seed: int) -> Sequence[Measured]:
    process = StateSpace.example()
    return moving(fitted(process, seed, recipe=ROLLOUT, **ROLLED), held_out(process, seed), seed)


def _row(what: str, values: Tensor, truth: float) -> Measured:
    """A mean over independent sequences (n,)."""
    error = float(values.std()) / math.sqrt(len(values))
    return Measured(what, "nats/frame", float(values.mean()), truth, NATS, error)
