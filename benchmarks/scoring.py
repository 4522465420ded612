"""What the pool of processes is worth in scoring, and what the cache is.

Pairs are recordings of the embedded corpus's test split and what minicodec makes of them, with the samples that the
task `generation` keeps. PESQ, STOI, SI-SDR and log-mel L1 of every pair are taken

* by the pool: `bench.metrics.fidelity.measure` as the task `reconstruction` calls it, a process a core: with processes
  that are started and import their packages in every repetition, and with some that were before;
* by a plain loop over the same packages in this process, which has imported them before, its linear algebra on all
  cores as numpy has it, and on one thread, which is the faster: the pool is held against that.

They run in turns, and a repetition's ratio is that of neighbours in time, so that what else runs on the machine touches
both alike. Then the waveforms are heard again (`tasks.generation_hearing`) from a cache that holds their measurements
under the digests of their samples and the metrics' fingerprint: by a row, codec and dataset that are built anew in this
process, and of this the part that has the waveforms and asks for what was measured on them.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tabulate import tabulate
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bench.datasets.synthspeech import ROOT, SynthSpeech
from bench.metrics.distortion import RATE, log_mel_l1
from bench.metrics.fidelity import Pair, measure
from bench.outputs import as_float
from bench.workers import cores, ordered, pool

if TYPE_CHECKING:
    from bench.runner import Row
    from tasks.generation_hearing import Hearing
    from tasks.generation_scores import Heard

OTHERS = 2
"""Utterances of training and validation, which a row cannot be without."""
HEARD = ("mel", "mcd")
SHORTEST_S = 0.08
"""A frame, so that every utterance can be planned for."""
Values = list[dict[str, float]]


def excerpt(folder: Path, pairs: int) -> SynthSpeech:
    """The corpus with its first `pairs` utterances of the test split."""
    heading, *lines = (ROOT / "manifest.tsv").read_text(encoding="utf-8").splitlines()
    left = {"train": OTHERS, "valid": OTHERS, "test": pairs}
    kept = []
    for line in lines:
        split = line.split("\t")[1]
        left[split] -= 1
        kept += [line] if left[split] >= 0 else []
    folder.mkdir()
    (folder / "manifest.tsv").write_text("\n".join([heading, *kept]) + "\n", encoding="utf-8")
    shutil.copy(ROOT / "grammar.jsgf", folder)
    (folder / "audio").symlink_to(ROOT / "audio")
    return SynthSpeech(root=folder)


def row(corpus: SynthSpeech, cache: Path) -> Row:
    """A row of the suite `generation` that is asked for nothing but its codec and dataset."""
    from bench.progress import Bar
    from bench.runner import Request, Row

    request = Request("codec_itself", "generation", cache, dataset="excerpt", device="cpu", tasks=("generation",))
    made = Row(request, Bar(quiet=True), built={("datasets", "excerpt"): corpus})
    made.encode()
    return made


def hearing(made: Row) -> Hearing:
    """Of all its test utterances."""
    from bench.runner import TaskContext
    from tasks.generation_hearing import Hearing
    from tasks.generation_modes import plan

    context: Any = TaskContext(made, made.tasks["generation"])
    return Hearing(plan(context, len(made.latents.splits["test"]), SHORTEST_S, SHORTEST_S, 1.0), context)


def heard(by: Hearing) -> dict[str, Heard]:
    """What was measured on the codec's resynthesis."""
    return by.heard("codec", "resampled", by.truth("resampled", "codec"), HEARD)


def pairs_of(by: Hearing) -> list[Pair]:
    """Recordings and the codec's resynthesis."""
    recordings, estimates = (by.truth("resampled", route) for route in ("original", "codec"))
    return [Pair(as_float(recordings[name]), as_float(estimates[name]), by.rate) for name in by.plan.ids]


def pooled(pairs: Sequence[Pair], executor: Executor | None = None) -> Values:
    """By the executor's processes, or by those of a pool that is started for it."""
    if executor is None:
        with pool() as started:
            return pooled(pairs, started)
    return [found["values"] for found in ordered(executor, measure, pairs)]


def plain(pairs: Sequence[Pair]) -> Values:
    """As somebody writes it who has the packages and 16 kHz."""
    from pesq import pesq
    from pystoi import stoi

    found = []
    for pair in pairs:
        n = min(len(pair.reference), len(pair.estimate))
        s, e = pair.reference[:n], pair.estimate[:n]
        values = {"pesq": pesq(RATE, s, e, "wb"), "stoi": stoi(s, e, RATE), "mel": log_mel_l1(s, e)}
        s, e = s - s.mean(), e - e.mean()
        target = (e @ s) / (s @ s) * s
        values["si_sdr"] = 10 * np.log10((target @ target) / ((e - target) @ (e - target)))
        found.append({name: float(value) for name, value in values.items()})
    return found


