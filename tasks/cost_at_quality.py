"""What a second of generated audio costs, and the least that it costs at the suite's quality.

Cost: FLOPs (2 × MACs) of the decode that really runs, cached and batched, per second of audio. It is the difference
between rolling out `ahead` frames and one, so that reading the prompt does not count; that is noted apart, and so is
the codec's decoder. Matrix products, convolutions, attention and recurrences count (`bench.metrics.flops`). The card's
`parts` say which modules are backbone, head and innovation; what they do not name is "other".

Quality: `quality`, a metric of continuations as the task `generation` has it, on the same plan. The target is `share`
of the way from training frames without order, the floor, to the codec's resynthesis, the ceiling: it is the suite's,
and no row moves it. Each card names its knobs of generation (sampler steps, temperature); the fitted model is asked
again under every combination, at most `most` of them, and nothing is fitted again.

* `cost_at_quality`: GFLOP a second of audio at the crossing of the frontier and the target (`tasks.frontier`). A
  target that no point reaches is "not reached", a legal answer and no score.
* `share_reached`: how far the best point comes, 0 at the floor and 1 at the ceiling. The best of several noisy points
  is a little lucky, and intervals hold floor and ceiling fixed: their own sampling error, the same for every row, is in
  neither column.

Latency is measured and noted, not scored: it belongs to the machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from pydantic import Field

from bench.config import TaskCard, parameters, task_card
from bench.contract import Context, RowContext, Score, Skipped, Submission
from bench.errors import BenchError, DataError
from bench.metrics.flops import OTHER, counted
from bench.workers import pool
from tasks.frontier import Point, least_cost
from tasks.generation_hearing import Hearing
from tasks.generation_modes import Plan, plan
from tasks.generation_scores import Heard
from tasks.latency import latency

PARTS = ("backbone", "head", "z_rec", OTHER)
BETTER: dict[str, int] = {"kad": -1, "dnsmos": 1}
"""Metric → whether more of it is better."""
BATCH = 8
GIGA = 1e9


@dataclass(frozen=True)
class Config:
    """`quality` and `share` set the target; `most` bounds the sweep; `timed`: repetitions of each latency, 0 for none.
    The others are those of the task `generation`."""

    utterances: Annotated[int, Field(ge=2)] = 160
    prompt_s: Annotated[float, Field(gt=0)] = 3.0
    continue_s: Annotated[float, Field(gt=0)] = 3.0
    quality: Literal["kad", "dnsmos"] = "kad"
    share: Annotated[float, Field(gt=0, lt=1)] = 0.9
    most: Annotated[int, Field(ge=1)] = 12
    timed: Annotated[int, Field(ge=0)] = 5


class CostAtQuality:
    """Task plug-in `cost_at_quality`."""

    card: ClassVar[TaskCard] = task_card(__file__)

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """Needs `rollout`.

        Raises:
            DataError: no utterance is long enough.
        """
        config = parameters(Config, context.parameters, self.card.name)
        row = cast(RowContext, context)
        chosen = plan(row, config.utterances, config.prompt_s, config.continue_s, 1.0)
        if len(chosen.ids) < 2 or chosen.ahead < 2:
            raise DataError(
                f"cost_at_quality: expected 2 utterances and 2 frames, got {len(chosen.ids)}, {chosen.ahead}"
            )
        with pool() as executor:
            return _Sweep(config, chosen, row, executor).columns(submission)


class _Sweep:
    """Quality and cost of every setting."""

    def __init__(self, config: Config, chosen: Plan, context: RowContext, executor: Executor | None) -> None:
        self.config, self.plan, self.context = config, chosen, context
        self.hearing, self.sign = Hearing(chosen, context, executor=executor), BETTER[config.quality]
        if config.quality in self.hearing.missing:
            raise BenchError(self.hearing.missing[config.quality])
        self.seconds = (chosen.ahead - 1) / context.codec.info.frame_rate

    def columns(self, submission: Any) -> list[Score | Skipped]:
        ids, context = self.plan.ids, self.context
        own, parts, prompt = self._cost(submission)
        context.note("prompt_gflops", prompt)
        if self.config.timed:
            context.note("latency", latency(submission, self.plan, context, self.config.timed))
        out: list[Score | Skipped] = [Score("gflops", dict.fromkeys(ids, own))]
        out += [Score(f"gflops_{name}", dict.fromkeys(ids, parts.get(name, 0.0))) for name in PARTS]
        out.append(Score("gflops_codec", dict.fromkeys(ids, self._codec_cost())))
        return [*out, *self._at_quality(submission, own)]

    def _at_quality(self, submission: Any, own: float) -> list[Score | Skipped]:
        """The columns about the target."""

        def without(reason: str) -> list[Score | Skipped]:
            return [Skipped(reason, name) for name in ("cost_at_quality", "share_reached")]

        floor, ceiling = self._anchors()
        if not self.sign * (ceiling - floor) > 0:
            return without(f"no target: the codec ({ceiling:.3g}) is no better than the floor ({floor:.3g})")
        target = floor + self.config.share * (ceiling - floor)
        points, unscored = self._points(submission, own)
        context = self.context
        context.note("target", {"quality": self.config.quality, "floor": floor, "ceiling": ceiling, "value": target})
        context.note("points", [{"settings": p.label, "gflops": p.cost, "quality": self.sign * p.mean} for p in points])
        if not points:
            return without(f"no utterance has a {self.config.quality} at every setting")
        best = max(points, key=lambda p: p.mean)
        reached = {name: (self.sign * q - floor) / (ceiling - floor) for name, q in best.quality.items()}
        out: list[Score | Skipped] = [Score("share_reached", reached, None, unscored)]
        if not own > 0:
            return [*out, Skipped("its decode has no FLOPs that count", "cost_at_quality")]
        found = least_cost(points, self.sign * target)
        if found is None:
            far = (self.sign * best.mean - floor) / (ceiling - floor)
            name = best.label or "its own settings"
            reason = f"not reached: {name} comes to {far:.2f} of the way, the target is {self.config.share:g}"
            return [*out, Skipped(reason, "cost_at_quality")]
        context.note("crossing", {"between": list(found.between), "bound": found.bound})
        return [*out, Score("cost_at_quality", found.values, None, unscored)]

    # --- quality -------------------------------------------------------------------------------------------

    def _anchors(self) -> tuple[float, float]:
        """Quality of the floor and of the ceiling."""
        means = []
        for route in ("original", "marginal", "codec"):
            waveforms = self.hearing.truth("continuation", cast(Any, route))
            heard = self._heard(f"continuation, {route}", waveforms, route == "original")
            values = self._values(heard)
            means.append(sum(values.values()) / len(values) if values else float("nan"))
        return means[1], means[2]

    def _points(self, submission: Any, own: float) -> tuple[list[Point], dict[str, str]]:
        """All settings over the utterances that have a quality under each, and why the others do not count."""
        measured: list[tuple[str, float, dict[str, float]]] = []
        unscored: dict[str, str] = {}
        for settings in settings_of(self.context.knobs, self.config.most):
            label = ", ".join(f"{name} = {value:g}" for name, value in settings.items())
            model = self.context.variant(settings) if settings else submission
            heard = self._heard(label or "own settings", self.hearing.made("continuation", model, label), False)
            values = self._values(heard)
            unscored |= {
                name: f"{label or 'own settings'}: {one['unscored'].get(self.config.quality, 'not finite')}"
                for name, one in heard.items()
                if name not in values
            }
            measured.append((label, self._cost(model)[0] if settings else own, values))
        ids = [name for name in self.plan.ids if name not in unscored]
        if not ids:
            return [], unscored
        return [
            Point(label, cost, {i: self.sign * values[i] for i in ids}) for label, cost, values in measured
        ], unscored

    def _heard(self, what: str, waveforms: Mapping[str, Any], itself: bool) -> dict[str, Heard]:
        return self.hearing.heard(what, "continuation", waveforms, (self.config.quality,), itself)

    def _values(self, heard: Mapping[str, Heard]) -> dict[str, float]:
        name = self.config.quality
        return {i: one["values"][name] for i, one in heard.items() if name in one["values"]}

    # --- cost ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _cost(self, submission: Any) -> tuple[float, dict[str, float], float]:
        """GFLOP a second of audio, by part, and GFLOP of reading a prompt with the first frame."""
        prompts = torch.stack([u.x[: self.plan.prompt] for u in self.plan.latents[:BATCH]]).to(self.context.device)
        parts = self.context.parts(submission)

        def rolled(frames: int) -> Any:
            generator = self.context.generator("cost")
            return counted(lambda: submission.rollout(prompts, frames, 1, generator), parts)

        short, long = rolled(1), rolled(self.plan.ahead)
        scale = GIGA * self.seconds * len(prompts)
        shares = {
            name: (long.by_part.get(name, 0) - short.by_part.get(name, 0)) / scale
            for name in {*long.by_part, *short.by_part}
        }
        return (long.flops - short.flops) / scale, shares, short.flops / GIGA / len(prompts)

    @torch.no_grad()
    def _codec_cost(self) -> float:
        """GFLOP a second of the codec's decoder, on a second and more at once."""
        x = self.plan.latents[0].x[None].to(self.context.device)
        seconds = x.shape[1] / self.context.codec.info.frame_rate
        return counted(lambda: self.context.codec.decode(x)).flops / GIGA / seconds


def settings_of(knobs: Mapping[str, Sequence[Any]], most: int) -> Iterator[dict[str, Any]]:
    """The card's own settings, {}, and combinations of the knobs' values, evenly taken where there are too many.

    >>> list(settings_of({"a": (1, 2)}, 3))
    [{}, {'a': 1}, {'a': 2}]
    """
    yield {}
    every = [dict(zip(knobs, values, strict=True)) for values in itertools.product(*knobs.values())] if knobs else []
    if len(every) > most - 1:
        every = [every[round(i * (len(every) - 1) / max(1, most - 2))] for i in range(most - 1)]
    yield from every
