"""What limits a prediction: the representation, or the model that reads it? Nothing here is ranked.

A ladder of capacities reads the same windows of states and predicts the same target x_{t+k}: linear-Gaussian in
closed form, an MLP, and a small causal transformer, each with a density. Gain that grows with the rung was there and
a weak model missed it; a ladder that is flat says that the state does not hold more, to these readers at least.
R² stands beside every gain: a density can gain where no mean is predictable. Each gain is against a marginal of the
same family: the Gaussian for the linear rung, the mixture twin for the others.

Beside it the contrastive view: how often the true future is picked among N, and I ≥ ln N − loss, which says nothing
above ln N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, get_args

import torch
from torch import Tensor

from bench.config import TaskCard, parameters, task_card
from bench.contract import Context, Score, Skipped, Submission
from bench.errors import DataError
from bench.metrics import robust
from tasks.columns import filled
from tasks.horizons import frames_ahead
from tasks.linear import MOST_CONTEXT
from tasks.probes.linear import LinearStart
from tasks.probes.mdn import log_kernel
from tasks.probes.rungs import Kind, LadderConfig, Reading, Rung, fit_critic, fit_rung, read_critic, read_rung
from tasks.probes.windows import Windows
from tasks.states import exposed
from tasks.targets import SPLITS, targets

RUNGS: tuple[Kind, ...] = tuple(kind for kind in get_args(Kind) if kind != "twin")


class Ladder:
    """Task plug-in `ladder`."""

    card: ClassVar[TaskCard] = task_card(__file__)

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """Needs `represent`.

        Raises:
            DataError: latents that have no density, or too few frames; see `tasks/targets.py`.
        """
        self.context = context
        self.config = parameters(LadderConfig, context.parameters["probe"], "ladder")
        self.horizons = {ms: frames_ahead(ms, context.codec.info) for ms in self.card.horizons_ms}
        wide = int(context.parameters["window"])
        made = targets(context, float(context.parameters["dither"]), wide + max(self.horizons.values()))
        states = {s: exposed(submission, context, context.latents(s), f"states of {s}") for s in SPLITS}
        width = next(iter(states["train"].values())).shape[1]
        window = max(1, min(wide, MOST_CONTEXT // max(1, width)))
        self.test = made.splits["test"]
        train, valid, self.anchors = (
            Windows(made.splits[s], states[s], window, tuple(self.horizons.values())) for s in SPLITS
        )
        if min(len(train), len(valid)) < self.config.candidates:
            raise DataError(
                f"ladder: expected at least {self.config.candidates} frames with context and target in train and "
                f"valid, got {len(train)} and {len(valid)}"
            )
        self.reading = Reading.of(train, valid, context.device)
        context.note("window", window)
        context.note("flags", made.flags)
        return self._rungs() + self._contrastive()

    def _rungs(self) -> list[Score | Skipped]:
        """Gain and R² of every rung."""
        out: list[Score | Skipped] = []
        summary: dict[str, dict[str, float]] = {}
        twin = read_rung(self._fit("twin"), self.reading, self.anchors)
        gaussian = self._gaussian_marginal()
        for kind in RUNGS:
            found = read_rung(self._fit(kind), self.reading, self.anchors)
            for (ms, k), (nll, guess), (twin_nll, _), gaussian_nll in zip(
                self.horizons.items(), found, twin, gaussian, strict=True
            ):
                gain = (gaussian_nll if kind == "linear" else twin_nll) - nll
                out.append(self._column(f"{kind}_gain_{ms}ms", gain))
                out.append(self._explained(f"{kind}_r2_{ms}ms", guess, k))
                units = robust.rates(float(gain.mean()), guess.shape[1], self.context.codec.info.frame_rate)
                summary[f"{kind}_{ms}ms"] = {**units, "median_nats": float(gain.median())}
        self.context.note("gains", summary)
        return out

    def _fit(self, kind: Kind) -> Rung:
        seed = self.context.generator(kind).initial_seed() % 2**31
        return fit_rung(kind, self.reading, self.config, seed, self.context.progress)

    def _gaussian_marginal(self) -> list[Tensor]:
        """NLL of the test targets under the Gaussian of the training targets, per horizon."""
        out = []
        everything = torch.arange(len(self.anchors))
        for index in range(len(self.horizons)):
            (_, train), (_, test) = (
                self.reading.batch(w, pick)
                for w, pick in (
                    (self.reading.train, torch.arange(len(self.reading.train))),
                    (self.anchors, everything),
                )
            )
            start = LinearStart(0, test[index].shape[1])
            none = train[index].new_zeros(len(train[index]), 0).cpu()
            start.set_from((none, train[index].cpu()), (none[:0], train[index][:0].cpu()), diagonal=False)
            v = start(none.new_zeros(len(test[index]), 0), test[index].cpu())
            log_p = log_kernel(v.square().sum(-1), v.shape[1], 0.0) + start.log_det
            out.append(-log_p - self.reading.white.log_det())
        return out

    def _contrastive(self) -> list[Score | Skipped]:
        """Accuracy among N futures, and the bound."""
        n = self.config.candidates
        names = [f"nce_{what}_{ms}ms" for what in ("accuracy", "bound") for ms in self.horizons]
        if len(self.anchors) < n:
            return [Skipped(f"{len(self.anchors)} test frames have a target; needs {n}", name) for name in names]
        seed = self.context.generator("critic").initial_seed() % 2**31
        critic = fit_critic(self.reading, self.config, seed, self.context.progress)
        found = read_critic(critic, self.reading, self.anchors, n, self.context.generator("candidates"))
        self.context.note("contrastive", {"candidates": n, "chance": 1 / n, "most_nats": math.log(n)})
        accuracies, bounds = zip(*found, strict=True)
        return [self._column(name, values) for name, values in zip(names, [*accuracies, *bounds], strict=True)]

    def _column(self, name: str, per_anchor: Tensor) -> Score | Skipped:
        values, weights = {}, {}
        for index, u in enumerate(self.test):
            own = per_anchor[self.anchors.owner == index]
            if len(own):
                values[u.id], weights[u.id] = float(own.double().mean()), float(len(own))
        return filled(Score(name, values, weights, self._short(values)))

    def _explained(self, name: str, guess: Tensor, k: int) -> Score | Skipped:
        """1 − Σ‖x − x̂‖² / Σ‖x − x̄‖², x̄ of the training frames; weights make the aggregate the pooled R²."""
        x = self.anchors.target(torch.arange(len(self.anchors)), k)
        error = (x - guess).square().sum(1)
        total = (x - self.reading.train.x.mean(0)).square().sum(1)
        values, weights = {}, {}
        for index, u in enumerate(self.test):
            own = self.anchors.owner == index
            if own.any():
                weights[u.id] = float(total[own].sum())
                values[u.id] = 1 - float(error[own].sum()) / weights[u.id]
        return filled(Score(name, values, weights, self._short(values)))

    def _short(self, values: dict[str, float]) -> dict[str, str]:
        needs = self.anchors.window + max(self.horizons.values())
        return {u.id: f"{len(u.x)} frames; needs {needs}" for u in self.test if u.id not in values}
