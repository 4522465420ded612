"""A row without a run: a codec that loses nothing, recordings that are given, and hearing in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.calibration.lab import HOP, SAMPLE_RATE, LabContext
from bench.config import TaskCard
from bench.contract import CodecInfo, LatentUtterance, Source, Utterance
from bench.errors import BenchError
from tasks import cost_at_quality, generation, generation_hearing


class Framing:
    """Frames of the waveform are the latents: nothing is lost."""

    info = CodecInfo("framing", SAMPLE_RATE, HOP, HOP)

    def encode(self, audio: Tensor) -> Tensor:
        """(B, 1, N) → (B, T, hop), the end filled with zeros."""
        return F.pad(audio, (0, -audio.shape[-1] % HOP)).unflatten(-1, (-1, HOP))[:, 0]

    def decode(self, latents: Tensor) -> Tensor:
        """(B, T, hop) → (B, 1, T · hop)."""
        return latents.flatten(1)[:, None]


class Recordings:
    """A dataset of given recordings: utterance → (N,) at the lab's rate, the same for every split."""

    digest, speakers_known = "", True

    def __init__(self, audio: Mapping[Utterance, np.ndarray], grammar: Path | None = None) -> None:
        self.name, self.grammar = "recordings", grammar
        self._audio = {u.id: x for u, x in audio.items()}
        self._utterances = list(audio)

    def utterances(self, split: str) -> Sequence[Utterance]:
        del split
        return self._utterances

    def audio(self, utterance: Utterance, sample_rate: int) -> np.ndarray:
        assert sample_rate == SAMPLE_RATE, sample_rate
        return self._audio[utterance.id]

    def latents(self) -> list[LatentUtterance]:
        """Frames of each."""
        audio = {name: torch.from_numpy(x).float() for name, x in self._audio.items()}
        return [
            LatentUtterance(u.id, u.speaker, Framing().encode(audio[u.id][None, None])[0]) for u in self._utterances
        ]


class RowLab(LabContext):
    """A row's context. What was measured is remembered; what a submission generates is not."""

    def __init__(
        self,
        card: TaskCard,
        latents: Sequence[LatentUtterance],
        codec: Any,
        parameters: Mapping[str, Any] | None = None,
        dataset: Any = None,
        knobs: Mapping[str, Sequence[Any]] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(card, {"train": latents, "valid": latents, "test": latents}, codec, parameters, seed)
        self.dataset: Any = dataset
        self.knobs: Mapping[str, Sequence[Any]] = knobs or {}
        self._memory: dict[str, Any] = {}

    def outputs(
        self, mode: str, key: Mapping[str, Any], make: Callable[[], Mapping[str, Tensor]]
    ) -> Mapping[str, Tensor]:
        del mode, key
        return make()

    def keep(self, waveforms: Mapping[str, Mapping[str, Tensor]]) -> None:
        pass

    def parts(self, submission: Any) -> Mapping[str, Sequence[torch.nn.Module]]:
        return submission.parts if hasattr(submission, "parts") else {}

    def variant(self, settings: Mapping[str, Any]) -> Any:
        raise BenchError(f"this row has no settings, asked for {', '.join(settings)}")

    def cached_json(self, key: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        return self._remembered(key, make)

    def cached_tensors(self, key: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        return self._remembered(key, make)

    def _remembered(self, key: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        name = repr(key)
        if name not in self._memory:
            self._memory[name] = make()
        return self._memory[name]


class Truth:
    """Knows the latents: goes on as they do from the frames that it is given, and changes none that it is shown."""

    def __init__(self, latents: Sequence[LatentUtterance]) -> None:
        self.latents = latents

    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        """(B, P, D) → (B, 1, frames, D)."""
        del generator, mean
        assert draws == 1, draws
        past = prompt.shape[1]
        found = [next(u.x for u in self.latents if torch.equal(u.x[:past], one)) for one in prompt]
        return torch.stack([x[None, past : past + frames] for x in found])

    def reconstruct(self, x: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        """(B, T, D) as it is."""
        del source, generator
        return x


def embedded_corpus() -> Any:
    """The dataset `synthspeech`, found as every plug-in is."""
    (entry,) = entry_points(group="latentbench.datasets", name="synthspeech")
    return entry.load()()


@contextmanager
def here() -> Iterator[None]:
    """Hearing without worker processes, which cost more than what they would do, and without the packages of the extra
    `quality`, whose versions are part of a cache's keys alone."""
    with (
        mock.patch.object(generation, "pool", nullcontext),
        mock.patch.object(cost_at_quality, "pool", nullcontext),
        mock.patch.object(generation_hearing, "fingerprint", return_value={}),
    ):
        yield
