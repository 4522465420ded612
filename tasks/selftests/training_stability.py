"""A fit whose spikes were planted, replicates whose losses are stated, divergence on purpose, and a model that needs
noise: what the task says of each is known."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.calibration.check import Check, Measured, aggregated
from bench.calibration.lab import LabCodec, LabContext
from bench.calibration.process import splits
from bench.calibration.var1 import VAR1
from bench.contract import CodecInfo, FitContext, LatentUtterance, TrainingHistory
from bench.errors import Diverged
from bench.seeding import generator
from tasks.training_stability import TrainingStability

STEPS, PLANTED, WINDOW = 600, 12, 31
FIRST = 10.0
"""The validation loss that every toy starts from."""


def checks() -> list[Check]:
    process = VAR1.isotropic(0.95, 4)
    return [
        Check("training_stability: planted spikes", "falling loss, 12 spikes", "fast", _spikes),
        Check("training_stability: spread, divergence", "F1, a = 0.95, 4-d", "fast", lambda s: _refits(process, s)),
        Check("training_stability: noise needed", "F1, a = 0.95, 4-d", "fast", lambda s: _noise(process, s)),
    ]


class Toy:
    """Its validation loss ends at `ends[replicate]`; it rolls out as the process does once its inputs had noise of at
    least `needs`, and as the marginal below that; replicates and noises in `diverges` do not end."""

    def __init__(
        self,
        process: VAR1,
        ends: Sequence[float] = (1.0, 1.0),
        needs: float = 0.0,
        diverges: Sequence[Any] = (),
        replicate: int = 0,
        noise: float | None = None,
    ) -> None:
        self.process, self.ends, self.needs, self.diverges = process, ends, needs, diverges
        self.replicate, self.noise = replicate, noise
        self.oracle = process.oracle()

    def unfitted(self, replicate: int, noise: float | None = None) -> Toy:
        return Toy(self.process, self.ends, self.needs, self.diverges, replicate, noise)

    def fit(self, train: Sequence[LatentUtterance], valid: Sequence[LatentUtterance], context: FitContext) -> None:
        del train, valid, context
        if (self.replicate if self.noise is None else self.noise) in self.diverges:
            raise Diverged("the loss is nan at step 3")

    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, state: Mapping[str, Tensor], codec: CodecInfo, device: torch.device) -> None:
        del state, codec, device

    def history(self) -> TrainingHistory:
        flat = torch.ones(STEPS)
        return TrainingHistory(flat, flat, torch.tensor([1.0, 2.0]), torch.tensor([FIRST, self.ends[self.replicate]]))

    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        if self.noise is not None and self.noise < self.needs:
            return torch.randn(len(prompt), draws, frames, prompt.shape[2], generator=generator)
        return self.oracle.rollout(prompt, frames, draws, generator, mean)


class Spiky:
    """A loss that falls, with spikes; gradient norms of which 2 in 100 are seven times the others."""

    def __init__(self, seed: int) -> None:
        rng = generator(seed, "spiky")
        time = torch.arange(float(STEPS))
        self.loss = 3 * torch.exp(-time / 80) + 2 + 0.1 * torch.rand(STEPS, generator=rng)
        half = WINDOW // 2
        self.at = torch.randperm((STEPS - WINDOW) // 8, generator=rng)[:PLANTED] * 8 + half
        self.loss[self.at] += 1.0
        self.norm = torch.ones(STEPS)
        self.norm[:: STEPS // 12] = 7.0

    def history(self) -> TrainingHistory:
        return TrainingHistory(self.loss, self.norm, torch.arange(4.0), torch.tensor([5.0, 3.0, 1.0, 2.0]))


def _context(process: VAR1, seed: int, **parameters: Any) -> LabContext:
    data = splits(process, train=200, valid=100, test=300, frames=40, seed=seed)
    return LabContext(TrainingStability.card, data, LabCodec(process.dim), parameters, seed)


def _scored(submission: Any, context: LabContext) -> Mapping[str, tuple[float, float]]:
    return aggregated(TrainingStability().score(submission, context), context.latents("test"))


def _spikes(seed: int) -> Sequence[Measured]:
    toy, context = Spiky(seed), _context(VAR1.isotropic(0.5, 1), seed)
    found = _scored(toy, context)
    judged = STEPS - WINDOW + 1
    planted = set((toy.at + 1).tolist())
    return [
        Measured("spikes", "1", found["spikes"][0] * judged, PLANTED, 1e-9),
        Measured("steps told that were planted", "1", len(planted & set(context.notes["spikes"])), PLANTED, 0.0),
        Measured("gradients p99/p50", "1", found["grad_ratio"][0], 7.0, 1e-6),
        Measured("rebound", "share", found["rebound"][0], 0.25, 1e-6),
    ]


def _refits(process: VAR1, seed: int) -> Sequence[Measured]:
    """Losses of replicates are 2 and noise; of five, one diverges, and one of the three noises."""
    ends = (2.0 + torch.randn(5, generator=generator(seed, "ends"))).tolist()
    toy = Toy(process, ends, diverges=(3, 0.3))
    found = _scored(toy, _context(process, seed, replicates=5))
    kept = [min(FIRST, end) for i, end in enumerate(ends) if i != 3]
    spread, gained = statistics.stdev(kept), FIRST - statistics.mean(kept)
    return [
        Measured("seed spread of 4", "own loss", found["seed_spread"][0], spread, 1e-5),
        Measured("the same of the gain", "share", found["spread_share"][0], spread / gained, 1e-5),
        Measured("diverged of 8", "share", found["diverged"][0], 2 / 8, 1e-9),
        Measured("noise needed by a model that needs none", "sd", found["noise_needed"][0], 0.0, 0.0),
    ]


def _noise(process: VAR1, seed: int) -> Sequence[Measured]:
    rows = []
    for needs, truth in ((0.05, 0.1), (0.2, 0.3)):
        found = _scored(Toy(process, needs=needs), _context(process, seed, draws=16))
        skill = process.truth("energy_skill", k=8)
        value, error = found["noise_gain"]
        rows += [
            Measured(f"noise needed, {needs:g}", "sd", found["noise_needed"][0], truth, 1e-9),
            # the reference's 256 frames are shared by all anchors: 1/√256 of its own spread
            Measured(f"what it gains, {needs:g}", "1", value, skill, 0.02, error),
        ]
    return rows
