"""Worker processes: order, laziness, errors, and that none outlives what started it."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import psutil
import pytest

from bench.errors import BenchError
from bench.workers import cores, ordered, pool

SLEEPER = """
import signal
import time
from bench.workers import ordered, pool

if __name__ == "__main__":
    # a shell ignores it for what it starts in the background, and children inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pool(2) as executor:
        list(ordered(executor, time.sleep, [0.5] * 2))
        print("ready", flush=True)
        for _ in ordered(executor, time.sleep, [2.0] * 100):
            pass
"""


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with pool(2) as found:
        yield found


def test_results_come_in_order_and_jobs_are_taken_lazily(executor: Executor) -> None:
    taken = []

    def jobs() -> Iterator[float]:
        for i in range(20):
            taken.append(i)
            yield float(i * i)

    results = ordered(executor, math.sqrt, jobs(), ahead=3)
    assert next(results) == 0.0
    assert len(taken) == 3
    assert list(results) == [float(i) for i in range(1, 20)]
    assert list(ordered(executor, math.sqrt, [])) == []


def test_an_error_of_the_function_is_the_callers(executor: Executor) -> None:
    with pytest.raises(ValueError, match="math domain|nonnegative"):
        list(ordered(executor, math.sqrt, [1.0, -1.0]))


def test_workers_load_no_torch_and_keep_to_one_thread(executor: Executor) -> None:
    code = "[__import__('bench.metrics.fidelity'), 'torch' in __import__('sys').modules][1]"
    assert executor.submit(eval, code).result() is False
    assert executor.submit(eval, "__import__('os').environ['OPENBLAS_NUM_THREADS']").result() == "1"


def test_a_process_that_dies_is_one_line() -> None:
    with pytest.raises(BenchError, match="a worker process died"), pool(1) as executor:
        list(ordered(executor, os._exit, [1]))


def test_cores() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_the_parent(tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "sleeper.py"
    script.write_text(SLEEPER)
    root = str(Path(__file__).parents[2])
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    workers = psutil.Process(parent.pid).children(recursive=True)
    assert len(workers) >= 2
    if how == signal.SIGINT:
        os.killpg(parent.pid, how)
    else:
        parent.kill()
    _, errors = parent.communicate(timeout=60)
    assert not psutil.wait_procs(workers, timeout=30)[1], "a worker goes on without its parent"
    if how == signal.SIGINT:
        assert errors.count("Traceback") == 1, errors
        assert "KeyboardInterrupt" in errors
