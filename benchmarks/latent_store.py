"""What a large latent store costs: memory, disk and time for 1,000 hours of made-up latents.

    python benchmarks/latent_store.py --write docs/throughput.md

The whole of `bench encode --out` runs but for what a codec computes: a dataset of silence and a codec that draws
32 Gaussian numbers a frame at 12.5 Hz, stored as float16. Each size is a process of its own, so that peaks are its
own. Needs 6 GB of disk under --scratch.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import torch
from tabulate import tabulate

from bench.contract import CodecInfo, Split, Utterance
from bench.encoding import encode_into, identity_of
from bench.environment import peak_memory_mib
from bench.latent_summary import Source, summarise
from bench.markers import replace_block
from bench.progress import Bar
from bench.store import LatentStore

HOURS = (100, 1000)
SECONDS = 30.0
SPEAKERS = 1000
RATE, HOP, DIM = 1000, 80, 32
"""A low sample rate, so that silence is not what is measured; 12.5 frames a second all the same."""


class Listing(Sequence[Utterance]):
    """`count` utterances that are made when they are asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    @overload
    def __getitem__(self, i: int) -> Utterance: ...
    @overload
    def __getitem__(self, i: slice) -> list[Utterance]: ...
    def __getitem__(self, i: int | slice) -> Utterance | list[Utterance]:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(self.count))]
        if i >= self.count:
            raise IndexError(i)
        return Utterance(f"u{i:07d}", f"s{i % SPEAKERS}", "train", "made up")


class Silence:
    """Hours of silence in utterances of 30 s, all of them for training."""

    name, digest, grammar, speakers_known = "silence", "0" * 64, None, True

    def __init__(self, hours: float) -> None:
        self.listing = Listing(round(hours * 3600 / SECONDS))
        self.refused: dict[str, str] = {}
        self.converted: dict[str, int] = {}
        self.silence = np.zeros(round(SECONDS * RATE), np.float32)

    def utterances(self, split: Split) -> Sequence[Utterance]:
        return self.listing if split == "train" else Listing(0)

    def audio(self, utterance: Utterance, sample_rate: int) -> np.ndarray:
        return self.silence


class Drawn:
    """Gaussian latents, whatever the audio."""

    batches = False

    def __init__(self) -> None:
        self.info = CodecInfo("drawn", RATE, HOP, DIM)
        self.generator = torch.Generator().manual_seed(0)

    def to(self, device: torch.device) -> Drawn:
        return self

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        return torch.randn(len(audio), -(-audio.shape[-1] // HOP), DIM, generator=self.generator)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(latents), 1, latents.shape[1] * HOP)


def write(hours: float, root: Path) -> dict[str, float]:
    """Make a store of `hours` in `root`."""
    dataset, codec = Silence(hours), Drawn()
    identity = identity_of(dataset, codec, "", "float16", False)
    since = time.monotonic()
    made = encode_into(root, dataset, codec, identity, torch.device("cpu"), Bar(quiet=True))
    size = sum(shard.bytes for shard in made.shards) / 1e9
    took = time.monotonic() - since
    return {"hours": made.totals.hours, "seconds": took, "peak_mib": peak_memory_mib(), "gb": size}


def read(root: Path) -> dict[str, float]:
    """Go over all of a store once, as `bench latents inspect` does, checking every shard."""
    store = LatentStore(root)
    info = store.manifest.identity.info
    source = Source("silence × drawn", DIM, info["sample_rate"] / info["hop"], store.manifest.totals.hours, "float16")
    since = time.monotonic()
    found = summarise(store.utterances("train"), source)
    if abs(found.effective_rank - DIM) > 0.01:
        raise SystemExit(f"expected {DIM} isotropic dimensions, got an effective rank of {found.effective_rank}")
    return {"hours": source.hours, "seconds": time.monotonic() - since, "peak_mib": peak_memory_mib()}


def measured(what: str, hours: float, root: Path) -> dict[str, float]:
    """`write` or `read` in a process of its own."""
    command = [sys.executable, __file__, "--only", what, "--hours", str(hours), "--scratch", str(root)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def table(scratch: Path) -> str:
    """The Markdown between the markers; the smaller store is read too."""
    wrote, went = [], None
    for hours in HOURS:
        root = Path(tempfile.mkdtemp(prefix="latent_store_", dir=scratch))
        try:
            wrote.append(measured("write", hours, root))
            went = went or measured("read", hours, root)
        finally:
            shutil.rmtree(root)
    return document(wrote, went or {})


def document(wrote: Sequence[dict[str, float]], went: dict[str, float]) -> str:
    """What was measured of writing each size, and of reading the first."""
    rows = [
        [f"{one['hours']:,.0f}", f"{one['gb']:.2f}", f"{one['peak_mib']:.0f}", f"{one['hours'] / one['seconds']:.2f}"]
        for one in wrote
    ]
    heading = ["hours", "GB written", "peak memory, MiB", "hours/s"]
    lines = tabulate(rows, heading, tablefmt="pipe", disable_numparse=True, colalign=("right",) * 4)
    ratio = wrote[-1]["peak_mib"] / wrote[0]["peak_mib"]
    speed = went["hours"] / went["seconds"]
    return (
        f"{lines}\n\nPeak memory of the largest store over that of the smallest: {ratio:.3f}. "
        f"What `bench latents inspect` does went over {went['hours']:,.0f} hours at {speed:.2f} hours/s with a peak of "
        f"{went['peak_mib']:.0f} MiB, every shard held against its sha256."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the latent store on made-up latents.")
    parser.add_argument("--write", type=Path, help="replace the block store of this file")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--only", choices=("write", "read"), help="one measurement, for the command itself")
    parser.add_argument("--hours", type=float, default=1.0)
    given = parser.parse_args()
    if given.only:
        made = write(given.hours, given.scratch) if given.only == "write" else read(given.scratch)
        sys.stdout.write(json.dumps(made))
        return
    text = table(given.scratch)
    if given.write:
        replace_block(given.write, "store", text)
    else:
        sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
