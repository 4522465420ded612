"""The code rate of exact probabilities: F3's lookup source, whose entropies are known, and codes that are noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from bench.calibration.check import Check, Measured, aggregated
from bench.calibration.coded import BlockCodec, IIDCodes, LookupCodes, iid, remembered
from bench.calibration.lab import LabContext
from bench.calibration.lookup import Lookup
from bench.contract import LatentUtterance, Split
from bench.seeding import generator
from tasks.code_rate import CodeRate

FRAMES = 50
COUNTS: Mapping[Split, int] = {"train": 2000, "valid": 1, "test": 400}
"""Sequences: the counts of 2000 · 50 codes make a baseline that costs less than .001 nats over the entropy."""
SIZES = (16, 32)
EXACT = 0.01
"""Tolerance, nats per frame."""


def checks() -> list[Check]:
    lookup = Check("code_rate: exact probabilities", "F3, V = 64, ε = .1", "fast", _lookup)
    return [lookup, Check("code_rate: exact probabilities", "uniform codes, 2 stages", "fast", _iid)]


def _lookup(seed: int) -> Sequence[Measured]:
    source, codec = Lookup(), BlockCodec([64])
    data = {s: codec.utterances(remembered(source, n, FRAMES, generator(seed, s)), s) for s, n in COUNTS.items()}
    found = _scored(LookupCodes(source, codec), codec, data, seed)
    # the first frame has no past, the second one symbol of it
    marginal, order1 = source.truth("marginal_entropy"), source.truth("order1_entropy")
    rate = (marginal + order1 + (FRAMES - 2) * source.truth("entropy_rate")) / FRAMES
    return _rows(found, {"rate": rate, "unigram": marginal, "gain": marginal - rate})


def _iid(seed: int) -> Sequence[Measured]:
    codec = BlockCodec(SIZES)
    data = {s: codec.utterances(iid(SIZES, n, FRAMES, generator(seed, s)), s) for s, n in COUNTS.items()}
    found = _scored(IIDCodes(codec), codec, data, seed)
    truths = {"rate": math.log(math.prod(SIZES)), "rate_first": math.log(SIZES[0]), "rate_rest": math.log(SIZES[1])}
    truths |= dict.fromkeys(("gain", "gain_first", "gain_rest"), 0.0)
    return _rows(found, truths)


def _rows(found: Mapping[str, tuple[float, float]], truths: Mapping[str, float]) -> list[Measured]:
    return [
        Measured(name, "nats/frame", found[name][0], truth, EXACT, found[name][1]) for name, truth in truths.items()
    ]


def _scored(
    model: Any, codec: BlockCodec, data: Mapping[Split, Sequence[LatentUtterance]], seed: int
) -> Mapping[str, tuple[float, float]]:
    with torch.no_grad():
        scores = CodeRate().score(model, LabContext(CodeRate.card, data, codec, seed=seed))
    return aggregated(scores, data["test"])
