"""Work on all cores: ordered results from a pool of processes of one thread each.

Processes are spawned, not forked: a fork copies the locks of torch's threads, not the threads. Only the
functions' own modules are imported in them, so that scorers never load torch there (and this one imports no numpy,
so that a process can settle its number of threads first), and a program that starts them keeps its main code under
`if __name__ == "__main__"`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from bench.errors import BenchError

J = TypeVar("J")
R = TypeVar("R")

CONTEXT = multiprocessing.get_context("spawn")
MAX_WORKERS = 32
JOBS_PER_WORKER = 4
"""Jobs held at a time, so that a large corpus is never in memory as a whole."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def pool(workers: int | None = None, start: Callable[..., None] | None = None, *given: Any) -> Iterator[Executor]:
    """A pool that starts at its first job and, after an error or Ctrl-C, drops what has not begun.

    Args:
        workers: processes, at least 1; None for one per core.
        start: called in each process with `given`, which may hold shared memory of `CONTEXT`.

    Raises:
        BenchError: a process died.
    """
    executor = ProcessPoolExecutor(
        workers or min(cores(), MAX_WORKERS),
        mp_context=CONTEXT,
        initializer=_start_worker,
        initargs=(start, *given),
    )
    try:
        yield executor
    except BrokenProcessPool as error:
        executor.shutdown(wait=False, cancel_futures=True)
        raise BenchError(
            "a worker process died: out of memory, a crash in a metric's C code, or a script that starts it "
            "outside `if __name__ == '__main__'`"
        ) from error
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()


def ordered(executor: Executor, function: Callable[[J], R], jobs: Iterable[J], ahead: int | None = None) -> Iterator[R]:
    """`map(function, jobs)` in the executor's processes, in the order of `jobs`.

    Args:
        executor: from `pool`.
        function: importable by name.
        jobs: taken lazily, at most `ahead` before their results are.
        ahead: None for `JOBS_PER_WORKER` per core.
    """
    limit = ahead or JOBS_PER_WORKER * min(cores(), MAX_WORKERS)
    waiting: deque[Future[R]] = deque()
    for job in jobs:
        waiting.append(executor.submit(function, job))
        if len(waiting) >= limit:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _start_worker(start: Callable[..., None] | None, *given: Any) -> None:
    # one job a core: a BLAS that starts threads of its own, when numpy is imported, makes STOI three times slower
    for library in ("OPENBLAS", "MKL", "OMP", "BLIS", "VECLIB"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
    # Ctrl-C goes to the whole group; the parent alone answers it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if start is not None:
        start(*given)


def _end_with_parent() -> None:
    """A killed parent tells nobody: its processes would wait for jobs for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
