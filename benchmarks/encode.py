"""What of a codec's own speed `bench encode --out` keeps, reading and storing included.

    python benchmarks/encode.py --data FOLDER --write docs/throughput.md

Twenty utterances, each listed several times, are encoded by the whole pipeline (read, encode, store, on the disk when
it ends) and by bare calls of `codec.encode` on the same batches, padded beforehand and in memory. Both are measured in
turns in one process, and a repetition's ratio is that of neighbours in time, so that what else runs on the machine
touches both alike. Mimi has random weights, which cost what trained ones cost.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor
from torch.nn import functional as F

from bench import registry
from bench.batching import ON_CPU, by_length, can_batch
from bench.contract import Codec, Dataset, Split, Utterance
from bench.encoding import encode_into, identity_of, windows
from bench.errors import BenchError
from bench.latents import SPLITS
from bench.markers import replace_block
from bench.progress import Bar

UTTERANCES = 20
LISTED = {"minicodec": 5, "mimi:random": 1}
"""How often each utterance is listed: so often that opening a store, which a long run does once, is not what counts."""
TARGET = 0.9
"""Of the codec's own speed."""
CPU = torch.device("cpu")


class Excerpt:
    """The first utterances of a dataset, over and over, all of them for training."""

    def __init__(self, dataset: Dataset, count: int, times: int) -> None:
        self.dataset = dataset
        self.name, self.digest = dataset.name, dataset.digest
        self.refused: dict[str, str] = {}
        self.converted: dict[str, int] = {}
        self.grammar, self.speakers_known = None, dataset.speakers_known
        chosen = [u for split in SPLITS for u in dataset.utterances(split)][:count]
        self.chosen = {f"{u.id}#{i}": u for i in range(times) for u in chosen}

    def utterances(self, split: Split) -> list[Utterance]:
        return [replace(u, id=name, split=split) for name, u in self.chosen.items()] if split == "train" else []

    def audio(self, utterance: Utterance, sample_rate: int) -> np.ndarray:
        return self.dataset.audio(self.chosen[utterance.id], sample_rate)


@dataclass(frozen=True)
class Measured:
    """One codec on one dataset: seconds of audio, and of each repetition's two runs and of reading alone."""

    audio_s: float
    bare_s: list[float]
    pipeline_s: list[float]
    reading_s: float

    @property
    def ratios(self) -> list[float]:
        """Of each repetition."""
        return [bare / whole for bare, whole in zip(self.bare_s, self.pipeline_s, strict=True)]

    def row(self) -> list[str]:
        """Speeds in times real time, and the ratio: median, least and most."""
        ratios = self.ratios
        speeds = [self.audio_s / statistics.median(runs) for runs in (self.bare_s, self.pipeline_s)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        return [f"{self.audio_s:.0f}", f"{self.audio_s / self.reading_s:.0f}", *(f"{s:.1f}" for s in speeds), spread]


def batches(codec: Codec, dataset: Excerpt) -> list[Tensor]:
    """What the pipeline gives to `codec.encode`, call by call."""
    rate = codec.info.sample_rate
    sounds = ((u, torch.from_numpy(np.array(dataset.audio(u, rate)))) for u in dataset.utterances("train"))
    made = []
    for window in windows(sounds, round(ON_CPU.window * rate)):
        audio = [samples for _, samples in window]
        limit = round(ON_CPU.batch * rate) if can_batch(codec) else 0
        for group in by_length([len(samples) for samples in audio], limit):
            longest = max(len(audio[i]) for i in group)
            made.append(torch.stack([F.pad(audio[i], (0, longest - len(audio[i]))) for i in group])[:, None])
    return made


def measure(codec: Codec, dataset: Excerpt, repetitions: int, readers: int) -> Measured:
    """Both ways in turns, after one of each that does not count."""
    rate = codec.info.sample_rate
    since = time.monotonic()
    samples = sum(len(dataset.audio(u, rate)) for u in dataset.utterances("train"))
    reading = time.monotonic() - since
    prepared = batches(codec, dataset)
    identity = identity_of(dataset, codec, "", "float16", False)

    def bare() -> None:
        with torch.no_grad():
            for audio in prepared:
                codec.encode(audio)

    def pipeline() -> None:
        with tempfile.TemporaryDirectory() as folder:
            bar = Bar(quiet=True)
            encode_into(Path(folder), dataset, codec, identity, CPU, bar, readers=readers, plan=ON_CPU)

    runs: dict[Any, list[float]] = {bare: [], pipeline: []}
    for repetition in range(repetitions + 1):
        # now one first, now the other
        for way in (bare, pipeline) if repetition % 2 else (pipeline, bare):
            since = time.monotonic()
            way()
            runs[way].append(time.monotonic() - since)
    return Measured(samples / rate, runs[bare][1:], runs[pipeline][1:], reading)


def table(specs: Sequence[str], repetitions: int, readers: Sequence[int]) -> str:
    """The Markdown between the markers; more readers are tried where fewer miss the target."""
    rows = []
    for spec in specs:
        dataset = registry.build("datasets", spec)
        for name, times in LISTED.items():
            codec = registry.build("codecs", name).to(CPU)
            for threads in readers:
                excerpt = Excerpt(dataset, UTTERANCES, times)
                made = measure(codec, excerpt, repetitions, threads)
                rows.append([name, dataset.name, str(threads), *made.row()])
                sys.stderr.write(" | ".join(rows[-1]) + "\n")
                if statistics.median(made.ratios) >= TARGET:
                    break
    heading = ["codec", "dataset", "readers", "audio, s", "reading alone, ×", "codec alone, ×", "pipeline, ×", "ratio"]
    return tabulate(rows, heading, tablefmt="pipe", disable_numparse=True, colalign=("left",) * 2 + ("right",) * 6)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the pipeline of bench encode beside the codec alone.")
    parser.add_argument("--data", type=Path, required=True, help="a folder of audio files, as for --dataset folder:")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--readers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--write", type=Path, help="replace the block encode of this file")
    given = parser.parse_args()
    try:
        text = table([f"folder:{given.data}", "synthspeech"], given.repetitions, given.readers)
        if given.write:
            replace_block(given.write, "encode", text)
        else:
            sys.stdout.write(text + "\n")
    except BenchError as error:
        sys.exit(f"encode: {error}")


if __name__ == "__main__":
    main()
