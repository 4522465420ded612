"""Probe fits in processes of their own are the fits of this one, and what goes wrong in them is heard here."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import psutil
import pytest
import torch

from bench.calibration.process import splits
from bench.calibration.var1 import VAR1
from bench.errors import BenchError, PluginError
from bench.fitting import FitConfig
from tasks.probes import together
from tasks.probes.probe import ProbeConfig
from tasks.probes.together import WORTH_A_PROCESS, Fit, fit_probes

CPU = torch.device("cpu")
DATA = splits(VAR1.example(), train=6, valid=2, test=2, frames=24, seed=0)
STATES = {u.id: u.x for s in ("train", "valid", "test") for u in DATA[s]}
FITS = [Fit("fit probe", STATES, DATA["train"], 1), Fit("fit twin", None, DATA["train"], 2)]
CONFIG = ProbeConfig(
    width=8, components=2, fit=FitConfig(steps=WORTH_A_PROCESS, batch=4, crop_frames=16, evaluate_every=75)
)


def read(config: ProbeConfig, progress=lambda *_: None):
    u = DATA["test"][0]
    found = fit_probes(FITS, DATA["valid"], (1, 2), config, CPU, progress)
    return [torch.cat(reader.nll(z, u.x)) for reader, z in zip(found, (u.x, u.x.new_zeros(len(u.x), 0)), strict=True)]


@pytest.mark.parametrize(
    "config",
    [CONFIG, replace(CONFIG, family="flow", transforms=1), replace(CONFIG, family="flow", flow="maf", transforms=1)],
    ids=["mdn", "nsf", "maf"],
)
def test_processes_change_nothing(config: ProbeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "cores", lambda: 2)
    seen: list[tuple[str, int, int]] = []
    apart = read(config, lambda *at: seen.append(at))
    assert seen[-1] == ("fit probe, twin", 2 * WORTH_A_PROCESS, 2 * WORTH_A_PROCESS)
    monkeypatch.setattr(together, "cores", lambda: 1)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        here = read(config)
    finally:
        torch.set_num_threads(before)
    for a, b in zip(apart, here, strict=True):
        assert torch.equal(a, b)


def test_short_fits_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "cores", lambda: 2)
    monkeypatch.setattr(together, "pool", lambda *_: pytest.fail("a process for a short fit"))
    read(replace(CONFIG, fit=replace(CONFIG.fit, steps=WORTH_A_PROCESS - 1, evaluate_every=50)))


def test_an_error_in_a_process_is_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "cores", lambda: 2)
    wild = replace(CONFIG, fit=replace(CONFIG.fit, lr=1e30, clip=1e30, warmup=1))
    with pytest.raises(PluginError, match="the (validation )?loss is"):
        read(wild)


class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_process_that_dies_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "cores", lambda: 2)
    with pytest.raises(BenchError, match="^a worker process died: out of memory"):
        fit_probes(
            [FITS[0], Fit("fit", Deadly(), DATA["train"], 1)], DATA["valid"], (1, 2), CONFIG, CPU, lambda *_: None
        )


def test_an_interrupt_ends_the_fits_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "cores", lambda: 2)
    endless = replace(CONFIG, fit=replace(CONFIG.fit, steps=10_000_000, evaluate_every=10_000_000))
    started: list[psutil.Process] = []

    def progress(what: str, done: int, total: int) -> None:
        if done:
            started.extend(p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline()))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(endless, progress)
    assert len(started) == 2
    deadline = time.monotonic() + 60
    while any(map(running, started)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [p for p in started if running(p)]


def running(process: psutil.Process) -> bool:
    """Whether it still works; one that ended and that its new parent has not noticed does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
