"""Is the part of x that is heard the part that is predicted? Variance ratios and R² in a decoder's own metric.

G = E[JᵀJ], with J the derivative of the log-mel spectrum of the decoded audio by a latent frame, weighs every direction
of x by what it does to the sound; see `bench.metrics.sensitivity`. Loud dimensions that the decoder ignores fill the
raw numbers and vanish from these:

* `ratio_raw_K`, `ratio_decoder_K`: tr(G · within) / tr(G · total) of Δ = x_{t+1} − x_t in K cells of the context's
  principal components, with G = 1 and with the decoder's; estimated as in the task `clusters`;
* `raw_r2_*`, `decoder_r2_*`: the same for the error of x_{t+k} predicted by a linear map of the last states;
* `mel_r2_*`: R² of the decoded log-mel spectrum of frame t + k itself, predicted by a linear map of the last states.

G is a first-order measure at the frames it was taken at; the mel columns need no such approximation. A decoder with
memory moves other frames too: G counts them, and `reach_share` and `reach` say how much and how far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from bench.config import TaskCard, parameters, task_card
from bench.contract import Codec, Context, LatentUtterance, Score, Skipped, Split, Submission
from bench.errors import DataError
from bench.metrics import clusters, sensitivity
from bench.metrics.sensitivity import DecodedLogMel, Features, NotDifferentiable
from tasks.contexts import Contexts
from tasks.horizons import frames_ahead
from tasks.linear import MOST_CONTEXT
from tasks.probes.keys import KeyConfig
from tasks.probes.windows import Windows
from tasks.ratios import filled_ratio, ratio_column, unseen
from tasks.states import exposed
from tasks.targets import SPLITS

Count = Annotated[int, Field(ge=1)]
RIDGE = 1e-6
"""Of the standardised normal equations, times n: it only keeps dependent states solvable."""
NEAR = 0.95
"""Share of the energy that `reach` covers."""


@dataclass(frozen=True)
class Config:
    """Budgets.

    Attributes:
        window: states that are read.
        cells, components, windows_per_cell, least_frames: of the clusters, as in that task.
        crops, crop_frames, spacing: training crops that G is taken on, and which of their frames move.
        reach_crops, reach_before, reach_after: test crops in which one frame moves, and the frames around it.
        mel_frames: training frames that the map to the log-mel spectrum is fitted on, at most.
    """

    window: Count = 4
    cells: tuple[Annotated[int, Field(ge=2)], ...] = (64, 256)
    components: Count = 16
    windows_per_cell: Count = 20
    least_frames: Count = 4
    crops: Count = 4
    crop_frames: Count = 32
    spacing: Count = 4
    reach_crops: Count = 16
    reach_before: Annotated[int, Field(ge=0)] = 8
    reach_after: Count = 24
    mel_frames: Count = 8000


class DecoderAware:
    """Task plug-in `decoder_aware`.

    Args:
        features: codec → what is heard, as a function of latents.
    """

    card: ClassVar[TaskCard] = task_card(__file__)

    def __init__(self, features: Callable[[Codec], Features] = DecodedLogMel) -> None:
        self._features = features

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """Needs `represent`.

        Raises:
            DataError: a split without a whole context and its furthest target.
        """
        self.context, self.config = context, parameters(Config, context.parameters, self.card.name)
        self.features = self._features(context.codec)
        self.test, self.counted = context.latents("test"), unseen(context)
        states = {s: exposed(submission, context, context.latents(s), f"states of {s}") for s in SPLITS}
        metric: Tensor | None = None
        reason = ""
        try:
            metric = self._metric()
        except NotDifferentiable as error:
            reason = f"the decoder has no usable derivative: {error}"
        out = self._ratios(states, metric, reason)
        out += self._linear(states, metric, reason)
        out += self._reach() if metric is not None else [Skipped(reason, name) for name in ("reach_share", "reach")]
        answered = {score.column for score in out}
        missing = [column.name for column in self.card.columns if column.name not in answered]
        return out + [Skipped("not among the cells of this suite", name) for name in missing]

    def _metric(self) -> Tensor:
        """G from training crops, shared by all submissions."""
        config, context = self.config, self.context
        long = [u for u in context.latents("train") if len(u.x) >= 2]
        length = min(config.crop_frames, max(len(u.x) for u in long))
        x = _crops([u for u in long if len(u.x) >= length], config.crops, length, context.generator("crops"))

        def make() -> dict[str, Tensor]:
            signs = context.generator("signs")
            return {"metric": sensitivity.metric(self.features, x.to(context.device), config.spacing, signs)}

        kept = {
            "what": "metric",
            "seed": context.generator("crops").initial_seed(),
            "crops": config.crops,
            "length": length,
            "spacing": config.spacing,
        }
        metric = context.cached_tensors(kept, make)["metric"]
        share = torch.linalg.eigvalsh(metric).flip(0).clamp(min=0.0) / metric.trace()
        train = torch.cat([u.x for u in context.latents("train")]).double()
        heard = torch.linalg.eigvalsh(torch.cov(_seen(train, metric).T)).clamp(min=0.0)
        context.note("metric_spectrum", [round(float(s), 6) for s in share])
        # participation ratios: how many directions carry the sensitivity, and the audible variance
        context.note("metric_rank", float(1 / share.square().sum()))
        context.note("audible_rank", float(heard.sum().square() / heard.square().sum()))
        return metric

    # --- variance ratios -----------------------------------------------------------------------------------

    def _ratios(
        self, states: Mapping[Split, Mapping[str, Tensor]], metric: Tensor | None, reason: str
    ) -> list[Score | Skipped]:
        config, out = self.config, []
        contexts = Contexts(states, self.context, config.window, config.components, KeyConfig())
        steps = {s: contexts.splits[s][1].double() for s in ("train", "test")}
        for cells in config.cells:
            names = {"raw": f"ratio_raw_{cells}", "decoder": f"ratio_decoder_{cells}"}
            if len(contexts) < cells * config.windows_per_cell:
                need = cells * config.windows_per_cell
                why = f"{len(contexts)} training windows; {cells} cells need {need}"
                out += [Skipped(why, name) for name in names.values()]
                continue
            ids = contexts.cells("pca", cells)
            for kind, name in names.items():
                if kind == "decoder" and metric is None:
                    out.append(Skipped(reason, name))
                    continue
                measure = metric if kind == "decoder" else None
                train, test = (_seen(steps[s], measure).numpy() for s in ("train", "test"))
                means = clusters.CellMeans.of(ids["train"], train, cells, config.least_frames)
                found = means.read(ids["test"], test)
                why = f"no frame moves in a cell with {config.least_frames} training frames"
                out.append(filled_ratio(name, found, contexts.owner["test"], self.test, self.counted, why))
        return out

    # --- linear predictions --------------------------------------------------------------------------------

    def _linear(
        self, states: Mapping[Split, Mapping[str, Tensor]], metric: Tensor | None, reason: str
    ) -> list[Score | Skipped]:
        """R² of x_{t+k}, raw and as it is heard, and of the features of frame t + k."""
        out: list[Score | Skipped] = []
        train, test = self.context.latents("train"), self.test
        width = next(iter(states["train"].values())).shape[1]
        window = max(1, min(self.config.window, MOST_CONTEXT // max(1, width)))
        for kind, measure in (("raw", None), ("decoder", metric)):
            if kind == "decoder" and measure is None:
                out += [Skipped(reason, f"decoder_r2_{ms}ms") for ms in self.card.horizons_ms]
                continue
            latents = {u.id: _seen(u.x.double(), measure) for u in (*train, *test)}
            out += self._explained(kind, latents, train, states, window)
        some = _up_to(train, self.config.mel_frames, self.context.generator("mel"))
        heard = {**self._heard(some, "train"), **self._heard(test, "test")}
        return out + self._explained("mel", heard, some, states, window)

    def _heard(self, utterances: Sequence[LatentUtterance], split: Split) -> dict[str, Tensor]:
        """Utterance id → features (T, F), decoded whole and shared by all submissions."""

        def make() -> dict[str, Tensor]:
            made = {}
            with torch.no_grad(), self.context.track(f"decode {split}", utterances) as each:
                for u in each:
                    made[u.id] = self.features(u.x[None].to(self.context.device))[0].float().cpu()
            return made

        kept = self.context.cached_tensors({"what": "features", "ids": sorted(u.id for u in utterances)}, make)
        return {i: heard.double() for i, heard in kept.items()}

    def _explained(
        self,
        kind: str,
        targets: Mapping[str, Tensor],
        train: Sequence[LatentUtterance],
        states: Mapping[Split, Mapping[str, Tensor]],
        window: int,
    ) -> list[Score | Skipped]:
        """R² of `targets` (T, F) at each horizon, by a linear map fitted on `train`."""
        out = []
        for ms in self.card.horizons_ms:
            k = frames_ahead(ms, self.context.codec.info)
            fitted, read = (
                Windows([LatentUtterance(u.id, u.speaker, targets[u.id]) for u in us], states[split], window, (k,))
                for us, split in ((train, "train"), (self.test, "test"))
            )
            if not len(fitted) or not len(read):
                raise DataError(
                    f"decoder_aware: expected utterances of {window + k} frames, got {len(fitted)} training anchors "
                    f"and {len(read)} test ones"
                )
            error, total = _linear_errors(fitted, read, k)
            why = f"shorter than {window + k} frames, or nothing moves"
            # 1 − Σ error / Σ total is one ratio less: the same weights hold
            name = f"{kind}_r2_{ms}ms"
            out.append(ratio_column(name, total - error, total, read.owner, self.test, self.counted, why))
        return out

    # --- memory --------------------------------------------------------------------------------------------

    def _reach(self) -> list[Score | Skipped]:
        """One frame moved in each of some test utterances."""
        config, names = self.config, ("reach_share", "reach")
        before, length = config.reach_before, config.reach_before + 1 + config.reach_after
        long = [u for u in self.test if len(u.x) >= length]
        if not long:
            return [Skipped(f"no test utterance has {length} frames", name) for name in names]
        scale = torch.cat([u.x for u in self.context.latents("train")]).std(0)
        energy = {}
        for u in long[:: max(1, len(long) // config.reach_crops)][: config.reach_crops]:
            start = int(torch.randint(len(u.x) - length + 1, (1,), generator=self.context.generator("reach", u.id)))
            x = u.x[None, start : start + length].to(self.context.device)
            moved = sensitivity.reach(self.features, x, before, scale, self.context.generator("move", u.id))
            if float(moved.sum()) > 0.0:
                energy[u.id] = moved
        if not energy:
            return [Skipped("no moved frame changes what is heard", name) for name in names]
        weights = {i: float(e.sum()) for i, e in energy.items()}
        beyond = {i: float(1 - e[before] / e.sum()) for i, e in energy.items()}
        frame_ms = 1000 / self.context.codec.info.frame_rate
        extent = {i: frame_ms * _extent(e, before) for i, e in energy.items()}
        mean = torch.stack(list(energy.values())).sum(0)
        self.context.note("reach_shares", [round(float(s), 6) for s in mean / mean.sum()])
        self.context.note("reach_first_frame", -before)
        rest = {u.id: "no frame of it was moved" for u in self.test if u.id not in energy}
        return [Score("reach_share", beyond, weights, rest), Score("reach", extent, None, rest)]


def _extent(energy: Tensor, at: int) -> float:
    """Frames from the start of the moved one, linear within a frame, until `NEAR` of the energy has passed."""
    passed = np.concatenate([[0.0], (energy.cumsum(0) / energy.sum()).numpy()])
    frame = int(np.searchsorted(passed, NEAR))
    inside = (NEAR - passed[frame - 1]) / (passed[frame] - passed[frame - 1])
    return max(0.0, frame - 1 + inside - at)


def _seen(x: Tensor, metric: Tensor | None) -> Tensor:
    """Vectors whose squared length is their size in the metric G; None: their own."""
    return x if metric is None else x @ sensitivity.root(metric)


def _crops(utterances: Sequence[LatentUtterance], count: int, length: int, generator: torch.Generator) -> Tensor:
    """Random crops (count, length, D), an utterance at most once until all were taken."""
    out = []
    order = torch.randperm(len(utterances), generator=generator).tolist()
    for n in range(count):
        x = utterances[order[n % len(order)]].x
        start = int(torch.randint(len(x) - length + 1, (1,), generator=generator))
        out.append(x[start : start + length])
    return torch.stack(out)


def _up_to(utterances: Sequence[LatentUtterance], frames: int, generator: torch.Generator) -> Sequence[LatentUtterance]:
    """Whole utterances in a random order, until there are enough frames."""
    out: list[LatentUtterance] = []
    for i in torch.randperm(len(utterances), generator=generator).tolist():
        if sum(len(u.x) for u in out) >= frames:
            break
        out.append(utterances[i])
    return out


def _linear_errors(train: Windows, test: Windows, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors of the least-squares map, and squared deviations from the training mean, per test anchor."""
    (c, y), (d, z) = (
        (w.context(torch.arange(len(w))).flatten(1).double(), w.target(torch.arange(len(w)), k).double())
        for w in (train, test)
    )
    shift, scale, mean = c.mean(0), c.std(0), y.mean(0)
    scale = torch.where(scale > 1e-9, scale, torch.ones_like(scale))
    c, d = (c - shift) / scale, (d - shift) / scale
    gram = c.T @ c / len(c) + RIDGE * torch.eye(c.shape[1], dtype=c.dtype)
    guess = d @ torch.linalg.solve(gram, c.T @ (y - mean) / len(c))
    z = z - mean
    return (z - guess).square().sum(1).numpy(), z.square().sum(1).numpy()
