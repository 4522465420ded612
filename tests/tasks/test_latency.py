"""Memory of a call whose tensors are known, and of a model that holds a known one while it generates."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from bench.contract import LatentUtterance
from tasks.generation_modes import Plan
from tasks.latency import BATCH, latency
from tasks.peak_memory import peak_mb

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
D, PROMPT, AHEAD = 4, 5, 6
KILO = 250
"""Floats of a kB."""


def held(kilobytes: int) -> Tensor:
    return torch.ones(kilobytes, KILO)


def peak(call: Any) -> float:
    """In kB."""
    return 1e3 * peak_mb(call, CPU)


def test_what_is_alive_at_once_counts_and_what_is_freed_does_not() -> None:
    def one_after_another() -> None:
        for _ in range(3):
            held(40)

    def together() -> list[Tensor]:
        return [held(40) for _ in range(3)]

    def growing() -> Tensor:
        """As a cache does: the old one and the new one, side by side."""
        cache = held(10)
        for _ in range(3):
            cache = torch.cat([cache, cache[:10].clone()])
        return cache

    assert peak(one_after_another) == pytest.approx(40)
    assert peak(together) == pytest.approx(120)
    assert peak(growing) == pytest.approx(30 + 10 + 40)


def test_views_and_changes_in_place_are_nothing_new() -> None:
    before = held(100)

    def call() -> None:
        made = held(7)
        made.add_(1.0).view(-1)[3:].mul_(2.0)
        before.T[2:].unsqueeze(0).add_(1.0)

    assert peak(call) == pytest.approx(7)


def test_what_was_there_before_is_not_counted() -> None:
    layer, x = nn.Linear(KILO, KILO), held(8)
    with torch.no_grad():
        assert peak(lambda: layer(x)) == pytest.approx(8)


def test_what_a_call_gives_is_freed_afterwards() -> None:
    """What outlives the call, and dies later, disturbs nobody."""
    kept: list[Tensor] = []
    assert peak(lambda: kept.append(held(5))) == pytest.approx(5)
    kept.clear()
    assert peak(lambda: held(3)) == pytest.approx(3)


class Holding:
    """Repeats the last frame, with a known tensor in its hands: so many kB for each sequence."""

    def __init__(self, kilobytes: int) -> None:
        self.kilobytes, self.batches = kilobytes, list[int]()

    def rollout(self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator) -> Tensor:
        self.batches.append(len(prompt))
        cache = held(self.kilobytes * len(prompt))
        return prompt[:, None, -1:].expand(-1, draws, frames, -1) + 0.0 * cache.mean()


def measured(submission: Any, repeats: int = 1) -> dict[str, Any]:
    latents = tuple(LatentUtterance(str(i), "", torch.ones(PROMPT + AHEAD, D)) for i in range(BATCH + 2))
    codec = SimpleNamespace(info=SimpleNamespace(frame_rate=12.5), decode=lambda x: x.flatten(1)[:, None])
    context = SimpleNamespace(device=CPU, codec=codec, generator=lambda *_: torch.Generator().manual_seed(0))
    plan = Plan(latents, (), (), (), PROMPT, AHEAD, {})
    return latency(submission, plan, cast(Any, context), repeats)


def test_the_peak_of_one_prompt_and_of_a_batch_is_what_is_held() -> None:
    found = measured(Holding(500))
    frames = AHEAD * D * 4 / 1e6
    assert 0.5 < found["peak_memory_mb"] < 0.5 + 10 * frames
    assert BATCH * 0.5 < found["batch_peak_memory_mb"] < BATCH * (0.5 + 10 * frames)


def test_each_time_is_a_median_of_the_repeats_after_a_warm_up() -> None:
    submission = Holding(1)
    found = measured(submission, repeats=2)
    # first and whole of one, of many, one that is decoded: each with a warm-up; then a run of each for memory
    assert submission.batches == [1] * 6 + [BATCH] * 6 + [1] * 3 + [1, BATCH]
    assert found["batch"] == BATCH and found["repeats"] == 2 and found["device"] == "cpu"
    assert all(found[name] > 0 for name in ("first_frame_ms", "real_time_factor"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_allocator_says_it() -> None:
    """Blocks are of 512 bytes and more."""
    device = torch.device("cuda")
    before = torch.ones(1000, KILO, device=device)
    found = 1e3 * peak_mb(lambda: torch.ones(400, KILO, device=device) + before.mean(), device)
    assert found == pytest.approx(800, rel=0.02)
