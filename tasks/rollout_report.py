"""Settings of `rollout_gap`, and its columns and notes from what its rollouts gave; see there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from bench.contract import Context, Score, Skipped
from bench.metrics import drift, robust
from bench.stats import interval

Rows = Mapping[str, dict[str, Tensor]]
"""Utterance id → what `tasks.rollout_gap` measures, over its anchors (A, …)."""

Curves = dict[str, list[dict[str, float]]]
"""Name → a point for every frame: `ms`, `value`, `low`, `high`."""


@dataclass(frozen=True)
class Config:
    """`first`, `every`: anchors, in frames. `draws` samples for each of `seeds` generators."""

    first: Annotated[int, Field(ge=1)] = 8
    every: Annotated[int, Field(ge=1)] = 8
    seeds: Annotated[int, Field(ge=1)] = 4
    draws: Annotated[int, Field(ge=1)] = 2
    catastrophic_nats_per_dim: float = 1.0
    skill_level: Annotated[float, Field(ge=0, lt=1)] = 0.05
    false_alarms: Annotated[float, Field(gt=0, lt=0.5)] = 0.01


@dataclass(frozen=True)
class Report:
    """Columns and notes from what was measured."""

    context: Context
    config: Config
    rows: Rows
    unscored: dict[str, str]
    speakers: dict[str, str]
    steps: dict[int, int]
    ms_of: list[float]

    def columns(self, submission: Any) -> list[Score | Skipped]:
        floor = getattr(submission, "rollout_floor", None)
        joint = getattr(submission, "likelihood", "") == "joint bound"
        self.context.note("likelihood", getattr(submission, "likelihood", ""))
        self._note_gaps()
        out = self._gaps() + self._excess(floor) + self._movement()
        skill = any("energy" in row for row in self.rows.values())
        curves = self._note_curves(floor, skill)
        reason = "its bound holds for whole utterances, not for one frame after a rollout"
        out.append(Skipped(reason, "first_divergence") if joint else self._divergence(curves["margin"][0]))
        out.append(self._horizon() if skill else Skipped("needs two samples", "predictive_horizon"))
        if skill:
            out.append(self._score("self_floor", _mean_at("self_floor", -1)))
        else:
            out.append(Skipped("needs two samples", "self_floor"))
        out.append(self._score("collapsed", lambda row: float(row["flags_sampled"].any(-1).float().mean())))
        shares = {}
        for kind in ("sampled", "mean", "real"):
            flags = torch.cat([row[f"flags_{kind}"].reshape(-1, 3) for row in self.rows.values()])
            each = dict(zip(drift.COLLAPSES, flags.float().mean(0).tolist(), strict=True))
            shares[kind] = {**each, "any": float(flags.any(-1).float().mean())}
        self.context.note("collapse", {"false_alarms_each": self.config.false_alarms, **shares})
        return out

    def _score(self, column: str, value: Callable[[dict[str, Tensor]], float]) -> Score:
        """A mean over anchors, utterances weighted by how many they have."""
        anchors_of = {i: float(len(row["margin"])) for i, row in self.rows.items()}
        return Score(column, {i: value(row) for i, row in self.rows.items()}, anchors_of, self.unscored)

    def _gaps(self) -> list[Score | Skipped]:
        out: list[Score | Skipped] = []
        for kind, (ms, k) in itertools.product(("sampled", "mean"), self.steps.items()):
            out.append(self._score(f"gap_{kind}_{ms}ms", _mean_at(f"gap_{kind}", k - 1)))
        threshold = self.config.catastrophic_nats_per_dim * self.context.codec.info.dim
        medians = {i: float(np.median(row["gap_sampled"][..., -1].numpy())) for i, row in self.rows.items()}
        out.append(Score("gap_median", medians, None, self.unscored))
        beyond = lambda row: float((row["gap_sampled"][..., -1] > threshold).float().mean())  # noqa: E731
        return [*out, self._score("catastrophic", beyond)]

    def _excess(self, floor: Callable[[int, bool], float] | None) -> list[Score | Skipped]:
        furthest = max(self.steps)
        column = f"excess_{furthest}ms"
        if floor is None:
            return [Skipped("the oracle floor is known on calibration processes alone", column)]
        gap, least = _mean_at("gap_sampled", -1), floor(self.steps[furthest], False)
        return [self._score(column, lambda row: gap(row) - least)]

    def _movement(self) -> list[Score | Skipped]:
        out: list[Score | Skipped] = []
        for name in ("movement_sampled", "movement_mean"):
            sums = {i: row[name].sum(0) for i, row in self.rows.items()}
            ratio = {i: float(s[0] / s[1]) for i, s in sums.items()}
            out.append(Score(name, ratio, {i: float(s[1]) for i, s in sums.items()}, self.unscored))
        return out

    def _divergence(self, at_first: Mapping[str, float]) -> Score | Skipped:
        if at_first["low"] <= 0:
            return Skipped("no gain over the marginal at the first frame: nothing to diverge from", "first_divergence")
        return self._crossing("first_divergence", lambda row: row["margin"].mean(0))

    def _horizon(self) -> Score | Skipped:
        keep = 1 - self.config.skill_level
        return self._crossing(
            "predictive_horizon", lambda row: (keep * row["energy"][..., 1] - row["energy"][..., 0]).mean(0)
        )

    def _crossing(self, column: str, curve: Callable[[dict[str, Tensor]], Tensor]) -> Score | Skipped:
        weights = {i: float(len(row["margin"])) for i, row in self.rows.items()}
        curves = np.stack([curve(row).double().numpy() for row in self.rows.values()])
        found = drift.crossing(curves, np.array(list(weights.values())))
        if found is None:
            return Skipped(f"not reached within {self.ms_of[-1]:g} ms", column)
        frame_ms = self.ms_of[1] - self.ms_of[0]
        # position 1 is the first frame; a codec's look-ahead comes off, as in `ms_of`
        shift = self.ms_of[0] - frame_ms if found.position > 0 else 0.0
        values = {i: shift + frame_ms * float(v) for i, v in zip(self.rows, found.values, strict=True)}
        return Score(column, values, weights, self.unscored)

    # --- notes ---------------------------------------------------------------------------------------------

    def _note_gaps(self) -> None:
        """Pooled summaries, and how far apart the seeds are."""
        threshold = self.config.catastrophic_nats_per_dim * self.context.codec.info.dim
        pooled, seeds = {}, {}
        for kind in ("sampled", "mean"):
            every = torch.cat([row[f"gap_{kind}"] for row in self.rows.values()]).double()
            for ms, k in self.steps.items():
                pooled[f"gap_{kind}_{ms}ms"] = robust.summary(every[..., k - 1].numpy(), threshold, bad="high")
                if kind == "sampled":
                    by_seed = every[..., k - 1].unflatten(1, (self.config.seeds, -1)).mean((0, 2))
                    spread = float(by_seed.std()) if self.config.seeds > 1 else None
                    seeds[f"{ms}ms"] = {"values": by_seed.tolist(), "sd": spread}
        self.context.note("pooled_nats", pooled)
        self.context.note("seeds_nats", seeds)

    def _note_curves(self, floor: Callable[[int, bool], float] | None, skill: bool) -> Curves:
        """Every frame with its interval, and gaps below zero: a rolled-out prefix cannot inform better than the
        true one, so that an interval below zero says that the model or the harness is wrong."""
        weights = {i: float(len(row["margin"])) for i, row in self.rows.items()}
        curves: Curves = {}
        for name in ("gap_sampled", "gap_mean", "margin", *(["self_floor"] if skill else [])):
            by_id = {i: row[name].reshape(-1, len(self.ms_of)).mean(0) for i, row in self.rows.items()}
            curves[name] = self._curve(by_id, [weights] * len(self.ms_of))
        if skill:
            sums = {i: row["energy"].sum(0) for i, row in self.rows.items()}
            ratio = {i: 1 - s[:, 0] / s[:, 1] for i, s in sums.items()}
            each = [{i: float(s[k, 1]) for i, s in sums.items()} for k in range(len(self.ms_of))]
            curves["es_skill"] = self._curve(ratio, each)
        impossible = [
            {"what": name, **point}
            for name in ("gap_sampled", "gap_mean")
            for point in curves[name][1:]
            if point["high"] < 0
        ]
        if floor is not None:
            for name, mean in (("gap_sampled", False), ("gap_mean", True)):
                for k, point in enumerate(curves[name], 1):
                    point["floor"] = floor(k, mean)
        self.context.note("curves", curves)
        self.context.note("impossible", impossible)
        return curves

    def _curve(self, by_id: Mapping[str, Tensor], weights: Sequence[dict[str, float]]) -> list[dict[str, float]]:
        out = []
        for k, ms in enumerate(self.ms_of):
            values = {i: float(v[k]) for i, v in by_id.items()}
            found = interval(values, self.speakers, weights[k], replicates=500)
            out.append({"ms": ms, **{n: round(float(getattr(found, n)), 5) for n in ("value", "low", "high")}})
        return out


def _mean_at(name: str, index: int) -> Callable[[dict[str, Tensor]], float]:
    """Mean of one measurement over anchors and draws, at one frame."""
    return lambda row: float(row[name][..., index].mean())
