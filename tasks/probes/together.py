"""Probe fits side by side: they are small, and two on one thread each are nearly twice as fast as one on two.

On the CPU each fit of some length has a process of its own, with one thread; on a GPU, on one core, and for fits too
short to pay for the start of a process, they follow each other here.
"""

from __future__ import annotations

import ctypes
import pickle
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from bench.contract import LatentUtterance
from bench.workers import CONTEXT, cores, pool
from tasks.probes.probe import ProbeConfig, Reader, fit_probe

WORTH_A_PROCESS = 150
"""Steps; below it a process takes longer to start, which it does in about 3 s, than the fit it would run."""
LOOKS_PER_SECOND = 5


@dataclass(frozen=True)
class Fit:
    """One probe to fit, as `fit_probe` takes it; `what` names it for the progress bar and is part of its seed."""

    what: str
    states: Mapping[str, Tensor] | None
    train: Sequence[LatentUtterance]
    seed: int


def fit_probes(
    fits: Sequence[Fit],
    valid: Sequence[LatentUtterance],
    horizons: Sequence[int],
    config: ProbeConfig,
    device: torch.device,
    progress: Callable[[str, int, int], None],
) -> list[Reader]:
    """`fit_probe` for each, in order.

    Raises:
        BenchError: a process died, or whatever a fit raises.
    """
    workers = min(len(fits), cores())
    if device.type != "cpu" or config.family == "linear" or config.fit.steps < WORTH_A_PROCESS or workers < 2:
        given = (valid, horizons, config)
        return [fit_probe(f.states, f.train, *given, f.seed, device, progress, f.what) for f in fits]
    # one counter of steps for each fit, and after them a flag that tells all to stop
    shared = CONTEXT.RawArray(ctypes.c_long, len(fits) + 1)
    total = len(fits) * config.fit.steps
    with pool(workers, _share, shared) as executor:
        # bytes: tensors handed over as they are would be kept in shared memory, of which containers have little
        work = [pickle.dumps((i, f, valid, tuple(horizons), config)) for i, f in enumerate(fits)]
        futures = [executor.submit(_fit_here, one) for one in work]
        try:
            waiting = set(futures)
            while waiting:
                done, waiting = wait(waiting, 1 / LOOKS_PER_SECOND)
                for one in done:
                    one.result()
                progress("fit " + ", ".join(f.what.removeprefix("fit ") for f in fits), sum(shared[:-1]), total)
        except BaseException:
            shared[-1] = 1
            raise
        return [cast(Reader, pickle.loads(future.result())) for future in futures]


# --- in a worker process -----------------------------------------------------------------------------------

_shared: Any = None


def _share(shared: Any) -> None:
    global _shared
    _shared = shared
    torch.set_num_threads(1)


def _fit_here(work: bytes) -> bytes:
    index, job, valid, horizons, config = pickle.loads(work)

    def progress(what: str, done: int, total: int) -> None:
        del what, total
        _shared[index] = done
        if _shared[-1]:
            raise KeyboardInterrupt

    reader = fit_probe(
        job.states, job.train, valid, horizons, config, job.seed, torch.device("cpu"), progress, job.what
    )
    _shared[index] = config.fit.steps
    return pickle.dumps(reader)
