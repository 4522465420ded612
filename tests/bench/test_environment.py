"""Device, hardware and code state, as a record tells them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench import device, environment
from bench.errors import BenchError

CPU = torch.device("cpu")


def test_an_unknown_device() -> None:
    with pytest.raises(BenchError, match="^no device 'tpu'; there are: auto, cpu, cuda$"):
        device.choose("tpu")


@pytest.mark.parametrize(("available", "auto"), [(False, "cpu"), (True, "cuda")])
def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch, available: bool, auto: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert device.choose("auto").type == auto
    assert device.choose("cpu").type == "cpu"
    if available:
        assert device.choose("cuda").type == "cuda"
    else:
        with pytest.raises(BenchError, match="torch sees no GPU; use --device cpu"):
            device.choose("cuda")


def test_a_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda where: "H100")
    assert device.describe(torch.device("cuda")) == "cuda (H100)"
    assert device.describe(CPU) == "cpu"
    assert environment.arithmetic(torch.device("cuda")) != environment.arithmetic(CPU)


def test_an_environment_says_what_ran() -> None:
    found = environment.capture(CPU)
    assert found.packages["torch"] == torch.__version__
    assert found.threads == torch.get_num_threads()
    assert found.device == "cpu"
    assert {"pesq", "pystoi", "pocketsphinx", "soxr"} <= found.packages.keys()
    assert environment.scoring_packages() == found.packages


def test_commit_and_dirty_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        done = subprocess.run(["git", *who, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    (tmp_path / "bench").mkdir()
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "bench" / "environment.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment._commit() == (None, None)
    git("init", "-q")
    # a repository without a commit
    assert environment._commit() == (None, None)
    (tmp_path / "bench" / "a.py").write_text("1")
    git("add", ".")
    git("commit", "-qm", "first")
    assert environment._commit() == (git("rev-parse", "HEAD"), False)
    # records and prose do not make code dirty
    (tmp_path / "notes.md").write_text("x")
    assert environment._commit()[1] is False
    (tmp_path / "bench" / "a.py").write_text("2")
    assert environment._commit()[1] is True


HOLD = """
from pathlib import Path

import torch

from bench import environment

environment.reset_peak_memory()
before = environment.peak_memory_mib()
held = torch.ones(64 * 2**20 // 4)
assert environment.peak_memory_mib() >= before + 60, "held"
del held
environment.reset_peak_memory()
if Path("/proc/self/clear_refs").exists():
    assert environment.peak_memory_mib() < before + 40, "forgotten"
"""


def test_peak_memory_sees_what_was_held_and_forgets_it() -> None:
    # a process of its own: where other tests have freed gigabytes, the allocator hands them out again unseen
    done = subprocess.run([sys.executable, "-c", HOLD], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
