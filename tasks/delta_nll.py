"""How much a submission's state says about the future of the codec's latents.

For every horizon: gain = NLL[null-context twin] − NLL[probe on states], nats per frame on the same test
frames; positive is predictable. Beside it the submission's own density (against the same twin), the skill of
its samples, the shuffled-context control, and diagnostics by the linear-Gaussian closed form, the note's Δx
definitions among them, which are never ranked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.config import TaskCard, parameters, task_card
from bench.contract import (
    Context,
    HasLogProb,
    LatentUtterance,
    Represents,
    Score,
    Skipped,
    Submission,
    missing_capability,
)
from bench.metrics.energy import energy_score
from bench.stats import interval
from tasks.horizons import Anchors, anchors, continued, frames_ahead, interleave, too_short
from tasks.linear import LinearDiagnostics
from tasks.probes.mdn import Fitted, ProbeConfig, fit_probe, report_note

Values = dict[str, float]


class DeltaNLL:
    """Task plug-in `delta_nll`."""

    card: ClassVar[TaskCard] = task_card(__file__)

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """See the module; needs `represent`, and uses `log_prob` and `rollout` where they are."""
        self.context = context
        self.horizons = {ms: frames_ahead(ms, context.codec.info) for ms in self.card.horizons_ms}
        self.probe_config = parameters(ProbeConfig, context.parameters["probe"], "delta_nll")
        self.train, self.valid, self.test = (context.latents(s) for s in ("train", "valid", "test"))
        twin = self._twin()
        states = {
            split: _states(submission, context, context.latents(split), split) for split in ("train", "valid", "test")
        }
        out = self._probe_columns(states, twin)
        out += LinearDiagnostics(self.horizons, context).score(submission, states)
        out += self._own_columns(submission, twin)
        return out

    # --- the probe -----------------------------------------------------------------------------------------

    def _fit(self, what: str, states: Mapping[str, Tensor] | None, train: Sequence[LatentUtterance]) -> Fitted:
        seed = self.context.generator(what).initial_seed() % 2**31
        frames, device = tuple(self.horizons.values()), self.context.device
        return fit_probe(
            states, train, self.valid, frames, self.probe_config, seed, device, self.context.progress, f"fit {what}"
        )

    def _twin(self) -> dict[str, Tensor]:
        """Per-frame NLL of the null-context twin on every test utterance; one for all submissions."""

        def make() -> dict[str, Tensor]:
            fitted = self._fit("twin", None, self.train)
            return {
                f"{u.id}:{ms}": nll
                for u in self.test
                for ms, nll in zip(self.horizons, fitted.nll(u.x.new_zeros(len(u.x), 0), u.x), strict=True)
            }

        key = {"what": "twin", "probe": self.context.parameters["probe"], "horizons": list(self.horizons.values())}
        return self.context.cached_tensors(key, make)

    def _probe_columns(self, states: dict[str, dict[str, Tensor]], twin: dict[str, Tensor]) -> list[Score | Skipped]:
        known = {**states["train"], **states["valid"]}
        fitted = self._fit("probe", known, self.train)
        self.context.note("probe", report_note(fitted))
        gains = self._gains(fitted, states["test"], twin)
        out: list[Score | Skipped] = self._scores("gain", gains)
        if not self.context.parameters["controls"]:
            reason = "the suite's budget leaves the controls out"
            return out + [Skipped(reason, f"shuffled_gain_{ms}ms") for ms in self.horizons]
        shuffled = {**_shuffled(states["train"]), **_shuffled(states["valid"])}
        control = self._fit("shuffled control", shuffled, self.train)
        out += self._scores("shuffled_gain", self._gains(control, _shuffled(states["test"]), twin))
        half = self._fit("half the frames", known, self.train[::2])
        self._note_half(gains, self._gains(half, states["test"], twin))
        return out

    def _gains(self, fitted: Fitted, states: dict[str, Tensor], twin: dict[str, Tensor]) -> dict[int, Values]:
        gains: dict[int, Values] = {ms: {} for ms in self.horizons}
        for u in self.test:
            nlls = fitted.nll(states[u.id].to(self.context.device), u.x.to(self.context.device))
            for ms, nll in zip(self.horizons, nlls, strict=True):
                if len(nll):
                    gains[ms][u.id] = float((twin[f"{u.id}:{ms}"] - nll).mean())
        return gains

    def _scores(self, name: str, gains: dict[int, Values]) -> list[Score | Skipped]:
        out: list[Score | Skipped] = []
        for ms, values in gains.items():
            frames = {u.id: float(len(u.x) - self.horizons[ms]) for u in self.test if u.id in values}
            unscored = {
                u.id: f"{len(u.x)} frames; needs {self.horizons[ms] + 1}" for u in self.test if u.id not in values
            }
            out.append(Score(f"{name}_{ms}ms", values, frames, unscored))
        return out

    def _note_half(self, full: dict[int, Values], half: dict[int, Values]) -> None:
        """Is the probe starved of data? The gain with half the training frames, and whether it is outside."""
        speakers = {u.id: u.speaker for u in self.test}
        rows = {}
        for ms in self.horizons:
            all_frames = interval(full[ms], speakers)
            value = interval(half[ms], speakers).value
            starved = not all_frames.low <= value <= all_frames.high
            rows[f"{ms}ms"] = {"all": all_frames.value, "half": value, "outside_interval": starved}
        self.context.note("half_data_nats", rows)

    # --- the submission's own predictions -----------------------------------------------------------------

    def _own_columns(self, submission: Submission, twin: dict[str, Tensor]) -> list[Score | Skipped]:
        missing = missing_capability(submission, ["log_prob"])
        first, *later = self.horizons
        out: list[Score | Skipped] = []
        bounds: dict[str, str] = {}
        if missing:
            out += [Skipped(f"needs {missing}", f"own_gain_{ms}ms") for ms in self.horizons]
        elif self.horizons[first] != 1:
            out += [Skipped("the codec looks ahead", f"own_gain_{ms}ms") for ms in self.horizons]
        else:
            assert isinstance(submission, HasLogProb)
            own = self._own_next(submission, twin, first)
            out += self._scores("own_gain", {first: own})
            if submission.likelihood != "exact":
                bounds[f"own_gain_{first}ms"] = "lower"
        can_roll = missing_capability(submission, ["rollout"]) is None
        if not can_roll:
            out += [Skipped("needs rollout", f"es_skill_{ms}ms") for ms in self.horizons]
            out += [] if missing else [Skipped("needs rollout", f"own_gain_{ms}ms") for ms in later]
        else:
            joint = not missing and getattr(submission, "likelihood", "") == "joint bound"
            out += self._rolled(submission, twin, not missing and not joint, later, bounds)
            if joint:
                reason = "its bound holds for whole utterances, not for one frame after a rollout"
                out += [Skipped(reason, f"own_gain_{ms}ms") for ms in later]
        self.context.note("bounds", bounds)
        return out

    def _own_next(self, submission: HasLogProb, twin: dict[str, Tensor], ms: int) -> Values:
        values: Values = {}
        with self.context.track("own density", self.test) as utterances:
            for u in utterances:
                x = u.x[None].to(self.context.device)
                own = submission.log_prob(x, x, self.context.generator("own", u.id))[0].cpu()
                if len(u.x) > 1:
                    values[u.id] = float((twin[f"{u.id}:{ms}"] + own[1:]).mean())
        return values

    def _rolled(
        self, submission: Any, twin: dict[str, Tensor], density: bool, later: list[int], bounds: dict[str, str]
    ) -> list[Score | Skipped]:
        """Energy-score skill at every horizon, and the Monte-Carlo density of the later ones."""
        settings = self.context.parameters["rollout"]
        furthest = max(self.horizons.values())
        spread = torch.cat([u.x for u in self.train]).std(0).clamp(min=1e-6)
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
                    self._own_later(submission, at, draws, twin, generator, own)
        unscored = too_short(self.test, settings["first"] + furthest)
        out: list[Score | Skipped] = []
        for ms, by_id in skill.items():
            sums = {i: torch.stack(pairs).sum(0) for i, pairs in by_id.items()}
            ratio = {i: float(1 - s[0] / s[1]) for i, s in sums.items()}
            out.append(Score(f"es_skill_{ms}ms", ratio, {i: float(s[1]) for i, s in sums.items()}, unscored))
        if density:
            for ms, lists in own.items():
                values = {i: math.fsum(gains) / len(gains) for i, gains in lists.items()}
                weights = {i: float(len(gains)) for i, gains in lists.items()}
                out.append(Score(f"own_gain_{ms}ms", values, weights, unscored))
                bounds[f"own_gain_{ms}ms"] = "lower"
        return out

    def _own_later(
        self,
        submission: HasLogProb,
        at: Anchors,
        draws: Tensor,
        twin: dict[str, Tensor],
        generator: torch.Generator,
        own: dict[int, dict[str, list[float]]],
    ) -> None:
        """log p(x_{t+k} | x_≤t) ≈ log-mean-exp over rollouts: below the truth on average (Jensen)."""
        count = draws.shape[1]
        context = interleave(at.past, draws).to(self.context.device)
        target = interleave(at.past, at.future[:, None].expand_as(draws)).to(self.context.device)
        log_p = submission.log_prob(context, target, generator).cpu().unflatten(0, (-1, count))
        for ms, by_id in own.items():
            index = at.start + self.horizons[ms] - 1
            mixed = torch.logsumexp(log_p[:, :, index], 1) - math.log(count)
            for i, value in zip(at.ids, mixed, strict=True):
                by_id.setdefault(i, []).append(float(value + twin[f"{i}:{ms}"][index - self.horizons[ms]]))

    def _reference(self, spread: Tensor) -> Tensor:
        """Frames of the training split: what the iid marginal sampler draws."""
        frames = torch.cat([u.x for u in self.train])
        pick = torch.randint(len(frames), (256,), generator=self.context.generator("marginal"))
        return frames[pick] / spread


def _states(submission: Any, context: Context, utterances: Sequence[LatentUtterance], split: str) -> dict[str, Tensor]:
    """Utterance id → exposed states (T, Dz) on the CPU, each utterance on its own."""
    assert isinstance(submission, Represents)
    out = {}
    with context.track(f"states of {split}", utterances) as each:
        for u in each:
            z = submission.represent(u.x[None].to(context.device), context.generator("represent", u.id))
            out[u.id] = z[0].float().cpu()
    return out


def _shuffled(states: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each utterance gets the states of the next one, turned by half its length: no true past, no position."""
    ids = list(states)
    out = {}
    for i, other in zip(ids, ids[1:] + ids[:1], strict=True):
        z = states[other].roll(len(states[other]) // 2, 0)
        length = len(states[i])
        out[i] = z.repeat(-(-length // len(z)), 1)[:length]
    return out
