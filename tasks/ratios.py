"""Ratios of sums over frames as columns, and which test utterances count in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from bench.contract import Context, LatentUtterance, Score, Skipped
from bench.metrics import clusters


def unseen(context: Context) -> set[str]:
    """Ids of the test utterances that count: of speakers that training lacks, or all where there is none."""
    known = {u.speaker for u in context.latents("train")}
    test = context.latents("test")
    return {u.id for u in test if u.speaker not in known} or {u.id for u in test}


def ratio_column(
    column: str,
    above: np.ndarray,
    below: np.ndarray,
    owner: Tensor,
    test: Sequence[LatentUtterance],
    counted: set[str],
    empty: str,
) -> Score | Skipped:
    """Σ above / Σ below of each utterance, weighted by its Σ below: the aggregate is the ratio of all frames.

    Args:
        above: (n,) per frame; `below` the same.
        owner: (n,) index into `test`.
        counted: ids with a weight; the others have a value and weigh nothing.
        empty: why an utterance with Σ below = 0 has no value.
    """
    upper, lower = (np.bincount(owner.numpy(), part, len(test)) for part in (above, below))
    has = {u.id: i for i, u in enumerate(test) if lower[i] > 0.0}
    if not any(i in counted for i in has):
        return Skipped(empty, column)
    values = {i: float(upper[at] / lower[at]) for i, at in has.items()}
    weights = {i: float(lower[at]) if i in counted else 0.0 for i, at in has.items()}
    return Score(column, values, weights, {u.id: empty for u in test if u.id not in has})


def filled_ratio(
    name: str,
    found: clusters.Explained,
    owner: Tensor,
    test: Sequence[LatentUtterance],
    counted: set[str],
    empty: str,
) -> Score | Skipped:
    """The variance ratio as a column."""
    return ratio_column(name, found.within, found.total, owner, test, counted, empty)
