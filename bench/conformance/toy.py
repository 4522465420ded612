"""What plug-ins are tried on: correlated AR(1) latents, a closed-form model of them, and a dataset of noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.calibration.lab import HOP, LabCodec
from bench.contract import (
    CodecInfo,
    FitContext,
    InnovationRate,
    LatentUtterance,
    Likelihood,
    Source,
    Split,
    TrainingHistory,
    Utterance,
)
from bench.metrics.gaussian import LinearGaussian, log_normal
from bench.seeding import derive_seed, generator

MEMORY = 0.8
"""x_t's correlation with x_{t−1}."""
STAGES, ENTRIES = 3, 8
"""Of the toy codec's residual codebooks."""


def utterances(dim: int, split: Split, count: int, frames: int) -> list[LatentUtterance]:
    """AR(1) latents with a mean, scales of 1 to 3 and correlated dimensions; a third of them are shorter."""
    rng = generator(0, "toy", dim, split)
    mixing = torch.eye(dim) * torch.linspace(1.0, 3.0, dim) + 0.5 * torch.tril(torch.ones(dim, dim), -1)
    x = [torch.randn(count, dim, generator=rng)]
    for _ in range(frames - 1):
        x.append(MEMORY * x[-1] + math.sqrt(1 - MEMORY**2) * torch.randn(count, dim, generator=rng))
    every = torch.stack(x, 1) @ mixing.T + 1.0
    lengths = [frames - frames // 4 if i % 3 == 2 else frames for i in range(count)]
    return [
        LatentUtterance(f"{split}-{i:03d}", f"speaker{i % 2}", one[:n].clone())
        for i, (one, n) in enumerate(zip(every, lengths, strict=True))
    ]


class ToyModel:
    """x_t ~ N(A x_{t−1} + b, diag σ²) by ridge regression, with every capability of the contract."""

    likelihood: ClassVar[Likelihood] = "exact"

    def __init__(self, replicate: int = 0, noise: float = 0.0) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.replicate, self.noise = replicate, noise

    def fit(self, train: Sequence[LatentUtterance], valid: Sequence[LatentUtterance], context: FitContext) -> None:
        rng = generator(context.seed, "toy", self.replicate)
        past, now = torch.cat([u.x[:-1] for u in train]), torch.cat([u.x[1:] for u in train])
        past = past + self.noise * past.std(0) * torch.randn(past.shape, generator=rng)
        fitted = LinearGaussian(past, now)
        step = (fitted.weights / fitted.c_scale[:, None]).float()
        spread = (now - past @ step).std(0)
        bias = (now - past @ step).mean(0)
        self.tensors = {"step": step, "bias": bias, "spread": spread, "mean": now.mean(0), "wide": now.std(0)}
        # there are no steps: an utterance is one
        loss, held_out = (torch.stack([self._nll(u.x) for u in split]) for split in (train, valid))
        self.tensors |= {"history.loss": loss, "history.grad_norm": torch.ones_like(loss)}
        self.tensors |= {"history.valid_step": torch.tensor([float(len(loss))])}
        self.tensors |= {"history.valid_loss": held_out.mean(0, keepdim=True)}

    def state(self) -> dict[str, Tensor]:
        return dict(self.tensors)

    def load_state(self, state: Mapping[str, Tensor], codec: CodecInfo, device: torch.device) -> None:
        del codec
        self.tensors = {name: tensor.to(device) for name, tensor in state.items()}

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        del generator
        return x

    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        del generator
        return log_normal(target, *self._next(context))

    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        x, out, own = prompt[:, None, -1].expand(-1, draws, -1), [], self.tensors
        for _ in range(frames):
            x = x @ own["step"] + own["bias"]
            x = x if mean else x + own["spread"] * torch.randn(x.shape, generator=generator).to(x)
            out.append(x)
        return torch.stack(out, 2)

    def innovation(self, x: Tensor, generator: torch.Generator) -> InnovationRate:
        del generator
        center, spread = self._next(x)
        rate = 0.5 * ((x - center) / spread).square()
        return InnovationRate(rate.sum(-1), x.new_zeros(x.shape[:2]), rate)

    def reconstruct(self, x: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        if source == "posterior":
            return x
        center, spread = self._next(x)
        return center + spread * torch.randn(x.shape, generator=generator).to(x)

    def generate(self, frames: int, draws: int, generator: torch.Generator) -> Tensor:
        own = self.tensors
        first = own["mean"] + own["wide"] * torch.randn(draws, 1, len(own["mean"]), generator=generator).to(own["mean"])
        return self.rollout(first, frames, 1, generator)[:, 0]

    def speak(
        self, texts: Sequence[str], references: Sequence[Tensor], frames: int, generator: torch.Generator
    ) -> list[Tensor]:
        """As many frames as the text has letters, whatever they say."""
        del references
        seeds = torch.randint(2**62, (len(texts),), generator=generator).tolist()
        return [self._said(min(max(len(t), 1), frames), seed) for t, seed in zip(texts, seeds, strict=True)]

    def _said(self, frames: int, seed: int) -> Tensor:
        own = self.tensors
        noise = torch.randn(frames, len(own["mean"]), generator=torch.Generator().manual_seed(seed))
        return own["mean"] + own["wide"] * noise.to(own["mean"])

    def code_log_prob(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Nothing known of the toy codec's codes: all equally likely."""
        del generator
        return x.new_full((*x.shape[:2], STAGES), -math.log(ENTRIES))

    def history(self) -> TrainingHistory:
        return TrainingHistory(**{n: self.tensors[f"history.{n}"] for n in TrainingHistory.__annotations__})

    def unfitted(self, replicate: int, noise: float | None = None) -> ToyModel:
        return type(self)(self.replicate + replicate, self.noise if noise is None else noise)

    def _nll(self, x: Tensor) -> Tensor:
        return -log_normal(x[None], *self._next(x[None])).mean()

    def _next(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each frame given the one before it; of the first, the marginal's."""
        own = self.tensors
        later = context[:, :-1] @ own["step"] + own["bias"]
        mean = torch.cat([own["mean"].expand(len(context), 1, -1), later], 1)
        spread = torch.cat([own["wide"].expand(len(context), 1, -1), own["spread"].expand_as(later)], 1)
        return mean, spread


class ToyCodec(LabCodec):
    """The codec of toy latents, with an encoder for a task that asks for one: the levels of a frame's parts.

    Its latents are not the toy ones; they are causal, and of the stated shape. Its codes are those of additive
    residual codebooks, each with half the spread of the one before it.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.info = replace(self.info, codebooks=(ENTRIES,) * STAGES)
        halves = 2.0 ** -torch.arange(STAGES)
        self.books = 3.0 * halves[:, None, None] * torch.randn(STAGES, ENTRIES, dim, generator=generator(0, "codes"))

    def encode(self, audio: Tensor) -> Tensor:
        """(B, 1, N) → (B, ceil(N / hop), D)."""
        frames = F.pad(audio[:, 0], (0, -audio.shape[-1] % HOP)).unflatten(-1, (-1, HOP))
        return torch.stack([part.square().mean(-1) for part in frames.tensor_split(self.info.dim, -1)], -1)

    def codes(self, latents: Tensor) -> Tensor:
        """(B, T, D) → (B, T, Q), the nearest entry stage by stage."""
        left, out = latents, []
        for book in self.books.to(latents):
            out.append((left.unsqueeze(-2) - book).square().sum(-1).argmin(-1))
            left = left - book[out[-1]]
        return torch.stack(out, -1)

    def from_codes(self, codes: Tensor) -> Tensor:
        """(B, T, Q') → (B, T, D)."""
        books = self.books.to(codes.device)
        return torch.stack([book[code] for book, code in zip(books, codes.unbind(-1), strict=False)]).sum(0)


class ToyDataset:
    """Noise in the place of the recordings that toy latents would come from; no transcripts."""

    name, digest, grammar, speakers_known = "toy", "toy", None, True
    refused: ClassVar[Mapping[str, str]] = {}
    converted: ClassVar[Mapping[str, int]] = {}

    def __init__(self, splits: Mapping[Split, Sequence[LatentUtterance]]) -> None:
        self._splits = splits

    def utterances(self, split: Split) -> Sequence[Utterance]:
        return [Utterance(u.id, u.speaker, split) for u in self._splits[split]]

    def audio(self, utterance: Utterance, sample_rate: int) -> Any:
        frames = next(len(u.x) for u in self._splits[utterance.split] if u.id == utterance.id)
        rng = np.random.default_rng(derive_seed(0, utterance.id))
        return rng.uniform(-0.1, 0.1, frames * HOP * sample_rate // 16_000).astype(np.float32)