def on_one_thread(pairs: Sequence[Pair]) -> Values:
    with threadpool_limits(1):
        return plain(pairs)


def starting(executor: Executor | None = None) -> None:
    """Let a pool's processes import what they need, and score next to nothing."""
    nothing = np.zeros(RATE // 100)
    pooled([Pair(nothing, nothing, RATE)] * cores(), executor)


def check(a: Values, b: Values) -> None:
    """The same numbers.

    Raises:
        ValueError: another metric or value.
    """
    for number, (one, other) in enumerate(zip(a, b, strict=True)):
        if one.keys() != other.keys() or not all(np.isclose(one[k], other[k], rtol=1e-9, atol=1e-9) for k in one):
            raise ValueError(f"pair {number}: the pool gives {one}, the loop {other}")


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def turns(pairs: Sequence[Pair], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way, those of one repetition next to each other, and of starting a pool."""
    with pool() as executor:
        starting(executor)
        ways: dict[str, Callable[[Sequence[Pair]], Values]] = {
            "plain": plain,
            "pooled": pooled,
            "on_one_thread": on_one_thread,
            "started": partial(pooled, executor=executor),
        }
        took: dict[str, list[float]] = {name: [] for name in ways}
        for repetition in range(repeats):
            # each is beside what it is held against, now before and now after
            for name in list(ways) if repetition % 2 else reversed(ways):
                took[name].append(seconds(partial(ways[name], pairs)))
    took["starting"] = [seconds(starting) for _ in range(repeats)]
    return took


def again(corpus: SynthSpeech, cache: Path, expected: dict[str, Heard], repeats: int) -> dict[str, list[float]]:
    """Seconds of hearing again what has not changed: with all around it, and once the waveforms are there.

    Raises:
        ValueError: other measurements than the first time, or something that was measured again.
    """
    took: dict[str, list[float]] = {"all": [], "waveforms": []}
    for _ in range(repeats):
        start = time.perf_counter()
        made = row(corpus, cache)
        by = hearing(made)
        by.truth("resampled", "codec"), by.truth("resampled", "original")
        middle = time.perf_counter()
        found = heard(by)
        end = time.perf_counter()
        if found != expected or made.cache.made:
            raise ValueError(f"heard again: expected everything from the cache, {made.cache.made} entries were made")
        took["all"].append(end - start)
        took["waveforms"].append(end - middle)
    return took


def measured(count: int, repeats: int, folder: Path) -> str:
    """The table."""
    load = os.getloadavg()[0]
    corpus, cache = excerpt(folder / "corpus", count), folder / "cache"
    by = hearing(row(corpus, cache))
    pairs = pairs_of(by)
    first = heard(by)
    # also what imports the packages
    check(pooled(pairs), plain(pairs))
    took = turns(pairs, repeats)
    kept = again(corpus, cache, first, repeats)
    rows = [
        ("loop on one thread ÷ pool", "≥ 1.8", divided(took["on_one_thread"], took["pooled"]), ""),
        ("the same, processes started before", "≥ 1.8", divided(took["on_one_thread"], took["started"]), ""),
        ("loop as numpy threads it ÷ pool", "", divided(took["plain"], took["pooled"]), ""),
        ("heard again, waveforms at hand", "≤ 1 s", kept["waveforms"], " s"),
        ("heard again, row, codec and recordings read", "", kept["all"], " s"),
    ]
    table = tabulate(
        [
            [name, wanted, f"{statistics.median(r):.2f}{unit}", f"{min(r):.2f} to {max(r):.2f}{unit}"]
            for name, wanted, r, unit in rows
        ],
        headers=["", "wanted", "median", "range"],
        tablefmt="github",
        disable_numparse=True,
    )
    audio = sum(len(pair.reference) for pair in pairs) / RATE
    medians = {name: statistics.median(runs) for name, runs in took.items()}
    packages = ", ".join(f"{name} {version(name)}" for name in ("pesq", "pystoi", "numpy"))
    return (
        f"{len(pairs)} pairs, {audio:.0f} s of audio; {cores()} cores, {cores()} processes, load before {load:.1f}; "
        f"{packages}; {repeats} repetitions.\n\n{table}\n\n"
        f"Medians: loop on one thread {medians['on_one_thread']:.1f} s, as numpy threads it {medians['plain']:.1f} s, "
        f"pool {medians['pooled']:.1f} s, of which {medians['starting']:.1f} s start the processes."
    )


def divided(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(numerators, denominators, strict=True)]
