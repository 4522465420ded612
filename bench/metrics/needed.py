"""What the metrics of the extra `quality` share: packages that may be missing, model files, audio at the door.

Conventions: audio is (N,), real, in [-1, 1], at 16 kHz. What cannot be scored raises `Unscorable` with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.cache import file_digest
from bench.errors import BenchError, DataError
from bench.metrics.distortion import RATE, Array, Unscorable

INSTALL = "pip install 'latentbench[quality]'"


@contextmanager
def imported(metric: str, package: str, alone: str = "") -> Iterator[None]:
    """A missing package becomes one line that says how to install it.

    Args:
        alone: the requirement that has to be installed without its dependencies, whose pins contradict ours.

    Raises:
        BenchError: the package, or one that it needs, is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise BenchError(_missing(metric, package, alone)) from error


@cache
def model_file(metric: str, package: str, inside: str, sha256: str, alone: str = "") -> Path:
    """A model that ships in a package, which is not imported; the file is the pinned one.

    Raises:
        BenchError: the package is not installed.
        DataError: the file is missing, or another.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise BenchError(_missing(metric, package, alone))
    path = Path(next(iter(spec.submodule_search_locations))) / inside
    if not path.is_file():
        raise DataError(f"{metric}: expected {inside} in the package {package}, which has none")
    if (got := file_digest(path)) != sha256:
        raise DataError(f"{metric}: {path} has sha256 {got[:16]}…, expected {sha256[:16]}…")
    return path


def checked(metric: str, audio: npt.ArrayLike, least_s: float) -> Array:
    """Audio (N,) in float64.

    Raises:
        ValueError: of another shape.
        Unscorable: shorter than `least_s`, not finite, or silent.
    """
    x = np.asarray(audio, dtype=np.float64)
    if x.ndim != 1:
        raise ValueError(f"{metric}: expected audio (N,), got {x.shape}")
    if len(x) < least_s * RATE:
        raise Unscorable(f"{metric}: needs at least {least_s:g} s, got {len(x) / RATE:.3f} s")
    if not np.isfinite(x).all():
        raise Unscorable(f"{metric}: samples that are not finite")
    if not x.any():
        raise Unscorable(f"{metric}: silent")
    return x


def _missing(metric: str, package: str, alone: str) -> str:
    then = f" and pip install --no-deps {alone}" if alone else ""
    return f"{metric} needs {package}: {INSTALL}{then}"
