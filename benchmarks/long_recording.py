"""What memory a recording of 30 minutes takes in one piece, foreseen by `bench.room` and measured.

    python benchmarks/long_recording.py --write docs/throughput.md

Codecs are not cut into pieces, so that a long recording needs memory in proportion, or more. What is foreseen comes
from 30, 60 and 120 seconds of noise, as in `bench encode --out`; then 30 minutes of noise are encoded, where that is
foreseen to take no more than `--most`. Each codec is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from tabulate import tabulate

from bench import registry
from bench.environment import peak_memory_mib, reset_peak_memory
from bench.markers import replace_block
from bench.room import Room

SECONDS = 1800.0
CODECS = ("minicodec", "melpca", "mdct", "mimi:random")


def measured(spec: str, most: float) -> dict[str, float | None]:
    """MiB beside what the process holds, foreseen and found; None where more than `most` GiB were foreseen."""
    codec = registry.build("codecs", spec).to(torch.device("cpu"))
    room = Room(codec, torch.device("cpu"))
    samples = round(SECONDS * codec.info.sample_rate)
    foreseen = room.needed_mib(SECONDS)
    if foreseen > 1024 * most:
        return {"foreseen": foreseen, "found": None}
    audio = 0.1 * torch.randn(1, 1, samples, generator=torch.Generator().manual_seed(0))
    reset_peak_memory()
    before = peak_memory_mib()
    with torch.no_grad():
        codec.encode(audio)
    return {"foreseen": foreseen, "found": peak_memory_mib() - before}


def table(most: float) -> str:
    """The Markdown between the markers."""
    rows = []
    for spec in CODECS:
        command = [sys.executable, __file__, "--only", spec, "--most", str(most)]
        made = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        found = "not tried" if made["found"] is None else f"{made['found'] / 1024:.1f}"
        rows.append([spec, f"{made['foreseen'] / 1024:.1f}", found])
        sys.stderr.write(" | ".join(rows[-1]) + "\n")
    heading = ["codec", "foreseen, GiB", "found, GiB"]
    return tabulate(rows, heading, tablefmt="pipe", disable_numparse=True, colalign=("left", "right", "right"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the memory of a long recording.")
    parser.add_argument("--write", type=Path, help="replace the block long of this file")
    parser.add_argument("--most", type=float, default=4.0, help="GiB that a codec may take")
    parser.add_argument("--only", help="one codec, for the command itself")
    given = parser.parse_args()
    if given.only:
        sys.stdout.write(json.dumps(measured(given.only, given.most)))
        return
    text = table(given.most)
    if given.write:
        replace_block(given.write, "long", text)
    else:
        sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
