"""What a record says of where it was made: code, packages, hardware, time and memory."""

from __future__ import annotations

import contextlib
import platform
import resource
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import __version__
from bench.device import describe
from bench.record import Environment

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "soundfile", "soxr", "pesq", "pystoi", "jiwer", "pocketsphinx")
CODE = ("bench", "tasks", "baselines", "submissions", "pyproject.toml", "constraints.txt")
"""What makes a checkout dirty: code and cards, not records or prose."""


def capture(device: torch.device) -> Environment:
    """The environment as it is now."""
    import torch

    commit, dirty = _commit()
    return Environment(
        latentbench=__version__,
        commit=commit,
        dirty=dirty,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        threads=torch.get_num_threads(),
        device=describe(device),
        packages=scoring_packages(),
    )


def arithmetic(device: torch.device) -> dict[str, Any]:
    """What decides the last bits of a tensor beside code and inputs."""
    import torch

    return {
        "device": describe(device),
        "machine": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "packages": {name: _version(name) for name in ("torch", "numpy")},
    }


def scoring_packages() -> dict[str, str]:
    """Versions of what metrics call, or what these call in turn."""
    return {name: found for name in PACKAGES if (found := _version(name))}


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _commit() -> tuple[str | None, bool | None]:
    """Commit and dirty flag of the checkout this package is run from; None outside one."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None, None
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        status = subprocess.run(
            ["git", "status", "--porcelain", "--", *CODE], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return head.stdout.strip(), bool(status.stdout.strip())


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def reset_peak_memory() -> None:
    """Start a new peak, where the system allows it (Linux); elsewhere peaks only grow."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mib() -> float:
    """Peak resident memory of this process since the last reset, in MiB."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform != "darwin" else peak / 2**20
