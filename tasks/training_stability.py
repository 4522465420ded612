"""How stably a submission trains: its own fit's history, other seeds, and the noise on its inputs that it needs.

Of the fit that the row is about, as `history` has it:

* `spikes`: share of steps whose loss is more than k · 1.4826 · MAD above the median of a centred window of losses
  less its trend (`bench/metrics/stability.py`); the first and last half windows are not judged.
* `grad_ratio`: 99th percentile over median of the gradient norms before clipping.
* `rebound`: (last − best) / (worst − best) of the validation losses.

Of refits, each `unfitted(r, noise)` fitted on the splits of the suite with the budget of the card; a suite that holds
this task bounds both (`minutes`, and `suite_parameters` of cards), for it costs R + (number of noises) fits:

* `seed_spread`: standard deviation (R − 1) over replicates 0 … R − 1 of the validation loss of the weights kept, in the
  loss's own unit; `spread_share`: the same as a share of what a fit gains from its first validation to its best.
* `diverged`: share of all refits that ended in a loss or weights that are not finite.
* `noise_needed`: the least noise of the grid whose energy-score skill, 1 − Σ ES(rollouts) / Σ ES(training frames), is
  within `tolerance` of the best of the grid: of validation utterances, at the horizon of the card.
* `noise_gain`: skill with the noise that was best there minus skill with the least noise, of test utterances.

All but `noise_gain` are properties of one fit or of a few: every test utterance has the same value, so that intervals
have no width and none says what another seed would give. Nothing is ranked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from bench.config import TaskCard, parameters, task_card
from bench.contract import (
    Context,
    FitContext,
    LatentUtterance,
    ReadsCodes,
    Score,
    Skipped,
    Submission,
    missing_capability,
)
from bench.errors import Diverged
from bench.fitting import NoCheckpoint
from bench.metrics.drift import Reference
from bench.metrics.energy import energy_score
from bench.metrics.stability import rebound, spikes, tail_ratio
from tasks.columns import filled
from tasks.horizons import anchors, continued, frames_ahead, too_short

REFERENCE = 256
"""Training frames that stand for the marginal."""
REFITTED = ("seed_spread", "spread_share", "diverged", "noise_needed", "noise_gain")
NOISE = ("noise_needed", "noise_gain")


@dataclass(frozen=True)
class Config:
    """Windows, refits, and anchors of rollouts. `noises`: standard deviations in whitened units, ascending."""

    window: Annotated[int, Field(ge=3)] = 31
    deviations: Annotated[float, Field(gt=0)] = 6.0
    replicates: Annotated[int, Field(ge=2)] = 2
    noises: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (0.0, 0.1, 0.3)
    tolerance: Annotated[float, Field(ge=0)] = 0.01
    first: Annotated[int, Field(ge=1)] = 8
    every: Annotated[int, Field(ge=1)] = 8
    draws: Annotated[int, Field(ge=2)] = 8


class TrainingStability:
    """Task plug-in `training_stability`."""

    card: ClassVar[TaskCard] = task_card(__file__)

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """Needs `history`; columns of refits need `unfitted`, those of noise `rollout` too."""
        config = parameters(Config, context.parameters, self.card.name)
        out = self._of_history(submission, context, config)
        if missing_capability(submission, ["unfitted"]):
            return [*out, *(Skipped("needs unfitted", name) for name in REFITTED)]
        refits = _Refits(submission, context)
        again = [refits.made(replicate, None) for replicate in range(config.replicates)]
        out += _spread(again, context)
        if why := missing_capability(submission, ["rollout"]):
            out += [Skipped(f"needs {why}", name) for name in NOISE]
        else:
            out += self._of_noise({noise: refits.made(0, noise) for noise in config.noises}, context, config)
        context.note("refits", refits.told)
        lost = sum(one["diverged"] != "" for one in refits.told)
        return [*out, _same("diverged", lost / len(refits.told), context)]

    def _of_history(self, submission: Any, context: Context, config: Config) -> list[Score | Skipped]:
        history = submission.history()
        steps, validations = len(history.loss), len(history.valid_loss)
        out: list[Score | Skipped] = []
        if steps < config.window:
            out.append(Skipped(f"{steps} steps; a window has {config.window}", "spikes"))
        else:
            found = spikes(history.loss, config.window, config.deviations)
            context.note("spikes", (found.nonzero()[:, 0] + config.window // 2 + 1).tolist())
            out.append(_same("spikes", float(found.double().mean()), context))
        ratio = tail_ratio(history.grad_norm) if steps else math.inf
        if math.isfinite(ratio):
            out.append(_same("grad_ratio", ratio, context))
        else:
            out.append(Skipped("half of the gradients are zero" if steps else "no steps", "grad_ratio"))
        if validations < 2:
            return [*out, Skipped(f"{validations} validation losses; needs 2", "rebound")]
        return [*out, _same("rebound", rebound(history.valid_loss), context)]

    def _of_noise(
        self, models: Mapping[float, _Refit | None], context: Context, config: Config
    ) -> list[Score | Skipped]:
        """Chosen on validation utterances, told of test utterances."""
        there = {noise: refit.model for noise, refit in models.items() if refit}
        least = min(models)
        if least not in there:
            return [Skipped(f"the refit with noise {least:g} diverged", name) for name in NOISE]
        (ms,) = self.card.horizons_ms
        rollouts = _Rollouts(context, config, frames_ahead(ms, context.codec.info))
        totals = {noise: torch.stack([*rollouts.energy(m, "valid").values(), torch.zeros(2)]).sum(0)
                  for noise, m in there.items()}  # fmt: skip
        if not all(total[1] > 0 for total in totals.values()):
            return [Skipped(f"no validation utterance has {config.first + rollouts.frames} frames", n) for n in NOISE]
        skill = {noise: float(1 - total[0] / total[1]) for noise, total in totals.items()}
        best = max(skill, key=lambda noise: skill[noise])
        context.note("skill_by_noise", {f"{noise:g}": value for noise, value in skill.items()})
        needed = min(noise for noise, value in skill.items() if value >= skill[best] - config.tolerance)
        without, with_best = (rollouts.energy(there[noise], "test") for noise in (least, best))
        gained = {i: float((without[i][0] - with_best[i][0]) / without[i][1]) for i in without}
        weights = {i: float(pair[1]) for i, pair in without.items()}
        short = too_short(context.latents("test"), config.first + rollouts.frames)
        return [_same("noise_needed", needed, context), filled(Score("noise_gain", gained, weights, short))]


@dataclass(frozen=True)
class _Refit:
    """A fitted replicate, and its validation loss: of the first validation, and of the weights it kept."""

    model: Any
    first: float
    kept: float


class _Refits:
    """Fits a submission again; `told` is what the record holds of each."""

    def __init__(self, submission: Any, context: Context) -> None:
        self.submission, self.context = submission, context
        self.seed = int(torch.randint(2**31, (), generator=context.generator("refit")))
        self.told: list[dict[str, Any]] = []

    def made(self, replicate: int, noise: float | None) -> _Refit | None:
        """The replicate, or None where it diverged."""
        told: dict[str, Any] = {"replicate": replicate, "noise": noise, "diverged": ""}
        self.told.append(told)
        try:
            state = self._fitted(replicate, noise)
        except Diverged as error:
            told["diverged"] = str(error)
            return None
        if bad := [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]:
            told["diverged"] = f"{bad[0]} is not finite"
            return None
        model = self._unfitted(replicate, noise)
        model.load_state(state, self.context.codec.info, self.context.device)
        first, kept = math.nan, math.nan
        if not missing_capability(model, ["history"]) and len(losses := model.history().valid_loss):
            first, kept = float(losses[0]), float(losses.min())
            told |= {"first": first, "kept": kept}
        return _Refit(model, first, kept)

    def _fitted(self, replicate: int, noise: float | None) -> Mapping[str, Tensor]:
        model, context = self._unfitted(replicate, noise), self.context

        def progress(what: str, done: int, total: int) -> None:
            context.progress(f"{what}, refit {len(self.told)}", done, total)

        codec, checkpoint = context.codec, NoCheckpoint()
        fit = FitContext(codec.info, context.device, self.seed, checkpoint, progress, decoder=codec)
        model.fit(context.latents("train"), context.latents("valid"), fit)
        state: Mapping[str, Tensor] = model.state()
        return state

    def _unfitted(self, replicate: int, noise: float | None) -> Any:
        model = self.submission.unfitted(replicate, noise)
        if isinstance(model, ReadsCodes):
            model.read_codes(self.context.codec)
        return model


def _spread(again: Sequence[_Refit | None], context: Context) -> list[Score | Skipped]:
    """Of the validation losses of the replicates that did not diverge."""
    names = ("seed_spread", "spread_share")
    there = [refit for refit in again if refit]
    if len(there) < 2:
        return [Skipped(f"{len(again) - len(there)} of {len(again)} replicates diverged", name) for name in names]
    kept, first = (torch.tensor([getattr(r, name) for r in there]).double() for name in ("kept", "first"))
    if not torch.isfinite(kept).all():
        return [Skipped("a refit has no validation losses", name) for name in names]
    spread, gained = float(kept.std()), float((first - kept).mean())
    if gained <= 0:
        return [_same(names[0], spread, context), Skipped("no fit improves on its first validation", names[1])]
    return [_same(names[0], spread, context), _same(names[1], spread / gained, context)]


class _Rollouts:
    """Energy scores of rollouts, `frames` after their anchors."""

    def __init__(self, context: Context, config: Config, frames: int) -> None:
        self.context, self.config, self.frames = context, config, frames
        train = torch.cat([u.x for u in context.latents("train")])
        self.spread = train.std(0).clamp(min=1e-6)
        pick = torch.randint(len(train), (REFERENCE,), generator=context.generator("marginal"))
        self.reference = Reference(train[pick] / self.spread)

    def energy(self, model: Any, split: Any) -> dict[str, Tensor]:
        """Utterance id → energy score of the model and of the reference, each summed over anchors: (2,)."""
        config, context, out = self.config, self.context, dict[str, Tensor]()
        utterances: Sequence[LatentUtterance] = context.latents(split)
        batches = list(anchors(utterances, config.first, config.every, self.frames)) if utterances else []
        with context.track(f"rollouts, {split}", batches) as each:
            for at in each:
                # the same noise for every model: what differs is what they learned
                generator = context.generator("rollout", split, at.start, at.ids[0])
                draws = continued(model, at, config.draws, generator, context.device)[:, :, -1] / self.spread
                truth = at.future[:, -1] / self.spread
                pairs = torch.stack([energy_score(draws, truth), self.reference.energy(truth)], -1)
                for i, pair in zip(at.ids, pairs, strict=True):
                    out[i] = out.get(i, torch.zeros(2)) + pair
        return out


def _same(column: str, value: float, context: Context) -> Score:
    """A property of the fit, and so every utterance's."""
    return Score(column, {u.id: value for u in context.latents("test")})
