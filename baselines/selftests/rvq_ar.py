"""Discrete autoregression on codes whose entropies are known: memory, noise, and stages that echo.

Truths are entropy rates in nats a frame. A cross-entropy on held-out codes is above the entropy but for what its
sample adds, so that the excess over the exact probabilities of the same codes is what is held to be 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from baselines.rvq_ar import RVQAR
from bench.calibration.check import Check, Measured
from bench.calibration.coded import BlockCodec, LookupCodes, echoed, iid, remembered
from bench.calibration.lab import fit_context
from bench.calibration.lookup import Lookup
from bench.config import merged
from bench.seeding import generator

V, FRAMES = 8, 32
COUNTS: Mapping[str, int] = {"train": 2000, "valid": 100, "test": 400}
"""Sequences."""
FIT = {"steps": 400, "batch": 32, "crop_frames": FRAMES, "lr": 8e-3, "weight_decay": 0.0, "evaluate_every": 100}
SHORT = {"steps": 500, "batch": 64, "crop_frames": 8, "lr": 1e-2, "warmup": 10}
"""Where nothing is to be remembered."""
SIZES = {"backbone": {"width": 64, "dropout": 0.0}, "depth": {"width": 32, "layers": 1, "heads": 2}, "noise": 0.0}
NATS = 0.03
"""Tolerance, nats per frame."""
BOTH = 0.1
"""The same where a source with memory is echoed: two things to learn at once, of which the echo is worth 1.97 nats."""
DEPTHS = ("transformer", "mlp")


def checks() -> list[Check]:
    return [
        Check("rvq_ar: rate of a source with memory", "F3, V = 8, ε = .1", "full", _memory),
        Check("rvq_ar: gain on noise", "uniform codes, 2 stages", "full", _noise),
        *(Check(f"rvq_ar: echoed stage, depth {k}", "uniform codes", "full", partial(_echo, kind=k)) for k in DEPTHS),
        Check("rvq_ar: total of a source and its echo", "F3, echoed", "full", _both),
    ]


def fitted(codec: BlockCodec, codes: Mapping[str, Tensor], seed: int, **values: Any) -> RVQAR:
    """A model fitted on codes (n, T, Q) of the splits "train" and "valid".

    Args:
        values: laid over `SIZES` and `FIT`.
    """
    submission = RVQAR(**merged({**SIZES, "fit": FIT}, values))
    submission.read_codes(codec)
    context = replace(fit_context(codec.info.dim, seed), codec=codec.info)
    submission.fit(codec.utterances(codes["train"], "train"), codec.utterances(codes["valid"], "valid"), context)
    return submission


def cost(submission: Any, codec: BlockCodec, codes: Tensor) -> Tensor:
    """−ln p of codes (n, T, Q), the same shape."""
    return -submission.code_log_prob(codec.from_codes(codes), generator(0, "cost"))


def _memory(seed: int) -> Sequence[Measured]:
    source, codec = Lookup(V), BlockCodec([V])
    codes = {s: remembered(source, n, FRAMES, generator(seed, "F3", s)) for s, n in COUNTS.items()}
    own = cost(fitted(codec, codes, seed), codec, codes["test"])[:, 2:, 0]
    exact = cost(LookupCodes(source, codec), codec, codes["test"])[:, 2:, 0]
    return [
        _row("cross-entropy", own.mean(1), source.truth("entropy_rate")),
        _row("over the exact probabilities", (own - exact).mean(1), 0.0),
    ]


def _noise(seed: int) -> Sequence[Measured]:
    codec = BlockCodec([V, V])
    codes = {s: iid([V, V], n, FRAMES, generator(seed, "iid", s)) for s, n in COUNTS.items()}
    own = cost(fitted(codec, codes, seed, fit=SHORT), codec, codes["test"])
    return [_row("gain", 2 * math.log(V) - own.sum(-1).mean(1), 0.0)]


def _echo(seed: int, kind: str) -> Sequence[Measured]:
    codec = BlockCodec([V, V])
    codes = {s: echoed(iid([V], n, FRAMES, generator(seed, "echo", s)), V) for s, n in COUNTS.items()}
    own = cost(fitted(codec, codes, seed, depth={"kind": kind}, fit=SHORT), codec, codes["test"]).mean(1)
    return [_row("stage 1", own[:, 0], math.log(V)), _row("stage 2", own[:, 1], 0.0)]


def _both(seed: int) -> Sequence[Measured]:
    source, codec = Lookup(V), BlockCodec([V, V])
    codes = {s: echoed(remembered(source, n, FRAMES, generator(seed, "F3", s)), V) for s, n in COUNTS.items()}
    own = cost(fitted(codec, codes, seed), codec, codes["test"]).sum(-1)
    exact = cost(LookupCodes(source, BlockCodec([V])), BlockCodec([V]), codes["test"][..., :1])[..., 0]
    return [_row("over the exact probabilities", (own - exact).mean(1), 0.0, BOTH)]


def _row(what: str, values: Tensor, truth: float, absolute: float = NATS) -> Measured:
    """A mean over independent sequences (n,)."""
    error = float(values.std()) / math.sqrt(len(values))
    return Measured(what, "nats/frame", float(values.mean()), truth, absolute, error)
