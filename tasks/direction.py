"""Is the direction or the magnitude of Δ = x_{t+k} − x_t predictable from the exposed state z_≤t?

Units. Each dimension of Δ is divided by its own standard deviation over the training frames, at each horizon. A
direction needs a unit for every dimension: in raw units the loudest dimension decides it, in whitened ones the
thinnest directions of the covariance do, which hold noise; and Δ has a variance where x, if it wanders, has none.

For every horizon, of frames with ‖Δ‖ above `still` times its training median (silence repeats frames; the rest is
left out and counted in the notes), by the probe of `tasks/probes/polar.py`, positive or high = predictable:

* `direction_gain`, `magnitude_gain`: NLL[null-context twin] − NLL[probe], nats per frame, of u = Δ/‖Δ‖ and ln ‖Δ‖;
  `polar_gain` is their sum. The Jacobian m^{−d} of polar coordinates cancels in it only because the twin is polar too;
* `direction_cosine`: mean cosine of u and the direction of its predicted mean; `magnitude_r2`: of ln ‖Δ‖;
* `subspace_r2`: R² of a linear prediction of Δ from a window of states, in its `subspace` leading principal directions.

None of these is 0 for noise: x_t is known, and Δ contains it. For white x the cosine tends to 1/√2 with d. The columns
`…_null` hold the same at the first horizon on frames permuted over each split, where Δ has one law at every
horizon; above them is what the order of frames adds. A *smoother* latent falls below them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.config import TaskCard, parameters, task_card
from bench.contract import Context, LatentUtterance, Score, Skipped, Split, Submission
from bench.errors import DataError
from bench.metrics.gaussian import LinearGaussian
from tasks.columns import filled
from tasks.horizons import frames_ahead
from tasks.probes.polar import Inputs, PolarConfig, PolarDensity, Rows, fit_polar, note
from tasks.states import exposed, permuted
from tasks.targets import SPLITS, targets

MEASURES = ("direction_gain", "magnitude_gain", "polar_gain", "direction_cosine", "magnitude_r2", "subspace_r2")
LEAST_DIM = 2

Data = Mapping[Split, Sequence[LatentUtterance]]
States = Mapping[Split, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Setting:
    """Of one horizon: what the training frames decide.

    Attributes:
        k: frames ahead.
        scale: standard deviations of Δ (d,).
        least: smallest ‖Δ‖ in these units that has a direction.
    """

    k: int
    scale: Tensor
    least: float


class Direction:
    """Task plug-in `direction`."""

    card: ClassVar[TaskCard] = task_card(__file__)

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """See the module; needs `represent`.

        Raises:
            DataError: latents that have no density, fewer than two dimensions, or no utterance long enough.
        """
        self.context, given = context, context.parameters
        self.config = parameters(PolarConfig, given["probe"], "direction")
        self.horizons = {ms: frames_ahead(ms, context.codec.info) for ms in self.card.horizons_ms}
        found = targets(context, float(given["dither"]), self.config.window + max(self.horizons.values()))
        if found.dim < LEAST_DIM:
            raise DataError(f"{context.codec.info.name}: expected latents of at least 2 dimensions, got {found.dim}")
        context.note("flags", found.flags)
        self.notes: dict[str, Any] = {}
        states: States = {s: exposed(submission, context, context.latents(s), f"states of {s}") for s in SPLITS}
        out: list[Score | Skipped] = []
        for ms, k in self.horizons.items():
            out += self._measured(found.splits, states, k, f"_{ms}ms", cached=True)
        if given["null"]:
            out += self._measured(*self._permuted(submission, found.splits), min(self.horizons.values()), "_null")
        else:
            reason = "the suite's budget leaves the null out"
            out += [Skipped(reason, f"{measure}_null") for measure in MEASURES]
        context.note("fits", self.notes)
        return out

    def _permuted(self, submission: Submission, data: Data) -> tuple[Data, States]:
        """Targets on permuted frames, and what the submission exposes on the same frames."""
        frames: dict[Split, Sequence[LatentUtterance]] = {}
        states: dict[Split, Mapping[str, Tensor]] = {}
        for split in SPLITS:
            latents, frames[split] = (
                permuted(us, self.context.generator("permuted", split))
                for us in (self.context.latents(split), data[split])
            )
            states[split] = exposed(submission, self.context, latents, f"null states of {split}", "null")
        return frames, states

    def _measured(self, data: Data, states: States, k: int, suffix: str, cached: bool = False) -> list[Score | Skipped]:
        """All columns of one horizon; the twin knows nothing of the submission, and is shared where `cached`."""
        setting = self._setting(data["train"], k)
        inputs = Inputs(states["train"], self.config.window)
        stride = -(-sum(len(u.x) for u in data["train"]) // int(self.context.parameters["train_frames"]))
        rows: dict[Split, dict[str, Rows]] = {}
        left_out: dict[str, int] = {}
        for split in SPLITS:
            pairs = {u.id: self._rows(u, states[split][u.id], inputs, setting) for u in data[split]}
            rows[split] = {i: one[0] for i, one in pairs.items()}
            left_out[split] = sum(one[1] for one in pairs.values())
        train, valid = _joined(rows["train"], stride), _joined(rows["valid"])
        if not len(train) or not len(valid):
            raise DataError(f"{self.context.codec.info.name}: no frame moves {k} frames ahead: Δ has no direction")
        probe, report = self._fit(train, valid, f"direction probe{suffix}")
        self.notes[suffix[1:]] = {**note(probe, report), "still_frames": left_out, "window": inputs.window}
        twin = self._twin(train, valid, rows["test"], suffix, cached, inputs.window)
        values = self._values(probe, twin, rows["test"])
        values["subspace_r2"] = self._subspace(train, rows["test"], inputs.states, setting)
        return [self._column(f"{m}{suffix}", values[m], data["test"], rows["test"]) for m in MEASURES]

    def _setting(self, train: Sequence[LatentUtterance], k: int) -> Setting:
        delta = torch.cat([u.x[k:] - u.x[:-k] for u in train])
        scale = delta.std(0).clamp(min=1e-12)
        typical = float((delta / scale).norm(dim=1).median())
        return Setting(k, scale, float(self.context.parameters["still"]) * typical)

    def _rows(self, u: LatentUtterance, z: Tensor, inputs: Inputs, at: Setting) -> tuple[Rows, int]:
        """Every t with a full window and a target that moved, and how many did not move."""
        delta = (u.x[at.k :] - u.x[: -at.k]) / at.scale
        # the widest window of any state, so that every submission is scored on the same frames
        delta = delta[self.config.window - 1 :]
        c = inputs(z)[self.config.window - inputs.window :][: len(delta)]
        m = delta.norm(dim=1)
        moves = m > at.least
        return Rows(c[moves], delta[moves] / m[moves, None], m[moves].log()), int((~moves).sum())

    def _fit(self, train: Rows, valid: Rows, what: str) -> tuple[PolarDensity, Any]:
        seed = self.context.generator(what).initial_seed() % 2**31
        return fit_polar(train, valid, self.config, seed, self.context.device, self.context.progress, f"fit {what}")

    @torch.no_grad()
    def _twin(
        self, train: Rows, valid: Rows, test: Mapping[str, Rows], suffix: str, cached: bool, window: int
    ) -> dict[str, Tensor]:
        """Test utterance → log-densities (n, 2) by the null-context twin."""

        def make() -> dict[str, Tensor]:
            with torch.enable_grad():
                twin, _ = self._fit(train.blind(), valid.blind(), f"direction twin{suffix}")
            return {i: torch.stack(twin.log_prob(rows.blind()), 1) for i, rows in test.items()}

        if not cached:
            return make()
        key = {"what": "direction twin", "horizon": suffix, **self.context.parameters}
        return self.context.cached_tensors(key, make)

    @torch.no_grad()
    def _values(
        self, probe: PolarDensity, twin: Mapping[str, Tensor], test: Mapping[str, Rows]
    ) -> dict[str, dict[str, float]]:
        """Measure → utterance → value, for utterances with frames."""
        out: dict[str, dict[str, float]] = {measure: {} for measure in MEASURES}
        squares: dict[str, float] = {}
        for i, rows in test.items():
            if not len(rows):
                continue
            gains = (torch.stack(probe.log_prob(rows), 1) - twin[i]).mean(0)
            u, log_m = probe.mean(rows.c)
            out["direction_gain"][i], out["magnitude_gain"][i] = float(gains[0]), float(gains[1])
            out["polar_gain"][i] = float(gains.sum())
            out["direction_cosine"][i] = float((u * rows.u).sum(1).mean())
            squares[i] = float((rows.log_m - log_m).square().mean())
        if squares:
            every = torch.cat([rows.log_m for rows in test.values()])
            total = float((every - probe.m_shift).square().mean())
            out["magnitude_r2"] = {i: 1 - s / total for i, s in squares.items()}
        return out

    def _subspace(self, train: Rows, test: Mapping[str, Rows], states: int, at: Setting) -> dict[str, float]:
        """R² by utterance, whose mean over frames is the pooled one: 1 − mean square error over pooled variance."""
        delta = _delta(train)
        keep = min(int(self.context.parameters["subspace"]), delta.shape[1])
        axes = torch.linalg.eigh(torch.cov(delta.T)).eigenvectors[:, -keep:]
        linear = LinearGaussian(train.c[:, :states], delta @ axes, ridge=1e-4)
        shown = {i: _delta(rows) @ axes for i, rows in test.items() if len(rows)}
        if not shown:
            return {}
        total = (torch.cat(list(shown.values())) - linear.y_mean).square().sum(1).mean()
        out = {}
        for i, y in shown.items():
            c = (test[i].c[:, :states].double() - linear.c_mean) / linear.c_scale
            out[i] = 1 - float((y - linear.y_mean - c @ linear.weights).square().sum(1).mean() / total)
        return out

    def _column(
        self, column: str, values: Mapping[str, float], test: Sequence[LatentUtterance], rows: Mapping[str, Rows]
    ) -> Score | Skipped:
        weights = {i: float(len(rows[i])) for i in values}
        unscored = {u.id: f"{len(u.x)} frames, none with a target that moved" for u in test if u.id not in values}
        return filled(Score(column, values, weights, unscored))


def _joined(rows: Mapping[str, Rows], stride: int = 1) -> Rows:
    """Utterances side by side, every `stride`-th row of each."""
    parts = [(r.c[::stride], r.u[::stride], r.log_m[::stride]) for r in rows.values()]
    return Rows(*(torch.cat(list(part)) for part in zip(*parts, strict=True)))


def _delta(rows: Rows) -> Tensor:
    """Δ in units of its scale, float64."""
    return rows.u.double() * rows.log_m.double().exp()[:, None]
