"""What a calibration process is: a latent source that can be sampled and whose answers are known.

Conventions: natural logarithms; nats per frame summed over dimensions unless a metric's name says otherwise;
gains are NLL[marginal] − NLL[conditional], positive for predictable. `k` counts frames ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from bench.contract import LatentUtterance, Split
from bench.seeding import generator

Truths = Mapping[str, Callable[..., float]]
"""Metric → function of its keyword arguments (a horizon `k`, a number of cells, …)."""


class Process(Protocol):
    """A latent source.

    Attributes:
        name: "F0" … "F9", with a letter where there are several.
        dim: D of its latents.
    """

    name: str
    dim: int

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """Independent stationary sequences (n, frames, D), float32; every random number from `generator`."""
        ...

    def truth(self, metric: str, **at: float) -> float:
        """The true value of `metric`, in closed form or numerically exact, never from `sample`.

        Raises:
            KeyError: the process has no such metric; names those that it has.
        """
        ...


def looked_up(name: str, truths: Truths, metric: str, **at: float) -> float:
    """`truths[metric](**at)`, with an error that says what there is."""
    if metric not in truths:
        raise KeyError(f"{name}: no truth for {metric!r}; there are: {', '.join(sorted(truths))}")
    return float(truths[metric](**at))


def utterances(
    process: Process, n: int, frames: int, seed: int, split: Split = "test", speakers: int = 2
) -> list[LatentUtterance]:
    """`n` sequences as utterances, speakers taking turns.

    Args:
        seed: with `split` it decides every number; two splits of one seed are independent.
    """
    x = process.sample(n, frames, generator(seed, process.name, split))
    return [LatentUtterance(f"{split}-{i:05d}", f"speaker{i % speakers:03d}", one) for i, one in enumerate(x)]


def splits(
    process: Process, train: int, valid: int, test: int, frames: int, seed: int, speakers: int = 2
) -> dict[Split, list[LatentUtterance]]:
    """All three splits of a process."""
    counts: dict[Split, int] = {"train": train, "valid": valid, "test": test}
    return {split: utterances(process, n, frames, seed, split, speakers) for split, n in counts.items()}
