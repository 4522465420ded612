"""Cost at quality: products that are counted by hand, a quality that is linear in the logarithm of cost, and intervals
of the crossing that hold the truth as often as they say."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from bench.calibration.check import Check, Measured, aggregated
from bench.calibration.lab import HOP, SAMPLE_RATE
from bench.contract import CodecInfo, LatentUtterance, Score, Skipped, Utterance
from bench.seeding import generator
from tasks import cost_at_quality
from tasks.cost_at_quality import CostAtQuality
from tasks.frontier import Point, least_cost
from tasks.generation_scores import Heard
from tasks.selftests.rows import Framing, Recordings, RowLab, Truth, embedded_corpus, here

DIM, WIDTH = 8, 64
RATE_HZ = SAMPLE_RATE / HOP
UTTERANCES, FRAMES, PROMPT, AHEAD = 6, 20, 10, 8
STEPS = (1, 2, 4, 8, 16)
GIGA = 1e9
SHARE = 0.9
Quality = Literal["kad", "dnsmos"]
ANCHORS: dict[Quality, tuple[float, float]] = {"kad": (100.0, 2.0), "dnsmos": (1.0, 3.5)}
"""Quality of the floor and of the ceiling."""
SAMPLED, SPREAD, REPLICATES = 48, 0.3, 2000


def checks() -> list[Check]:
    products = "products of known sizes"
    return [
        Check("cost_at_quality: costs by part", products, "fast", _costs, (0,)),
        Check("cost_at_quality: least cost", "quality linear in log cost, as planted", "fast", _crossings),
        Check("cost_at_quality: intervals of the crossing", "Gaussian qualities of 48 utterances", "fast", _coverage),
        Check("cost_at_quality: the truth, heard", "recordings of synthspeech", "full", _heard, (0,)),
    ]


# --- what is counted ---------------------------------------------------------------------------------------


class LinearCodec:
    """Its decoder is one product of (D, hop) a frame."""

    info = CodecInfo("linear", SAMPLE_RATE, HOP, DIM)

    def __init__(self) -> None:
        self.layer = nn.Linear(DIM, HOP, bias=False)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, T, D) → (B, 1, T · hop)."""
        return self.layer(latents).flatten(1)[:, None]


class Products:
    """A frame costs one product of its backbone and `steps` of its head, each (width, width), and `read` products of
    (1, t) and (t, width) with the t frames before it, which are no part's."""

    def __init__(self, steps: int = 1, read: int = 0) -> None:
        self.steps, self.read = steps, read
        self.backbone, self.head = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2))
        self.parts: dict[str, list[nn.Module]] = {"backbone": [self.backbone], "head": [self.head]}

    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        del generator, mean
        batch, past = prompt.shape[:2]
        for frame in range(frames):
            z = self.backbone(torch.zeros(batch, WIDTH))
            for _ in range(self.steps):
                z = self.head(z)
            for _ in range(self.read):
                torch.bmm(torch.zeros(batch, 1, past + frame), torch.zeros(batch, past + frame, WIDTH))
        return torch.zeros(batch, draws, frames, prompt.shape[2])


def _product(count: float) -> float:
    """GFLOP a second of `count` products a frame: two FLOPs for each multiply-add."""
    return 2 * count * WIDTH**2 * RATE_HZ / GIGA


class _Planted:
    """In place of `tasks.generation_hearing.Hearing`: what is heard of a waveform is what its maker says, plus what
    differs between utterances and is 0 in the mean."""

    missing: ClassVar[dict[str, str]] = {}

    def __init__(self, plan: Any, context: RowLab, executor: object = None) -> None:
        del executor
        self.ids = plan.ids
        offsets = torch.randn(len(self.ids), generator=context.generator("planted"), dtype=torch.float64)
        self.offsets = (offsets - offsets.mean()).tolist()

    def truth(self, mode: str, route: str) -> Any:
        del mode
        return lambda metric: ANCHORS[metric][0 if route == "marginal" else 1]

    def made(self, mode: str, submission: Any, label: str = "") -> Any:
        del mode, label
        return submission.quality

    def heard(self, what: str, mode: str, made: Any, metrics: Sequence[str], itself: bool = False) -> dict[str, Heard]:
        del what, mode
        (metric,) = metrics
        values = {} if itself else {metric: made(metric)}
        return {
            name: Heard(values={m: v + offset for m, v in values.items()}, weights={}, unscored={}, transcript="",
                        embedding=[])
            for name, offset in zip(self.ids, self.offsets, strict=True)
        }  # fmt: skip


