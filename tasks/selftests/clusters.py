"""Variance ratios of the next step: F1's closed forms in Lloyd–Max cells, iid frames, and a shuffled null."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.calibration.bimodal import Bimodal
from bench.calibration.check import Check, Measured, aggregated
from bench.calibration.lab import LabCodec, LabContext
from bench.calibration.lookup import Lookup
from bench.calibration.process import splits
from bench.calibration.var1 import VAR1
from bench.metrics.water_filling import distortion_ratio
from tasks.clusters import Clusters
from tasks.contexts import KEYS

CELLS = (2, 4, 8)
COEFFICIENT = 0.8
QUANTILE_DISTORTION = {2: 0.3634, 4: 0.1389, 8: 0.0554}
"""Of cells of equal mass of N(0, 1), 1 − Σ p_c E[x | c]²."""
SMALL = {"width": 32, "candidates": 64, "fit": {"steps": 100, "evaluate_every": 50}}


def checks() -> list[Check]:
    return [
        Check("clusters: variance ratios, F1", f"F1, a = {COEFFICIENT}, 1-d", "fast", _autoregressive),
        Check("clusters: no mean moves, F2", "F2, r = 3", "fast", _bimodal),
        Check("clusters: a table told by two symbols, F3", "F3, 8 symbols", "fast", _lookup),
        Check("clusters: Gaussian reference", "white Gaussian, 512-d", "fast", _reference, seeds=(0,)),
    ]


class _Raw:
    """Exposes the latents."""

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        del generator
        return x


def _autoregressive(seed: int) -> Sequence[Measured]:
    process = VAR1.isotropic(COEFFICIENT, 1)
    # of the error of the cells' means an interval over test frames knows nothing: they get many more frames
    data = splits(process, train=1500, valid=20, test=300, frames=100, seed=seed)
    context = LabContext(Clusters.card, data, LabCodec(1), {"window": 1, "cells": CELLS, "key": SMALL}, seed)
    found = aggregated(Clusters().score(_Raw(), context), data["test"])  # type: ignore[arg-type]
    rows = []
    for cells in CELLS:
        quantile = 1 - 0.5 * (1 - COEFFICIENT) * (1 - QUANTILE_DISTORTION[cells])
        truths = {
            "pooled": process.truth("cluster_ratio", cells=cells),
            "pooled_next": process.truth("cluster_ratio_x", cells=cells),
            "quantile": quantile,
            "null": 1.0,
            "reference": cells**-2.0,
        }
        for name, truth in truths.items():
            value, error = found[f"{name}_{cells}"]
            absolute = 0.006 if name == "pooled_next" else 0.003
            rows.append(Measured(f"{name}, K = {cells}", "1", value, truth, absolute, error))
        value, error = found[f"learned_{cells}"]
        everything = 1 - 0.5 * (1 - COEFFICIENT)
        rows.append(Measured(f"learned, K = {cells}", "1", value, everything, 0.003, error, "at least"))
    return rows


def _bimodal(seed: int) -> Sequence[Measured]:
    """The past tells the density of the next plane and not its mean; the announcement's own mean is left open too."""
    process = Bimodal()
    data = splits(process, train=300, valid=20, test=300, frames=100, seed=seed)
    context = LabContext(Clusters.card, data, LabCodec(process.dim), {"window": 1, "cells": [16], "key": SMALL}, seed)
    found = aggregated(Clusters().score(_Raw(), context), data["test"])  # type: ignore[arg-type]
    names = [f"{key}_next_16" for key in KEYS] + ["null_16"]
    return [Measured(f"{name[:-3]}, K = 16", "1", found[name][0], 1.0, 0.003, found[name][1]) for name in names]


def _lookup(seed: int) -> Sequence[Measured]:
    """The next symbol is a table's, given the last two: cells of both, of which k-means is given four to a pair."""
    process, cells = Lookup(symbols=8), 256
    data = splits(process, train=300, valid=20, test=200, frames=60, seed=seed)
    given = {"window": 2, "cells": [cells], "key": SMALL, "motif_cells": process.symbols}
    context = LabContext(Clusters.card, data, LabCodec(process.dim), given, seed)
    found = aggregated(Clusters().score(_Raw(), context), data["test"])  # type: ignore[arg-type]
    rows = []
    for key in ("pca", "learned"):
        for name, metric, absolute in ((key, "cluster_ratio", 0.005), (f"{key}_next", "cluster_ratio_x", 0.01)):
            value, error = found[f"{name}_{cells}"]
            rows.append(Measured(f"{name}, K = {cells}", "1", value, process.truth(metric), absolute, error))
    value, error = found[f"null_{cells}"]
    return [*rows, Measured(f"null, K = {cells}", "1", value, 1.0, 0.003, error)]


def _reference(seed: int) -> Sequence[Measured]:
    del seed
    white = torch.ones(512).numpy()
    return [
        Measured(f"reference, K = {cells}", "1", distortion_ratio(white, float(torch.tensor(cells).log())), truth, 5e-4)
        for cells, truth in ((64, 64 ** (-2 / 512)), (256, 256 ** (-2 / 512)))
    ]
