"""A model whose knob buys quality at a known cost: FLOPs by part, crossing, and what is not reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.contract import Score, Skipped
from tasks.cost_at_quality import PARTS, CostAtQuality, settings_of
from tests.tasks.test_generation import HOP, Framing, RowLab, Truth, lab

__all__ = ["lab"]
pytest.importorskip("onnxruntime", reason="onnxruntime is an extra: pip install 'latentbench[quality]'")

WIDTH = 64
SETTINGS: dict[str, Any] = {"utterances": 6, "prompt_s": 1.2, "continue_s": 1.04, "timed": 1}
FRAME_RATE = 12.5


class Steps(Truth):
    """The truth with noise that falls with the steps of its head, each a matrix product, after one of its backbone."""

    def __init__(self, latents: Any, steps: int = 1, broken: bool = False, free: bool = False) -> None:
        super().__init__(latents)
        self.steps, self.broken, self.free = steps, broken, free
        self.backbone, self.head = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)

    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        x = super().rollout(prompt, frames, draws, generator)
        for _ in range(0 if self.free else frames):
            z = self.backbone(torch.zeros(len(prompt), WIDTH))
            for _ in range(self.steps):
                z = self.head(z)
        noise = 1e-2 * 0.03**self.steps * torch.randn(x.shape, generator=generator)
        return torch.zeros_like(x) if self.broken else x + noise


class Knobbed(RowLab):
    """A row's context with a knob."""

    def __init__(self, given: RowLab, knobs: Mapping[str, Any], **parameters: Any) -> None:
        super().__init__(given.dataset, given._splits, SETTINGS | parameters)
        self.parameters = CostAtQuality.card.parameters | SETTINGS | parameters
        self.knobs = dict(knobs)
        # what was heard of the recordings, the codec and the floor is the same for all
        self.memory = {name: made for name, made in given.memory.items() if not name.startswith("outputs")}
        self.given = given

    def _remembered(self, what: str, key: Any, make: Callable[[], Any]) -> Any:
        made = super()._remembered(what, key, make)
        self.given.memory[f"{what} {key}"] = made
        return made

    def variant(self, settings: Mapping[str, Any]) -> Steps:
        return Steps(self.latents("test"), settings["steps"])

    def parts(self, submission: Steps) -> dict[str, list[nn.Module]]:
        return {"backbone": [submission.backbone], "head": [submission.head]}


def scored(context: Knobbed, submission: Any) -> tuple[dict[str, Score], dict[str, str]]:
    found = CostAtQuality().score(submission, context)
    assert {s.column for s in found} == {c.name for c in CostAtQuality.card.columns}
    scores = {s.column: s for s in found if isinstance(s, Score)}
    return scores, {str(s.column): s.reason for s in found if isinstance(s, Skipped)}


def mean(score: Score) -> float:
    return sum(score.values.values()) / len(score.values)


def product(steps: int) -> float:
    """GFLOP a second: two FLOPs for each weight of a product, 12.5 frames a second."""
    return 2 * WIDTH**2 * (1 + steps) * FRAME_RATE / 1e9


def test_costs_are_those_of_the_products_by_part(lab) -> None:
    context = Knobbed(lab, {})
    scores, _ = scored(context, Steps(lab.latents("test"), 3))
    assert mean(scores["gflops"]) == pytest.approx(product(3))
    assert mean(scores["gflops_backbone"]) == pytest.approx(product(0))
    assert mean(scores["gflops_head"]) == pytest.approx(product(3) - product(0))
    assert mean(scores["gflops_z_rec"]) == mean(scores["gflops_other"]) == mean(scores["gflops_codec"]) == 0.0
    assert sum(mean(scores[f"gflops_{part}"]) for part in PARTS) == pytest.approx(product(3))
    # one frame of each prompt, its backbone and head
    assert context.notes["prompt_gflops"] == pytest.approx(product(3) / FRAME_RATE)
    assert context.notes["latency"]["frame_ms"] > 0 and context.notes["latency"]["threads"] >= 1
    assert context.notes["latency"]["batch_peak_memory_mb"] > context.notes["latency"]["peak_memory_mb"] > 0


def test_the_sweep_finds_the_least_cost_and_where_it_lies(lab) -> None:
    context = Knobbed(lab, {"steps": (1, 2, 4)})
    scores, skipped = scored(context, Steps(lab.latents("test"), 1))
    points = context.notes["points"]
    assert [p["settings"] for p in points] == ["", "steps = 1", "steps = 2", "steps = 4"]
    assert [p["gflops"] for p in points] == pytest.approx([product(n) for n in (1, 1, 2, 4)])
    quality = [p["quality"] for p in points]
    assert quality[1] > quality[2] > quality[3], "less noise, less distance"
    assert not skipped and product(1) < mean(scores["cost_at_quality"]) <= product(4)
    assert mean(scores["share_reached"]) > 0.9


def test_a_target_out_of_reach_is_said_to_be(lab) -> None:
    scores, skipped = scored(Knobbed(lab, {"steps": (1,)}), Steps(lab.latents("test"), 1))
    assert "cost_at_quality" not in scores and mean(scores["share_reached"]) < 0.9
    assert skipped["cost_at_quality"].startswith("not reached: ")


def test_what_costs_nothing_that_counts_has_a_quality_and_no_cost_at_it(lab) -> None:
    """As the floors, which draw frames and multiply nothing."""
    scores, skipped = scored(Knobbed(lab, {}), Steps(lab.latents("test"), 4, free=True))
    assert mean(scores["gflops"]) == 0.0 and mean(scores["share_reached"]) > 0.9
    assert skipped == {"cost_at_quality": "its decode has no FLOPs that count"}


def test_silence_has_a_cost_and_no_quality(lab) -> None:
    scores, skipped = scored(Knobbed(lab, {}), Steps(lab.latents("test"), 1, broken=True))
    assert mean(scores["gflops"]) == pytest.approx(product(1))
    assert skipped == dict.fromkeys(("cost_at_quality", "share_reached"), "no utterance has a kad at every setting")


def test_many_settings_are_thinned_evenly() -> None:
    knobs = {"a": tuple(range(10)), "b": (0.5, 1.0)}
    found = list(settings_of(knobs, 5))
    assert len(found) == 5 and found[0] == {} and found[1] == {"a": 0, "b": 0.5} and found[-1] == {"a": 9, "b": 1.0}
    assert len(list(settings_of({}, 5))) == 1


def test_a_codec_that_is_no_better_than_its_frames_in_any_order_has_no_target(lab) -> None:
    class Deaf(Framing):
        def decode(self, latents: Tensor) -> Tensor:
            noise = torch.randn(latents.shape[1] * HOP, generator=torch.Generator().manual_seed(0))
            return 0.1 * noise.expand(len(latents), 1, -1)

    context = Knobbed(lab, {})
    context.codec, context.memory, context.given = Deaf(), {}, context
    scores, skipped = scored(context, Steps(lab.latents("test")))
    assert set(skipped) == {"cost_at_quality", "share_reached"} and "gflops" in scores
    assert "no better than the floor" in skipped["cost_at_quality"]
