"""Do cells of the context tell the next step? Variance within cells over the total, and sequences that recur.

Conventions: points (n, P), steps Δ (n, D), cells (n,) int64. Cells and the means of Δ within them come from
training frames; ratios are of other frames. With μ and m_c the training means of Δ overall and within a cell, less μ,

    VR = 1 − Σ ⟨Δ − μ, m_c⟩ / Σ ‖Δ − μ‖².

The sum of products is an unbiased estimate of the variance between cells, since the noise of m_c is independent of
the frame it is multiplied with: VR is 1 in the mean where cells tell nothing, whatever their number, and may then
exceed 1. In-sample ratios fall as K / n without any structure. A relative error of the means moves 1 − VR by as much,
and no interval over the other frames holds it. `lookup` gives the other ratio, with the squared error of a table of
the means, Σ ‖Δ − μ − m_c‖² / Σ ‖Δ − μ‖², which pays for the noise of its entries.

A ratio in the metric G = L Lᵀ is that of Δ L.

References:
    MacQueen 1967 (k-means); Sculley 2010, "Web-scale k-means clustering" (mini-batches); Lloyd 1982.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# at the top, since importing it draws from Python's global generator
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

BATCHED_ABOVE = 128
"""Cells from which k-means reads mini-batches."""
BATCH = 4096


class KMeansCells:
    """Nearest of K centres.

    Args:
        points: (n, P), n ≥ K.
        seed: of the first centres and the mini-batches.
    """

    def __init__(self, points: npt.ArrayLike, cells: int, seed: int) -> None:
        x = np.asarray(points, dtype=np.float64)
        settings: dict[str, Any] = {"n_clusters": cells, "n_init": 1, "random_state": seed}
        if cells > BATCHED_ABOVE:
            model = MiniBatchKMeans(batch_size=BATCH, max_iter=10, init_size=max(3 * cells, BATCH), **settings)
        else:
            model = KMeans(max_iter=100, **settings)
        with _one_thread(), warnings.catch_warnings():
            # fewer distinct points than cells leaves some of them empty
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.model = model.fit(x)

    def assign(self, points: npt.ArrayLike) -> Ids:
        """(n, P) → cells (n,)."""
        with _one_thread():
            return np.asarray(self.model.predict(np.asarray(points, dtype=np.float64)), dtype=np.int64)


class QuantileCells:
    """K cells of equal training mass along the first coordinate."""

    def __init__(self, points: npt.ArrayLike, cells: int) -> None:
        self.edges: Floats = np.quantile(np.asarray(points, dtype=np.float64)[:, 0], np.arange(1, cells) / cells)

    def assign(self, points: npt.ArrayLike) -> Ids:
        """(n, P) → cells (n,)."""
        found = np.searchsorted(self.edges, np.asarray(points, dtype=np.float64)[:, 0], side="right")
        return found.astype(np.int64)


def _one_thread() -> Any:
    """Sums over several threads are added in any order, which moves their last digit and a frame's cell with it."""
    return threadpool_limits(1)


@dataclass(frozen=True)
class CellMeans:
    """What training frames say about the step of each cell.

    Attributes:
        overall: μ (D,).
        deviation: m_c (K, D), zero in cells without enough frames.
        known: (K,), whether a cell has enough.
    """

    overall: Floats
    deviation: Floats
    known: npt.NDArray[np.bool_]

    @staticmethod
    def of(ids: Ids, steps: npt.ArrayLike, cells: int, least: int) -> CellMeans:
        """From training frames.

        Args:
            ids: (n,).
            steps: (n, D).
            cells: K.
            least: frames that a cell needs.
        """
        delta = np.asarray(steps, dtype=np.float64)
        overall = delta.mean(0)
        count = np.bincount(ids, minlength=cells)
        sums = np.zeros((cells, delta.shape[1]))
        np.add.at(sums, ids, delta - overall)
        known = count >= max(1, least)
        return CellMeans(overall, np.where(known[:, None], sums / np.maximum(count, 1)[:, None], 0.0), known)

    def read(self, ids: Ids, steps: npt.ArrayLike) -> Explained:
        """How much of other frames' steps the cells tell: ids (n,), steps (n, D)."""
        delta = np.asarray(steps, dtype=np.float64) - self.overall
        mean, known = self.deviation[ids], self.known[ids]
        total = (delta * delta).sum(1)
        within = total - (delta * mean).sum(1)
        lookup = np.square(delta - mean).sum(1)
        return Explained(total * known, within * known, lookup * known, ~known)


@dataclass(frozen=True)
class Explained:
    """Per frame (n,) squared deviations; zero where `excluded`: the frame's cell has too few training frames."""

    total: Floats
    within: Floats
    lookup: Floats
    excluded: npt.NDArray[np.bool_]

    @property
    def ratio(self) -> float:
        """VR of all frames."""
        return float(self.within.sum() / self.total.sum())


# --- sequences of cells ------------------------------------------------------------------------------------


def collapsed(ids: Sequence[int]) -> list[int]:
    """Runs of one cell → one entry: how long a cell is held is not part of a motif.

    >>> collapsed([3, 3, 1, 1, 1, 3])
    [3, 1, 3]
    """
    return [one for i, one in enumerate(ids) if i == 0 or one != ids[i - 1]]


def motifs(ids: Sequence[int], length: int) -> list[tuple[int, ...]]:
    """Sequences of `length` successive different cells, with repetitions.

    >>> motifs([3, 3, 1, 1, 1, 3], 2)
    [(3, 1), (1, 3)]
    """
    path = collapsed(ids)
    return [tuple(path[i : i + length]) for i in range(len(path) - length + 1)]


def pool(sequences: Iterable[tuple[str, Sequence[int]]], length: int) -> dict[tuple[int, ...], set[str]]:
    """Motif → the speakers that made it, from (speaker, cells)."""
    out: dict[tuple[int, ...], set[str]] = {}
    for speaker, ids in sequences:
        for motif in motifs(ids, length):
            out.setdefault(motif, set()).add(speaker)
    return out


def recurrence(
    ids: Sequence[int], speaker: str, known: Mapping[tuple[int, ...], set[str]], length: int
) -> tuple[int, int]:
    """Motifs of a sequence that another speaker made too, and all of them."""
    every = motifs(ids, length)
    return sum(bool(known.get(motif, set()) - {speaker}) for motif in every), len(every)
