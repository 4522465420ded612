"""How much a submission's state says about the future of the codec's latents.

For every horizon: gain = NLL[null-context twin] − NLL[probe on states], nats per frame on the same test frames;
positive is predictable. Beside it the shuffled-context control, summaries that one bad frame cannot move, the
submission's own density and samples (`tasks/own_density.py`), and diagnostics that are never ranked
(`tasks/linear.py`): the linear floor, the note's Δx definitions and the state's prediction of itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from bench.config import TaskCard, parameters, task_card
from bench.contract import Context, LatentUtterance, Score, Skipped, Submission
from bench.metrics import robust
from bench.stats import interval
from tasks.columns import Values, scored
from tasks.horizons import frames_ahead
from tasks.linear import LinearDiagnostics
from tasks.own_density import OwnPredictions
from tasks.probes.probe import ProbeConfig, Reader
from tasks.probes.together import Fit, fit_probes
from tasks.states import exposed, shuffled
from tasks.targets import SPLITS, targets

PerFrame = dict[int, dict[str, Tensor]]
"""Horizon in ms → utterance id → a value for each frame that has a target."""


class DeltaNLL:
    """Task plug-in `delta_nll`."""

    card: ClassVar[TaskCard] = task_card(__file__)

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """See the module; needs `represent`, and uses `log_prob` and `rollout` where they are.

        Raises:
            DataError: latents that have no density, or no utterance long enough; see `tasks/targets.py`.
        """
        self.context = context
        self.horizons = {ms: frames_ahead(ms, context.codec.info) for ms in self.card.horizons_ms}
        self.probe_config = parameters(ProbeConfig, context.parameters["probe"], "delta_nll")
        least = int(context.parameters["linear_window"]) + max(self.horizons.values())
        self.targets = targets(context, float(context.parameters["dither"]), least)
        self.train, self.valid, self.test = (self.targets.splits[s] for s in SPLITS)
        states = {s: exposed(submission, context, context.latents(s), f"states of {s}") for s in SPLITS}
        out = self._probe_columns(states)
        out += LinearDiagnostics(self.horizons, context, self.targets).score(submission, states)
        out += OwnPredictions(self.horizons, context, self.twin_nll, self.targets).score(submission)
        context.note("flags", self.targets.flags)
        return out

    def _job(self, what: str, states: Mapping[str, Tensor] | None, train: Sequence[LatentUtterance]) -> Fit:
        return Fit(f"fit {what}", states, train, self.context.generator(what).initial_seed() % 2**31)

    def _fitted(self, jobs: Sequence[Fit]) -> list[Reader]:
        """Readers of `jobs`, fitted together with the null-context twin where no submission's row has left it."""
        frames, device, progress = tuple(self.horizons.values()), self.context.device, self.context.progress
        fit = lambda jobs: fit_probes(jobs, self.valid, frames, self.probe_config, device, progress)  # noqa: E731
        found: list[Reader] = []

        def make() -> dict[str, Tensor]:
            twin, *others = fit([self._job("twin", None, self.train), *jobs])
            found.extend(others)
            return {
                f"{u.id}:{ms}": nll
                for u in self.test
                for ms, nll in zip(self.horizons, self._nll(twin, u.x.new_zeros(len(u.x), 0), u), strict=True)
            }

        given = {name: self.context.parameters[name] for name in ("probe", "dither")}
        key = {"what": "twin", **given, "horizons": list(self.horizons.values())}
        self.twin_nll = self.context.cached_tensors(key, make)
        return found or fit(jobs)

    def _nll(self, fitted: Reader, z: Tensor, u: LatentUtterance) -> list[Tensor]:
        return fitted.nll(z.to(self.context.device), u.x.to(self.context.device))

    def _probe_columns(self, states: Mapping[str, dict[str, Tensor]]) -> list[Score | Skipped]:
        known = {**states["train"], **states["valid"]}
        jobs = [self._job("probe", known, self.train)]
        controls = bool(self.context.parameters["controls"])
        if controls:
            wrong = {s: shuffled(states[s], self.context.generator("shuffled", s)) for s in SPLITS}
            jobs.append(self._job("shuffled control", {**wrong["train"], **wrong["valid"]}, self.train))
            jobs.append(self._job("half the frames", known, self.train[::2]))
        fitted = self._fitted(jobs)
        self.context.note("probe", fitted[0].note())
        nlls, gains = self._read(fitted[0], states["test"])
        out = self._columns("gain", gains)
        out += self._robust_columns(nlls, gains)
        if not controls:
            reason = "the suite's budget leaves the controls out"
            return out + [Skipped(reason, f"shuffled_gain_{ms}ms") for ms in self.horizons]
        out += self._columns("shuffled_gain", self._read(fitted[1], wrong["test"])[1])
        self._note_half(gains, self._read(fitted[2], states["test"])[1])
        return out

    def _read(self, fitted: Reader, states: Mapping[str, Tensor]) -> tuple[PerFrame, PerFrame]:
        """NLL and gain of every test frame that has a target."""
        nlls: PerFrame = {ms: {} for ms in self.horizons}
        gains: PerFrame = {ms: {} for ms in self.horizons}
        for u in self.test:
            for ms, nll in zip(self.horizons, self._nll(fitted, states[u.id], u), strict=True):
                if len(nll):
                    nlls[ms][u.id], gains[ms][u.id] = nll, self.twin_nll[f"{u.id}:{ms}"] - nll
        return nlls, gains

    def _columns(self, name: str, gains: PerFrame) -> list[Score | Skipped]:
        return [scored(f"{name}_{ms}ms", _means(by_id), self.test, self.horizons[ms]) for ms, by_id in gains.items()]

    def _robust_columns(self, nlls: PerFrame, gains: PerFrame) -> list[Score | Skipped]:
        """Median gain and share of catastrophic frames, by utterance; everything else pooled, as a note."""
        out: list[Score | Skipped] = []
        worst = float(self.context.parameters["catastrophic_nats_per_dim"]) * self.targets.dim
        pooled: dict[str, robust.Summary] = {}
        units: dict[str, dict[str, float]] = {}
        for ms, by_id in gains.items():
            if not by_id:
                out += [Skipped("every utterance is too short", f"{n}_{ms}ms") for n in ("gain_median", "catastrophic")]
                continue
            medians = {i: float(gain.median()) for i, gain in by_id.items()}
            shares = {i: float((gain < -worst).float().mean()) for i, gain in by_id.items()}
            out.append(scored(f"gain_median_{ms}ms", medians, self.test, self.horizons[ms], weighted=False))
            out.append(scored(f"catastrophic_{ms}ms", shares, self.test, self.horizons[ms]))
            gain, nll = torch.cat(list(by_id.values())), torch.cat(list(nlls[ms].values()))
            pooled[f"gain_{ms}ms"] = robust.summary(gain.numpy(), -worst, bad="low")
            pooled[f"nll_{ms}ms"] = robust.summary(nll.numpy(), float(nll.median()) + worst, bad="high")
            rate = self.context.codec.info.frame_rate
            units[f"gain_{ms}ms"] = robust.rates(float(gain.double().mean()), self.targets.dim, rate)
        self.context.note("pooled_nats", pooled)
        self.context.note("units", units)
        return out

    def _note_half(self, full: PerFrame, half: PerFrame) -> None:
        """Is the probe starved of data? The gain with half the training frames, and whether it is outside."""
        speakers = {u.id: u.speaker for u in self.test}
        rows = {}
        for ms, by_id in full.items():
            if not by_id:
                continue
            frames = {i: float(len(gain)) for i, gain in by_id.items()}
            every = interval(_means(by_id), speakers, frames)
            value = interval(_means(half[ms]), speakers, frames).value
            starved = not every.low <= value <= every.high
            rows[f"{ms}ms"] = {"all": every.value, "half": value, "outside_interval": starved}
        self.context.note("half_data_nats", rows)


def _means(by_id: Mapping[str, Tensor]) -> Values:
    return {i: float(values.double().mean()) for i, values in by_id.items()}
