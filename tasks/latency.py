"""How long generation takes on the machine at hand, and what memory: for one prompt and for a batch.

Milliseconds on the wall clock with as many threads as the process has, medians after a warm-up. Not scored: another
machine gives other times, and what else runs on this one slows it. Memory is the most that is held at once beyond the
weights and the prompt, in MB of 10⁶ bytes, of one run each (`tasks.peak_memory` says what is seen on which device).
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from bench.contract import RowContext
from tasks.generation_modes import Plan
from tasks.peak_memory import peak_mb

BATCH = 16


@torch.no_grad()
def latency(submission: Any, plan: Plan, context: RowContext, repeats: int) -> dict[str, Any]:
    """Times and peak memory of one prompt and of several side by side.

    Returns:
        `first_frame_ms`, from a prompt to its first frame; `frame_ms`, for each frame after it; `batch_frame_ms`, the
        same of one of `batch` prompts; `real_time_factor` of one prompt with the codec's decoder; `peak_memory_mb`
        of a rollout of one prompt, `batch_peak_memory_mb` of one of `batch`; `threads`, `device`, `repeats`.
    """
    x = torch.stack([u.x[: plan.prompt] for u in plan.latents[:BATCH]]).to(context.device)
    frame_s = 1.0 / context.codec.info.frame_rate

    def took(prompts: torch.Tensor, frames: int, decode: bool = False) -> float:
        times = []
        for _ in range(repeats + 1):
            _wait(context.device)
            start = time.perf_counter()
            made = submission.rollout(prompts, frames, 1, context.generator("latency"))
            if decode:
                context.codec.decode(made[:, 0])
            _wait(context.device)
            times.append(time.perf_counter() - start)
        return statistics.median(times[1:])

    def memory(prompts: torch.Tensor) -> float:
        generator = context.generator("latency")
        return peak_mb(lambda: submission.rollout(prompts, plan.ahead, 1, generator), context.device)

    first, whole = took(x[:1], 1), took(x[:1], plan.ahead)
    many_first, many = took(x, 1), took(x, plan.ahead)
    heard = took(x[:1], plan.ahead, decode=True)
    rest = plan.ahead - 1
    return {
        "first_frame_ms": 1e3 * first,
        "frame_ms": 1e3 * (whole - first) / rest,
        "batch_frame_ms": 1e3 * (many - many_first) / rest / len(x),
        "batch": len(x),
        "real_time_factor": heard / (plan.ahead * frame_s),
        "peak_memory_mb": memory(x[:1]),
        "batch_peak_memory_mb": memory(x),
        "threads": torch.get_num_threads(),
        "device": str(context.device),
        "repeats": repeats,
    }


def _wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
