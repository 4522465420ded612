"""What a model loses when it reads its own samples: true futures scored under both contexts, same positions.

gap(k) = NLL[x_{t+k} | x_≤t, own x̂_{t+1…t+k−1}] − NLL[x_{t+k} | x_<t+k], nats per frame, k frames after the
anchor. The scored frame is always the true one: the NLL of a model's own samples falls as it collapses. A
perfect model has a gap above zero, since its samples are not the future that happened; for a linear-Gaussian
process with one-step and k-step error covariances S and S_k it is tr(S⁻¹ S_k) − d with samples and half of
that with mean rollouts. k = 1 has no rolled frame in its context, and a gap of 0.

`movement_*` is Σ‖x̂_{t+k} − x̂_{t+k−1}‖ / Σ‖x_{t+k} − x_{t+k−1}‖ over the rollout, dimensions in training
standard deviations: 1 moves as speech does, near 0 stands still.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from bench.config import TaskCard, task_card
from bench.contract import Context, Score, Skipped, Submission
from tasks.horizons import Anchors, anchors, continued, frames_ahead, interleave, too_short


class RolloutGap:
    """Task plug-in `rollout_gap`."""

    card: ClassVar[TaskCard] = task_card(__file__)

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """Needs `log_prob` and `rollout`."""
        settings = context.parameters
        test = context.latents("test")
        steps = {ms: frames_ahead(ms, context.codec.info) for ms in self.card.horizons_ms}
        furthest = max(steps.values())
        spread = torch.cat([u.x for u in context.latents("train")]).std(0).clamp(min=1e-6)
        self.gaps: dict[str, dict[str, list[float]]] = {}
        self.moves: dict[str, dict[str, list[Tensor]]] = {"movement_sampled": {}, "movement_mean": {}}
        batches = list(anchors(test, settings["first"], settings["every"], furthest))
        with context.track("rollouts", batches) as each:
            for at in each:
                self._anchor(submission, context, at, steps, spread)
        return self._columns(context, too_short(test, settings["first"] + furthest), steps)

    def _anchor(self, submission: Any, context: Context, at: Anchors, steps: dict[int, int], spread: Tensor) -> None:
        generator = context.generator("rollout", at.start, at.ids[0])
        truth = torch.cat([at.past, at.future], dim=1).to(context.device)
        forced = submission.log_prob(truth, truth, generator).cpu()
        for kind, count, mean in (("sampled", context.parameters["draws"], False), ("mean", 1, True)):
            rolled = continued(submission, at, count, generator, context.device, mean)
            own = interleave(at.past, rolled).to(context.device)
            target = interleave(at.past, at.future[:, None].expand_as(rolled)).to(context.device)
            free = submission.log_prob(own, target, generator).cpu().unflatten(0, (-1, count))
            for ms, k in steps.items():
                index = at.start + k - 1
                gap = forced[:, None, index] - free[:, :, index]
                lists = self.gaps.setdefault(f"gap_{kind}_{ms}ms", {})
                for i, values in zip(at.ids, gap, strict=True):
                    lists.setdefault(i, []).extend(values.tolist())
            last = at.past[:, None, -1:].expand(-1, count, -1, -1)
            model = _movement(torch.cat([last, rolled], dim=2) / spread).mean(1)
            real = _movement(torch.cat([at.past[:, -1:], at.future], dim=1) / spread)
            for i, pair in zip(at.ids, torch.stack([model, real], -1), strict=True):
                self.moves[f"movement_{kind}"].setdefault(i, []).append(pair)

    def _columns(self, context: Context, unscored: dict[str, str], steps: dict[int, int]) -> list[Score | Skipped]:
        out: list[Score | Skipped] = []
        summary = {}
        threshold = context.parameters["catastrophic_nats_per_dim"] * context.codec.info.dim
        for name, lists in self.gaps.items():
            weights = {i: float(len(v)) for i, v in lists.items()}
            out.append(Score(name, {i: float(np.mean(v)) for i, v in lists.items()}, weights, unscored))
            pooled = np.sort(np.concatenate([np.asarray(v) for v in lists.values()]))
            summary[name] = _robust(pooled, threshold)
        furthest = max(steps)
        lists = self.gaps[f"gap_sampled_{furthest}ms"]
        out.append(Score("gap_median", {i: float(np.median(v)) for i, v in lists.items()}, None, unscored))
        share = {i: float(np.mean(np.asarray(v) > threshold)) for i, v in lists.items()}
        out.append(Score("catastrophic", share, {i: float(len(v)) for i, v in lists.items()}, unscored))
        for name, pairs in self.moves.items():
            sums = {i: torch.stack(p).sum(0) for i, p in pairs.items()}
            ratio = {i: float(s[0] / s[1]) for i, s in sums.items()}
            out.append(Score(name, ratio, {i: float(s[1]) for i, s in sums.items()}, unscored))
        context.note("pooled_nats", summary)
        return out


def _movement(path: Tensor) -> Tensor:
    """Mean step length of paths (..., T, D) → (...)."""
    return path.diff(dim=-2).norm(dim=-1).mean(-1)


def _robust(values: np.ndarray, threshold: float) -> dict[str, float]:
    """Summaries of sorted pooled values that one exploding frame cannot move, beside those that it can."""
    cut = len(values) // 10
    return {
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "trimmed_mean_10": float(values[cut : len(values) - cut].mean()),
        "p99_9": float(np.percentile(values, 99.9)),
        "catastrophic_share": float((values > threshold).mean()),
        "n": len(values),
    }
