"""Do next steps repeat? Variance of Δ = x_{t+1} − x_t within cells of the context, on voices unseen in training.

A window of exposed states z_{t−w+1} … z_t is made a point by one of four keys, and points are cut into K cells:

* `pooled`: mean over the window, k-means; `pca`: principal components of the window, k-means: the note's two keys;
* `quantile`: K cells of equal mass along the window's first principal component;
* `learned`: an embedding trained so that neighbours share the distribution of Δ (`tasks/probes/keys.py`), k-means.

`<key>_K` is the variance ratio of Δ, `<key>_next_K` that of x_{t+1} in the same cells: Δ = x_{t+1} − x_t is predictable
from x_t alone wherever x returns to its mean, so that its ratio falls below 1 for iid frames too. Cells and their means
come from training frames; see `bench.metrics.clusters` for the estimate, which is 1 in the mean without structure.
Where the split has speakers that training lacks, only they count.

`null_K`: the ratio of permuted steps in the pooled cells. `reference_K`: the distortion of a Gaussian with the
spectrum of Δ told in ln K nats; a reference and no bound, since a source that repeats itself goes far below it.
`excluded_K`: frames in pooled cells with too few training frames; they count nowhere else.

`recurrence`: the share of sequences of different successive cells of single states that another speaker made in
training; `recurrence_null`: the same with the order shuffled on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from bench.config import TaskCard, parameters, task_card
from bench.contract import Context, Score, Skipped, Split, Submission
from bench.metrics import clusters
from bench.metrics.water_filling import reference_ratio
from tasks.columns import filled
from tasks.contexts import KEYS, Contexts
from tasks.probes.keys import KeyConfig
from tasks.ratios import filled_ratio, ratio_column, unseen
from tasks.states import exposed
from tasks.targets import SPLITS

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Config:
    """`cells`: every K; one that training has fewer than `windows_per_cell` windows a cell for is skipped.

    Attributes:
        window: states of a context.
        components: of the principal-component key.
        least_frames: training frames that a cell needs for its mean to count.
        motif_cells, motif_length: cells of single states, and how many make a motif.
    """

    window: Count = 8
    cells: tuple[Annotated[int, Field(ge=2)], ...] = (16, 64, 256, 1024)
    components: Count = 16
    windows_per_cell: Count = 20
    least_frames: Count = 4
    motif_cells: Annotated[int, Field(ge=2)] = 32
    motif_length: Annotated[int, Field(ge=2)] = 3
    key: KeyConfig = field(default_factory=KeyConfig)


class Clusters:
    """Task plug-in `clusters`."""

    card: ClassVar[TaskCard] = task_card(__file__)

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """Needs `represent`.

        Raises:
            DataError: a split without a whole context and its next frame.
        """
        config = parameters(Config, context.parameters, self.card.name)
        states = {s: exposed(submission, context, context.latents(s), f"states of {s}") for s in SPLITS}
        contexts = Contexts(states, context, config.window, config.components, config.key)
        report = _Report(contexts, context, config)
        out: list[Score | Skipped] = []
        for cells in config.cells:
            if len(contexts) < cells * config.windows_per_cell:
                reason = f"{len(contexts)} training windows; {cells} cells need {cells * config.windows_per_cell}"
                out += [Skipped(reason, name) for name in _names(cells)]
            else:
                out += report.of(cells)
        context.note("ratios", report.notes)
        out += _recurrence(states, context, config)
        answered = {score.column for score in out}
        missing = [column.name for column in self.card.columns if column.name not in answered]
        return out + [Skipped("not among the cells of this suite", name) for name in missing]


def _names(cells: int) -> list[str]:
    ratios = [f"{key}{target}_{cells}" for key in KEYS for target in ("", "_next")]
    return [*ratios, f"null_{cells}", f"reference_{cells}", f"excluded_{cells}"]


class _Report:
    """Columns for every K."""

    def __init__(self, contexts: Contexts, context: Context, config: Config) -> None:
        self.contexts, self.context, self.config = contexts, context, config
        self.test, self.owner = context.latents("test"), contexts.owner["test"]
        self.counted = unseen(context)
        mask = torch.tensor([u.id in self.counted for u in self.test])
        self.is_counted = mask[self.owner].numpy()
        self.notes: dict[str, dict[str, float | None]] = {}
        known = {u.speaker for u in context.latents("train")}
        context.note("unseen_speakers", sorted({u.speaker for u in self.test} - known))

    def of(self, cells: int) -> list[Score | Skipped]:
        """Every column of one K."""
        out: list[Score | Skipped] = []
        train, test = self.contexts.splits["train"], self.contexts.splits["test"]
        for key in KEYS:
            ids = self.contexts.cells(key, cells)
            for target, which in (("", 1), ("_next", 2)):
                found = self._read(ids, train[which], test[which], cells)
                out.append(self._column(f"{key}{target}_{cells}", found))
                self._note(f"{key}{target}_{cells}", found)
            if key == "pooled":
                shuffled = [
                    part[1][torch.randperm(len(part[1]), generator=self.context.generator("null", cells, i))]
                    for i, part in enumerate((train, test))
                ]
                out.append(self._column(f"null_{cells}", self._read(ids, shuffled[0], shuffled[1], cells)))
                share = self._read(ids, train[1], test[1], cells).excluded.astype(np.float64)
                ones = np.ones_like(share)
                out.append(
                    ratio_column(
                        f"excluded_{cells}", share, ones, self.owner, self.test, self.counted, self._too_short()
                    )
                )
        reference = reference_ratio(train[1].numpy(), cells)
        weight = np.square((test[1] - train[1].mean(0)).double().numpy()).sum(1)
        why = self._too_short()
        name = f"reference_{cells}"
        out.append(ratio_column(name, reference * weight, weight, self.owner, self.test, self.counted, why))
        return out

    def _read(self, ids: dict[Split, clusters.Ids], train: Tensor, test: Tensor, cells: int) -> clusters.Explained:
        means = clusters.CellMeans.of(ids["train"], train.numpy(), cells, self.config.least_frames)
        return means.read(ids["test"], test.numpy())

    def _column(self, name: str, found: clusters.Explained) -> Score | Skipped:
        why = f"no frame moves in a cell with {self.config.least_frames} training frames, or {self._too_short()}"
        return filled_ratio(name, found, self.owner, self.test, self.counted, why)

    def _too_short(self) -> str:
        return f"shorter than {self.contexts.window + 1} frames"

    def _note(self, name: str, found: clusters.Explained) -> None:
        """What a table of means achieves, what is left out, and the ratio for voices that training has."""
        here = self.is_counted
        seen = ~here
        total, known = float(found.total[here].sum()), float(found.total[seen].sum())
        self.notes[name] = {
            "lookup": float(found.lookup[here].sum()) / total if total else None,
            "excluded": float(found.excluded[here].mean()),
            "known_voices": float(found.within[seen].sum()) / known if known else None,
        }


def _recurrence(
    states: Mapping[Split, Mapping[str, Tensor]], context: Context, config: Config
) -> list[Score | Skipped]:
    """Motifs of the test utterances among those that other speakers made in training, and shuffled."""
    names = ("recurrence", "recurrence_null")
    every = torch.cat(list(states["train"].values()))
    if len(every) < config.motif_cells * config.windows_per_cell:
        return [Skipped(f"{len(every)} training frames; {config.motif_cells} cells need more", n) for n in names]
    spread = every.std(0).clamp(min=1e-6)
    seed = context.generator("motifs").initial_seed() % 2**31
    cells = clusters.KMeansCells((every / spread).numpy(), config.motif_cells, seed)
    rng = np.random.default_rng(context.generator("shuffled motifs").initial_seed())
    ids = {i: cells.assign((z / spread).numpy()).tolist() for s in ("train", "test") for i, z in states[s].items()}
    mixed = {i: rng.permutation(clusters.collapsed(one)).tolist() for i, one in ids.items()}
    train, test = context.latents("train"), context.latents("test")
    counted = unseen(context)
    out: list[Score | Skipped] = []
    for name, sequences in zip(names, (ids, mixed), strict=True):
        known = clusters.pool(((u.speaker, sequences[u.id]) for u in train), config.motif_length)
        found = {u.id: clusters.recurrence(sequences[u.id], u.speaker, known, config.motif_length) for u in test}
        values = {i: hit / all_ for i, (hit, all_) in found.items() if all_}
        weights = {i: float(found[i][1]) if i in counted else 0.0 for i in values}
        lost = {i: f"fewer than {config.motif_length} changes of cell" for i in found if i not in values}
        if any(weights.values()) or not values:
            out.append(filled(Score(name, values, weights, lost)))
        else:
            out.append(Skipped("no unseen speaker has a motif", name))
    return out
