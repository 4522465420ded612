"""What a model loses when it reads its own samples: true futures scored under both contexts, same positions.

gap(k) = NLL[x_{t+k} | x_≤t, own x̂_{t+1…t+k−1}] − NLL[x_{t+k} | x_<t+k], nats per frame, k frames after the
anchor. The scored frame is always the true one: the NLL of a model's own samples falls as it collapses. A
perfect model has a gap above zero, since its samples are not the future that happened; for a linear-Gaussian
process with one-step and k-step error covariances S and S_k it is tr(S⁻¹ S_k) − d with samples and half of
that with mean rollouts. k = 1 has no rolled frame in its context, and a gap of 0.

* `self_floor`: the gap on futures that the model drew itself, scored under another of its draws. It is the
  oracle floor if and only if the model is right; the true floor is known on calibration processes alone.
* `first_divergence`: where NLL[x_{t+k} | own context] rises above NLL[x_{t+k}] under the Gaussian marginal of
  training frames: from there on, reading its own past is worse for the model than reading nothing. A perfect
  model diverges too, for AR(1) with coefficient a and unit variance where a^{2k} = a² + (1 − a²) ½ ln(1 − a²).
* `predictive_horizon`: up to where the samples' energy score is below that of the training marginal by more
  than `skill_level`; the skill of the true AR(1) is 1 − √(1 − a^{2k}).
* `movement_*`: Σ‖x̂_{t+k} − x̂_{t+k−1}‖ / Σ‖x_{t+k} − x_{t+k−1}‖ over the rollout, dimensions in training
  standard deviations: 1 moves as speech does, near 0 stands still.
* `collapsed`: see `bench.metrics.drift`; real futures set it off as often as the note `collapse` says.

Both crossings are those of the corpus curve, linear between frames; a value per utterance is its linearised
contribution, so that their mean is the crossing and their spread its sampling error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.config import TaskCard, parameters, task_card
from bench.contract import Context, Score, Skipped, Submission
from bench.errors import DataError
from bench.metrics import drift
from bench.metrics.energy import energy_score
from bench.metrics.gaussian import LinearGaussian
from tasks.horizons import Anchors, anchors, continued, frames_ahead, interleave, too_short
from tasks.rollout_report import Config, Report

REFERENCE = 1024
"""Training frames that stand for the marginal in the energy score; all anchors share their sampling error, which
the intervals cannot see."""


class RolloutGap:
    """Task plug-in `rollout_gap`."""

    card: ClassVar[TaskCard] = task_card(__file__)

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """Needs `log_prob` and `rollout`.

        A submission that knows its own floor says so by `rollout_floor(k, mean) -> nats`.
        """
        config = parameters(Config, context.parameters, self.card.name)
        test, info = context.latents("test"), context.codec.info
        steps = {ms: frames_ahead(ms, info) for ms in self.card.horizons_ms}
        furthest = max(steps.values())
        short = too_short(test, config.first + furthest)
        if len(short) == len(test):
            return [Skipped(f"no utterance has {config.first + furthest} frames, for an anchor and its future")]
        rollouts = _Rollouts(submission, context, config, furthest)
        kept: dict[str, list[dict[str, Tensor]]] = {}
        batches = list(anchors(test, config.first, config.every, furthest))
        with context.track("rollouts", batches) as each:
            for at in each:
                found = rollouts.at(at)
                for b, i in enumerate(at.ids):
                    kept.setdefault(i, []).append({name: value[b] for name, value in found.items()})
        rows = {i: {name: torch.stack([r[name] for r in many]) for name in many[0]} for i, many in kept.items()}
        frame_ms = 1000 / info.frame_rate
        ms_of = [round(frame_ms * (k - info.lookahead), 3) for k in range(1, furthest + 1)]
        speakers = {u.id: u.speaker for u in test}
        report = Report(context, config, rows, short, speakers, steps, ms_of)
        return report.columns(submission)


class _Rollouts:
    """Rolls a submission out from anchors and measures what becomes of it."""

    def __init__(self, submission: Any, context: Context, config: Config, furthest: int) -> None:
        self.submission, self.context, self.config = submission, context, config
        train = context.latents("train")
        frames = torch.cat([u.x for u in train])
        self.mean, self.spread = frames.mean(0), frames.std(0).clamp(min=1e-6)
        self.marginal = LinearGaussian(frames.new_zeros(len(frames), 0), frames)
        pick = torch.randint(len(frames), (REFERENCE,), generator=context.generator("marginal"))
        self.reference = drift.Reference(self._standard(frames[pick]))
        real = torch.cat([drift.windows(self._standard(u.x), furthest, config.every) for u in train])
        if not len(real):
            raise DataError(f"rollout_gap: no training utterance has {furthest} frames")
        self.collapse = drift.Collapse(real, config.false_alarms)
        context.note("collapse_windows", len(real))

    def at(self, at: Anchors) -> dict[str, Tensor]:
        """Name → measurements (B, …) at one batch of anchors."""
        context, config = self.context, self.config
        scoring = context.generator("scoring", at.start, at.ids[0])
        forced = self._log_prob(at, at.future[:, None], at.future[:, None], scoring)
        sampled = torch.cat(
            [
                continued(self.submission, at, config.draws, self._generator(at, seed), context.device)
                for seed in range(config.seeds)
            ],
            dim=1,
        )
        means = continued(self.submission, at, 1, self._generator(at, config.seeds), context.device, mean=True)
        out: dict[str, Tensor] = {}
        for kind, rolled in (("sampled", sampled), ("mean", means)):
            free = self._log_prob(at, rolled, at.future[:, None].expand_as(rolled), scoring)
            out[f"gap_{kind}"] = forced - free
            last = at.past[:, None, -1:].expand(-1, rolled.shape[1], -1, -1)
            model = drift.movement(torch.cat([last, rolled], dim=2) / self.spread).mean(1)
            real = drift.movement(torch.cat([at.past[:, -1:], at.future], dim=1) / self.spread)
            out[f"movement_{kind}"] = torch.stack([model, real], -1)
            out[f"flags_{kind}"] = self.collapse.flags(self._standard(rolled))
        flat = at.future.flatten(0, 1)
        marginal = self.marginal.log_prob(flat[:, :0], flat).view(at.future.shape[:2])
        out["margin"] = (forced[:, 0] - out["gap_sampled"].mean(1)).double() - marginal
        out["flags_real"] = self.collapse.flags(self._standard(at.future))
        if sampled.shape[1] > 1:
            own, other = sampled[:, :2], sampled[:, :2].flip(1)
            known = self._log_prob(at, own, own, scoring)
            out["self_floor"] = known - self._log_prob(at, other, own, scoring)
            truth = self._standard(at.future)
            model = energy_score(self._standard(sampled).transpose(1, 2), truth)
            out["energy"] = torch.stack([model, self.reference.energy(truth)], -1)
        return out

    def _generator(self, at: Anchors, seed: int) -> torch.Generator:
        return self.context.generator("rollout", at.start, at.ids[0], seed)

    def _log_prob(self, at: Anchors, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        """log p of futures (B, S, K, D) given the past and the frames of `context` before each → (B, S, K)."""
        device = self.context.device
        read, scored = (interleave(at.past, f).to(device) for f in (context, target))
        log_p: Tensor = self.submission.log_prob(read, scored, generator)
        return log_p.cpu().unflatten(0, (-1, context.shape[1]))[:, :, at.start :]

    def _standard(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.spread
