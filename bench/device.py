"""Choosing a device from `--device auto|cpu|cuda`, and naming it for the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import BenchError

if TYPE_CHECKING:
    import torch

CHOICES = ("auto", "cpu", "cuda")


def choose(name: str) -> torch.device:
    """The device of that name; "auto" takes CUDA where there is one.

    Raises:
        BenchError: an unknown name, or "cuda" without a usable GPU.
    """
    import torch

    if name not in CHOICES:
        raise BenchError(f"no device {name!r}; there are: {', '.join(CHOICES)}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise BenchError("--device cuda: torch sees no GPU; use --device cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def describe(device: torch.device) -> str:
    """ "cpu", or "cuda (NAME)"."""
    import torch

    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else "cpu"
