"""A submission's own predictions of the target of `delta_nll`: its density, and the energy score of its samples.

The density of the next frame is scored as it is; that of later frames is the mean of one-step densities over
seeded rollouts, whose logarithm is below the truth on average (Jensen): a lower bound. Every row that can sample,
with a density or not, has the energy-score skill at the same horizons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bench.contract import Context, HasLogProb, Score, Skipped, Submission, missing_capability
from bench.metrics.energy import energy_score
from tasks.columns import Values, filled, scored
from tasks.horizons import Anchors, anchors, continued, interleave, too_short
from tasks.targets import Targets

REFERENCE = 256
"""Draws of the iid marginal sampler that skill is measured against."""


class OwnPredictions:
    """Scores the test split against the twin.

    Args:
        horizons: milliseconds → frames.
        context: its parameter `rollout` holds `first`, `every` and `draws`.
        twin: "id:ms" → NLL of the null-context twin per frame.
        targets: what density and twin are over; samples are scored on the codec's latents themselves.
    """

    def __init__(
        self, horizons: Mapping[int, int], context: Context, twin: Mapping[str, Tensor], targets: Targets
    ) -> None:
        self.horizons, self.context, self.twin, self.targets = horizons, context, twin, targets
        self.test = context.latents("test")
        self.target = {u.id: u.x for u in targets.splits["test"]}
        self.bounds: dict[str, str] = {}

    def score(self, submission: Submission) -> list[Score | Skipped]:
        """`own_gain_*` and `es_skill_*`, or why not; the note `bounds` names the columns that are bounds."""
        following = [ms for ms, k in self.horizons.items() if k == 1]
        later = [ms for ms, k in self.horizons.items() if k > 1]
        out: list[Score | Skipped] = []
        why_not = self._no_density(submission)
        if why_not:
            out += [Skipped(why_not, f"own_gain_{ms}ms") for ms in self.horizons]
        else:
            assert isinstance(submission, HasLogProb)
            for ms in following:
                out.append(self._next(submission, ms))
                if submission.likelihood != "exact":
                    self.bounds[f"own_gain_{ms}ms"] = "lower"
        if missing_capability(submission, ["rollout"]):
            out += [Skipped("needs rollout", f"es_skill_{ms}ms") for ms in self.horizons]
            out += [] if why_not else [Skipped("needs rollout", f"own_gain_{ms}ms") for ms in later]
        else:
            joint = not why_not and getattr(submission, "likelihood", "") == "joint bound"
            out += self._rolled(submission, not why_not and not joint, later)
            if joint:
                reason = "its bound holds for whole utterances, not for one frame after a rollout"
                out += [Skipped(reason, f"own_gain_{ms}ms") for ms in later]
        self.context.note("bounds", self.bounds)
        return out

    def _no_density(self, submission: Submission) -> str | None:
        missing = missing_capability(submission, ["log_prob"])
        if missing:
            return f"needs {missing}"
        if self.context.codec.info.lookahead:
            return "the codec looks ahead"
        if self.targets.basis is not None:
            rank, dim = self.targets.basis.shape[1], self.targets.basis.shape[0]
            return f"the latents fill {rank} of {dim} dimensions; a density over all {dim} has no common reference"
        return None

    def _next(self, submission: HasLogProb, ms: int) -> Score | Skipped:
        values: Values = {}
        with self.context.track("own density", self.test) as utterances:
            for u in utterances:
                x, target = u.x[None].to(self.context.device), self.target[u.id][None].to(self.context.device)
                own = submission.log_prob(x, target, self.context.generator("own", u.id))[0].cpu()
                if len(u.x) > 1:
                    values[u.id] = float((self.twin[f"{u.id}:{ms}"] + own[1:]).mean())
        return scored(f"own_gain_{ms}ms", values, self.test, self.horizons[ms])

    def _rolled(self, submission: Any, density: bool, later: list[int]) -> list[Score | Skipped]:
        """Energy-score skill at every horizon, and the Monte-Carlo density of the later ones."""
        settings = self.context.parameters["rollout"]
        furthest = max(self.horizons.values())
        spread = torch.cat([u.x for u in self.context.latents("train")]).std(0).clamp(min=1e-6)
        reference = self._reference(spread)
        skill: dict[int, dict[str, list[Tensor]]] = {ms: {} for ms in self.horizons}
        own: dict[int, dict[str, list[float]]] = {ms: {} for ms in later}
        batches = list(anchors(self.test, settings["first"], settings["every"], furthest))
        with self.context.track("rollouts", batches) as each:
            for at in each:
                generator = self.context.generator("rollout", at.start, at.ids[0])
                draws = continued(submission, at, settings["draws"], generator, self.context.device)
                for ms, k in self.horizons.items():
                    truth = at.future[:, k - 1] / spread
                    model = energy_score(draws[:, :, k - 1] / spread, truth)
                    marginal = energy_score(reference.expand(len(truth), -1, -1), truth)
                    for i, pair in zip(at.ids, torch.stack([model, marginal], -1), strict=True):
                        skill[ms].setdefault(i, []).append(pair)
                if density:
                    self._later(submission, at, draws, generator, own)
        unscored = too_short(self.test, settings["first"] + furthest)
        out: list[Score | Skipped] = []
        for ms, by_id in skill.items():
            sums = {i: torch.stack(pairs).sum(0) for i, pairs in by_id.items()}
            ratio = {i: float(1 - s[0] / s[1]) for i, s in sums.items()}
            weights = {i: float(s[1]) for i, s in sums.items()}
            out.append(filled(Score(f"es_skill_{ms}ms", ratio, weights, unscored)))
        if density:
            for ms, lists in own.items():
                values = {i: math.fsum(gains) / len(gains) for i, gains in lists.items()}
                weights = {i: float(len(gains)) for i, gains in lists.items()}
                out.append(filled(Score(f"own_gain_{ms}ms", values, weights, unscored)))
                self.bounds[f"own_gain_{ms}ms"] = "lower"
        return out

    def _later(
        self,
        submission: HasLogProb,
        at: Anchors,
        draws: Tensor,
        generator: torch.Generator,
        own: dict[int, dict[str, list[float]]],
    ) -> None:
        """log p(x_{t+k} | x_≤t) ≈ log-mean-exp over rollouts."""
        count = draws.shape[1]
        context = interleave(at.past, draws).to(self.context.device)
        future = torch.stack([self.target[i][at.start : at.start + draws.shape[2]] for i in at.ids])
        target = interleave(at.past, future[:, None].expand_as(draws)).to(self.context.device)
        log_p = submission.log_prob(context, target, generator).cpu().unflatten(0, (-1, count))
        for ms, by_id in own.items():
            index = at.start + self.horizons[ms] - 1
            mixed = torch.logsumexp(log_p[:, :, index], 1) - math.log(count)
            for i, value in zip(at.ids, mixed, strict=True):
                by_id.setdefault(i, []).append(float(value + self.twin[f"{i}:{ms}"][index - self.horizons[ms]]))

    def _reference(self, spread: Tensor) -> Tensor:
        """Frames of the training split: what the iid marginal sampler draws."""
        frames = torch.cat([u.x for u in self.context.latents("train")])
        pick = torch.randint(len(frames), (REFERENCE,), generator=self.context.generator("marginal"))
        return frames[pick] / spread
