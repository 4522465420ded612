"""The two corpora, their training part as `scripts/train_minicodec.py` reads it, and their audio kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from torch import Tensor

from bench.cache import digest
from bench.contract import Dataset, Split, Utterance
from bench.datasets.folder import Folder
from bench.datasets.synthspeech import SynthSpeech
from scripts.train_minicodec import load


class Remembered:
    """A dataset that decodes each recording once, for all the codecs that are to hear it."""

    def __init__(self, name: str, dataset: Dataset) -> None:
        self.name = name
        self.digest, self.refused, self.converted = dataset.digest, dataset.refused, dataset.converted
        self.grammar, self.speakers_known = dataset.grammar, dataset.speakers_known
        self._dataset = dataset
        self._audio: dict[tuple[str, int], np.ndarray] = {}

    def utterances(self, split: Split) -> Sequence[Utterance]:
        return self._dataset.utterances(split)

    def audio(self, utterance: Utterance, sample_rate: int) -> np.ndarray:
        key = (utterance.id, sample_rate)
        if key not in self._audio:
            self._audio[key] = self._dataset.audio(utterance, sample_rate)
        return self._audio[key]


def corpora(librispeech: Path, progress: Callable[[str, int, int], None]) -> dict[str, Remembered]:
    """Name → dataset; LibriSpeech is a folder of SPEAKER-CHAPTER-NUMBER.flac.

    Raises:
        DataError: no such folder, or one without usable audio.
    """
    found: dict[str, Dataset] = {"synthspeech": SynthSpeech(), "librispeech": Folder(str(librispeech), progress)}
    return {name: Remembered(name, dataset) for name, dataset in found.items()}


def training_digest(datasets: Mapping[str, Dataset]) -> str:
    """What decides the recordings that `training_data` gives."""
    return digest([dataset.digest for dataset in datasets.values()])


def training_data(librispeech: Path, work: Path) -> Callable[[], dict[str, dict[str, list[Tensor]]]]:
    """Recordings to train on and to validate with, read at the first call; what was read is listed in `work`."""

    @cache
    def read() -> dict[str, dict[str, list[Tensor]]]:
        work.mkdir(parents=True, exist_ok=True)
        return {part: load(librispeech, work / f"{part}.tsv", part) for part in ("train", "valid")}

    return read
