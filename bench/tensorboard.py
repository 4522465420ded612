"""Scalars of a fit as TensorBoard events, for `bench run --tensorboard`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.errors import BenchError

INSTALL = "pip install 'latentbench[tensorboard]'"


class Events:
    """Writes under `folder`, which is made at the first scalar.

    Raises:
        BenchError: TensorBoard is not installed, or later: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        if not _installed():
            raise BenchError(f"--tensorboard: expected the package tensorboard; {INSTALL}")
        self.folder = folder
        self._writer: Any = None

    def __call__(self, step: int, values: Mapping[str, float]) -> None:
        """Add what was measured at `step`."""
        try:
            if self._writer is None:
                from torch.utils.tensorboard import SummaryWriter

                # of a fit that was killed, what came after its last checkpoint is measured anew
                self._writer = SummaryWriter(str(self.folder), purge_step=step)
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
        except OSError as error:
            raise BenchError(f"--tensorboard: {self.folder} cannot be written: {error.strerror or error}") from error

    def close(self) -> None:
        """Write out what is buffered."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _installed() -> bool:
    try:
        return find_spec("tensorboard") is not None
    except ValueError:  # what keeps a module from being imported may leave it without a specification
        return False