class Linear(Products):
    """Its quality is `first` of the way from floor to ceiling at one step, and `slope` more for each factor e of what
    it costs; `wasted` takes some of it away."""

    def __init__(self, steps: int, first: float, slope: float, wasted: float = 0.0) -> None:
        super().__init__(steps)
        self.first, self.slope, self.wasted = first, slope, wasted

    def quality(self, metric: Quality) -> float:
        floor, ceiling = ANCHORS[metric]
        way = self.first + self.slope * math.log(_product(1 + self.steps) / _product(2)) - self.wasted
        return floor + way * (ceiling - floor)


class _Row(RowLab):
    """Whose variants are other steps, and waste."""

    own: Linear

    def variant(self, settings: Mapping[str, Any]) -> Linear:
        return Linear(settings["steps"], self.own.first, self.own.slope, settings.get("wasted", 0.0))


def _latents(seed: int) -> list[LatentUtterance]:
    rng = generator(seed, "latents")
    return [LatentUtterance(f"{i:02d}", f"{i:02d}", torch.randn(FRAMES, DIM, generator=rng)) for i in range(UTTERANCES)]


def _scored(
    model: Any, quality: Quality = "kad", knobs: Mapping[str, Sequence[Any]] | None = None, seed: int = 0
) -> tuple[dict[str, float], dict[str, str], RowLab]:
    """Column → aggregate, NaN where there is none, column → why there is none, and the row."""
    given = {"utterances": UTTERANCES, "prompt_s": PROMPT / RATE_HZ, "continue_s": AHEAD / RATE_HZ, "timed": 0}
    latents = _latents(seed)
    row = _Row(
        CostAtQuality.card, latents, LinearCodec(), given | {"quality": quality, "share": SHARE, "most": 99},
        Recordings({Utterance(u.id, u.speaker, "test"): np.zeros(0) for u in latents}), knobs, seed,
    )  # fmt: skip
    row.own = model
    with mock.patch.object(cost_at_quality, "Hearing", _Planted):
        found = CostAtQuality().score(model, row)  # type: ignore[arg-type]
    values = defaultdict(lambda: math.nan, {name: value for name, (value, _) in aggregated(found, latents).items()})
    return values, {str(s.column): s.reason for s in found if isinstance(s, Skipped)}, row


def _costs(seed: int) -> Sequence[Measured]:
    """By part, whatever the batch, without the prompt, and with a past that grows."""
    values, _, row = _scored(Linear(3, 0.5, 0.1), seed=seed)
    truths = {"": _product(4), "_backbone": _product(1), "_head": _product(3), "_z_rec": 0.0, "_other": 0.0}
    rows = [Measured(f"gflops{part}", "GFLOP/s", values[f"gflops{part}"], own, 1e-12) for part, own in truths.items()]
    rows += [
        Measured("gflops_codec", "GFLOP/s", values["gflops_codec"], 2 * DIM * HOP * RATE_HZ / GIGA, 1e-12),
        Measured("a prompt and its first frame", "GFLOP", row.notes["prompt_gflops"], _product(4) / RATE_HZ, 1e-12),
    ]
    model = Linear(1, 0.5, 0.1)
    model.read = 2
    values, _, _ = _scored(model, seed=seed)
    # frames P + 1 to P + ahead − 1 of the past, the first frame's reading counted with the prompt
    read = 2 * 2 * WIDTH * sum(range(PROMPT + 1, PROMPT + AHEAD)) / (AHEAD - 1) * RATE_HZ / GIGA
    rows.append(Measured("gflops, reading the whole past", "GFLOP/s", values["gflops"], _product(2) + read, 1e-12))
    return [*rows, Measured("gflops_other, the same", "GFLOP/s", values["gflops_other"], read, 1e-12)]


# --- what it costs to be good ------------------------------------------------------------------------------


