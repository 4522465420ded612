"""Engram where only a memory helps, and where none can: a lookup source, and a vector autoregression.

On F3 the next symbol is a random table's entry for the last two, 1,024 of them: rows for a memory, and a lot to learn
by heart for a recurrence that uses as many parameters a frame. On F1 the past says no more than a linear map does, and
symbols of it say less. Frames before `SETTLED` are left out, as they have no two symbols behind them.
Units: nats per frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from baselines.engram import Engram, gate_over_rollout
from bench.calibration.check import Check, Measured
from bench.calibration.lab import fit_context
from bench.calibration.lookup import Lookup
from bench.calibration.process import Process, utterances
from bench.calibration.var1 import VAR1
from bench.seeding import generator

FRAMES, SETTLED = 32, 2
TRAIN, VALID, TEST = 12_000, 100, 400
"""Sequences."""
SYMBOLS = 32
FIT = {"batch": 32, "crop_frames": FRAMES, "weight_decay": 0.0, "evaluate_every": 100, "patience": 0, "ema": 0.99}
"""Of a quarter of the sequences, or without the average, tables learn noise by heart: .1 nats on F1."""
LOOKUP: dict[str, Any] = {"head": {"components": SYMBOLS, "start": "centres"}, "fit": {"steps": 600, "lr": 1.6e-2}}
LINEAR: dict[str, Any] = {"head": {"components": 1}, "fit": {"steps": 400, "lr": 1e-2}}
NATS, EXCESS, HELP, OPEN = 0.03, 0.5, 0.4, 0.1
"""Tolerances: of a help that is none; of the NLL over the source's; the least help of a memory; of the gate."""
PROMPT, CONTINUED = 16, 16


def checks() -> list[Check]:
    return [
        Check("engram: memory helps and is open", "F3", "full", lookup),
        Check("engram: memory does not help", "F1", "full", linear),
    ]


def fitted(process: Process, seed: int, control: str, recipe: dict[str, Any], **fit: float) -> Engram:
    """An Engram, or a twin of it, fitted on a process.

    Args:
        recipe: `head` and `fit`.
        fit: laid over the recipe's.
    """
    submission = Engram(
        control=control,
        noise=0.0,
        backbone={"width": 64, "dropout": 0.0},
        memory={"centres": SYMBOLS, "rows": 2048, "width": 64},
        head=recipe["head"],
        fit=FIT | recipe["fit"] | fit,
    )
    train, valid = utterances(process, TRAIN, FRAMES, seed, "train"), utterances(process, VALID, FRAMES, seed, "valid")
    submission.fit(train, valid, fit_context(process.dim, seed))
    return submission


def lookup(seed: int, **fit: float) -> Sequence[Measured]:
    """The memory on F3."""
    process = Lookup(SYMBOLS)
    x = _held_out(process, seed)
    memory = fitted(process, seed, "none", LOOKUP, **fit)
    nll = _nll(memory, x)
    help_ = _nll(fitted(process, seed, "no_memory_active", LOOKUP, **fit), x) - nll
    gates = gate_over_rollout(memory, x[:, :PROMPT], CONTINUED, generator(seed, "rollout"))
    fed = float(memory.gates(x)[:, PROMPT:].mean())
    return [
        _row("NLL", nll, process.truth("nll", k=1), EXCESS, "at most"),
        _row("NLL that memory saves, of as many active parameters", help_, HELP, 0.0, "at least"),
        Measured("gate over a rollout, against teacher forcing", "1", float(gates.mean()), fed, OPEN),
    ]


def linear(seed: int, **fit: float) -> Sequence[Measured]:
    """The memory on F1, where both are near the truth: without that a help of none would say nothing."""
    process = VAR1.example()
    x = _held_out(process, seed)
    nll, twin = (_nll(fitted(process, seed, c, LINEAR, **fit), x) for c in ("none", "no_memory_active"))
    truth = -process.oracle().log_prob(x, x, generator(seed))[:, SETTLED:].mean(1)
    return [
        _row("NLL over the source's", nll - truth, 0.0, NATS, "both"),
        _row("NLL that memory saves, of as many active parameters", twin - nll, 0.0, NATS, "both"),
    ]


def _held_out(process: Process, seed: int) -> Tensor:
    return torch.stack([u.x for u in utterances(process, TEST, FRAMES, seed, "test")])


def _nll(submission: Engram, x: Tensor) -> Tensor:
    """Of each sequence, (n,)."""
    return -submission.log_prob(x, x, generator(0))[:, SETTLED:].mean(1)


def _row(what: str, values: Tensor, truth: float, absolute: float, side: Any) -> Measured:
    """A mean over independent sequences (n,)."""
    error = float(values.std()) / math.sqrt(len(values))
    return Measured(what, "nats/frame", float(values.mean()), truth, absolute, error, side)
