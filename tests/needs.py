"""What some tests need that a machine may not have, and why they are skipped where it is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATASETS = "the package datasets is an extra: pip install 'latentbench[data]'"
MOSHI = "the package moshi is installed apart: pip install --no-deps -r requirements-nodeps.txt"
DATA = Path(os.environ.get("LATENTBENCH_DATA", Path(__file__).parents[2] / "shared" / "data"))
"""Recordings and weights that are not the project's to give away."""


def speech(name: str) -> Path:
    """A folder of real recordings; the test is skipped where it is missing."""
    if not (DATA / name).is_dir():
        pytest.skip(f"its recordings are not shipped: LATENTBENCH_DATA must name the folder that holds {name}")
    return DATA / name