def _crossings(seed: int) -> Sequence[Measured]:
    """Between two points, at a bound, out of reach, and without a target."""
    rows = []
    for quality in ANCHORS:
        first, slope = 0.4, 0.25
        values, _, _ = _scored(Linear(1, first, slope), quality, {"steps": STEPS, "wasted": (0.0, 0.05)}, seed)
        truth = _product(2) * math.exp((SHARE - first) / slope)
        best = first + slope * math.log(_product(1 + STEPS[-1]) / _product(2))
        rows += [
            Measured(f"least cost, {quality}", "GFLOP/s", values["cost_at_quality"], truth, 1e-9 * truth),
            Measured(f"share reached, {quality}", "share", values["share_reached"], best, 1e-9),
        ]
        values, _, row = _scored(Linear(1, 0.95, 0.01), quality, {"steps": STEPS}, seed)
        cheapest, crossing = values["cost_at_quality"], row.notes.get("crossing", {})
        rows += [
            Measured(f"least cost where all reach it, {quality}", "GFLOP/s", cheapest, _product(2), 1e-15),
            Measured(f"is a bound, {quality}", "1", float(crossing.get("bound", math.nan)), 1.0, 0.0),
        ]
        values, skipped, _ = _scored(Linear(1, 0.4, 0.1), quality, {"steps": STEPS}, seed)
        best = 0.4 + 0.1 * math.log(_product(1 + STEPS[-1]) / _product(2))
        said = skipped.get("cost_at_quality", "").startswith("not reached: steps = 16")
        rows += [
            Measured(f"said to be not reached, {quality}", "1", float(said), 1.0, 0.0),
            Measured(f"share reached, target out of reach, {quality}", "share", values["share_reached"], best, 1e-9),
        ]
    with mock.patch.dict(ANCHORS, {"kad": ANCHORS["kad"][::-1]}):
        _, skipped, _ = _scored(Linear(1, 0.4, 0.25), "kad", {"steps": STEPS}, seed)
    none = sum("no target" in skipped.get(column, "") for column in ("cost_at_quality", "share_reached"))
    return [*rows, Measured("columns without a target where the codec is no better", "1", float(none), 2.0, 0.0)]


def _coverage(seed: int) -> Sequence[Measured]:
    """Of intervals from the contributions, and the crossing's own median, the target well between two points."""
    rng = np.random.default_rng(seed)
    costs = (1.0, 2.0, 4.0, 8.0)
    truth = 2 * math.sqrt(2)
    level = 0.2 * np.log(costs)
    inside, log_cost = 0, []
    for _ in range(REPLICATES):
        # an utterance is hard or easy at every setting
        noise = SPREAD * (0.6 * rng.normal(size=SAMPLED) + 0.4 * rng.normal(size=(len(costs), SAMPLED)))
        points = [
            Point(f"{c:g}", c, {str(i): float(v) for i, v in enumerate(q + n)})
            for c, q, n in zip(costs, level, noise, strict=True)
        ]
        found = least_cost(points, 0.2 * math.log(truth))
        if found is None:
            continue
        values = np.array(list(found.values.values()))
        error = values.std(ddof=1) / math.sqrt(SAMPLED)
        inside += int(abs(found.cost - truth) <= 1.96 * error)
        log_cost.append(math.log(found.cost))
    share = inside / REPLICATES
    middle = float(np.median(log_cost))
    # of a median of Gaussians
    spread = math.sqrt(math.pi / 2) * float(np.std(log_cost)) / math.sqrt(REPLICATES)
    by_chance = math.sqrt(0.95 * 0.05 / REPLICATES)
    return [
        Measured("crossings within 1.96 standard errors", "share", share, 0.95, 0.02, by_chance),
        Measured("median of the logarithm of least cost", "1", middle, math.log(truth), 0.02, spread),
    ]


# --- heard -------------------------------------------------------------------------------------------------


class Fluent(Truth):
    """The truth, at the cost of one product a frame."""

    def __init__(self, latents: Sequence[LatentUtterance]) -> None:
        super().__init__(latents)
        self.layer = nn.Linear(WIDTH, WIDTH, bias=False)

    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        for _ in range(frames):
            self.layer(torch.zeros(len(prompt), WIDTH))
        return super().rollout(prompt, frames, draws, generator, mean)


def _heard(seed: int) -> Sequence[Measured]:
    """With the kernel distance as it is heard: the truth is all of the way there, at what it costs."""
    corpus = embedded_corpus()
    chosen = list(corpus.utterances("test"))[:6]
    recordings = Recordings({u: corpus.audio(u, SAMPLE_RATE) for u in chosen})
    given = {"utterances": len(chosen), "prompt_s": 1.2, "continue_s": 1.04, "timed": 0}
    latents = recordings.latents()
    row = RowLab(CostAtQuality.card, latents, Framing(), given, recordings, seed=seed)
    with here():
        found = CostAtQuality().score(Fluent(latents), row)  # type: ignore[arg-type]
    values = {s.column: max(s.values.values()) for s in found if isinstance(s, Score)}
    return [
        Measured("share reached by the truth", "share", values["share_reached"], 1.0, 1e-9),
        Measured("its least cost", "GFLOP/s", values["cost_at_quality"], _product(1), 1e-12),
    ]
