"""Long recordings: what they need is foreseen, and refused where it is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.contract import CodecInfo
from bench.errors import DataError
from bench.room import TRIED, Room

RATE = 1000


class Hungry:
    """Says through `peaks` what each length needs; remembers what it was asked."""

    def __init__(self) -> None:
        self.info = CodecInfo("hungry", RATE, 100, 1)
        self.asked: list[float] = []

    def encode(self, audio: Tensor) -> Tensor:
        self.asked.append(audio.shape[-1] / RATE)
        return torch.zeros(1, 1, 1)


def room(monkeypatch: pytest.MonkeyPatch, mib: Any, free: float) -> tuple[Room, Hungry]:
    codec = Hungry()
    made = Room(codec, torch.device("cpu"))  # type: ignore[arg-type]
    monkeypatch.setattr(made, "_peak", lambda seconds: (codec.asked.append(seconds), mib(seconds))[1])
    monkeypatch.setattr(made, "_free_mib", lambda: free)
    return made, codec


def test_short_recordings_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made, codec = room(monkeypatch, lambda s: 1e9, 1.0)
    made.check(120 * RATE)
    assert codec.asked == []


def test_what_grows_with_the_square_is_foreseen(monkeypatch: pytest.MonkeyPatch) -> None:
    made, codec = room(monkeypatch, lambda s: 0.01 * s * s + 2 * s + 30, 1e9)
    assert made.needed_mib(1800) == pytest.approx(0.01 * 1800**2 + 2 * 1800 + 30, rel=1e-6)
    made.needed_mib(3600)
    assert codec.asked == [1.0, *TRIED]  # once


def test_measurements_that_bend_down_are_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = {1.0: 9.0, **dict(zip(TRIED, (150.0, 285.0, 540.0), strict=True))}
    made, _ = room(monkeypatch, peaks.get, 1e9)
    assert made.needed_mib(1800) == pytest.approx(4.3 * 1800, rel=0.03)


def test_a_few_megabytes_more_are_no_square(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = {1.0: 9.0, **dict(zip(TRIED, (30.0, 60.0, 132.0), strict=True))}
    made, _ = room(monkeypatch, peaks.get, 1e9)
    assert made.needed_mib(1800) == pytest.approx(1.15 * 1800, rel=0.03)


def test_what_does_not_fit_is_refused_and_the_rest_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = room(monkeypatch, lambda s: 10 * s, 8192)
    made.check(650 * RATE)
    with pytest.raises(DataError, match="codec hungry: 30.0 min in one piece need about 22.0 GiB, 8.0 GiB are free"):
        made.check(1800 * RATE)


PEAK = """
import torch
from bench.room import Room
from tests.bench.test_room import Hungry

class Large(Hungry):
    def encode(self, audio):
        return torch.ones(audio.shape[-1] * 1000 // 4, 1).square()[None, :1]  # twice 1 kB a sample

torch.set_num_threads(1)
made = Room(Large(), torch.device("cpu"))
print(made.needed_mib(200))
"""


def test_the_peak_of_a_call_is_seen() -> None:
    """In a process of its own: a long one gives memory back while it is measured."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("this system does not let a process start a new peak of its memory: /proc/self/clear_refs")
    root = str(Path(__file__).parents[2])
    run = subprocess.run(
        [sys.executable, "-c", PEAK], capture_output=True, text=True, check=True, timeout=300, cwd=root
    )
    assert float(run.stdout) == pytest.approx(2 * 200 * RATE * 1000 / 2**20, rel=0.2)
