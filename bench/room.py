"""Whether there is memory for a long recording, which a codec takes in one piece.

Recordings are not cut: no codec says how far back a latent hears, and one that was cut would not be the codec's own.
What a longer one needs is extrapolated from the peaks of three short ones, with a term for attention, whose memory
grows with the square of the length.
"""

from __future__ import annotations

import numpy as np
import psutil
import torch

from bench.contract import Codec
from bench.environment import peak_memory_mib, reset_peak_memory
from bench.errors import DataError

LONG = 120.0
"""Seconds up to which nobody asks."""
TRIED = (30.0, 60.0, 120.0)
"""Seconds of noise that are encoded to see what they need."""
MARGIN = 1.25
"""On what is foreseen: up to a fifth more was found."""
SQUARE_MIB = 16.0
"""How far the longest must lie above a straight line for a square: what is less is how memory is handed out."""


class Room:
    """Memory that `codec` needs on `device`, measured once a recording is long."""

    def __init__(self, codec: Codec, device: torch.device) -> None:
        self.codec, self.device = codec, device
        self._polynomial: np.ndarray | None = None

    def check(self, samples: int) -> None:
        """Refuse a recording that does not fit, before the system ends the process for it.

        Raises:
            DataError: it needs more than is free.
        """
        seconds = samples / self.codec.info.sample_rate
        if seconds <= LONG:
            return
        needed, free = MARGIN * self.needed_mib(seconds), self._free_mib()
        if needed > free:
            raise DataError(
                f"codec {self.codec.info.name}: {seconds / 60:.1f} min in one piece need about {needed / 1024:.1f} GiB"
                f", {free / 1024:.1f} GiB are free; cut the recording into shorter files"
            )

    def needed_mib(self, seconds: float) -> float:
        """What encoding `seconds` of audio needs at its peak, in MiB, beside what is in use."""
        if self._polynomial is None:
            self._peak(1.0)  # what is allocated once does not count
            short, middle, longest = peaks = [self._peak(one) for one in TRIED]
            straight = middle + (middle - short) * (TRIED[2] - TRIED[1]) / (TRIED[1] - TRIED[0])
            self._polynomial = np.polyfit(TRIED, peaks, 2 if longest - straight > SQUARE_MIB else 1)
        return max(0.0, float(np.polyval(self._polynomial, seconds)))

    def _peak(self, seconds: float) -> float:
        noise = 0.1 * torch.randn(1, 1, round(seconds * self.codec.info.sample_rate), generator=torch.Generator())
        noise = noise.to(self.device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
            with torch.no_grad():
                self.codec.encode(noise)
            return (torch.cuda.max_memory_allocated(self.device) - before) / 2**20
        reset_peak_memory()
        before = psutil.Process().memory_info().rss / 2**20
        with torch.no_grad():
            self.codec.encode(noise)
        return max(0.0, peak_memory_mib() - before)

    def _free_mib(self) -> float:
        if self.device.type == "cuda":
            return torch.cuda.mem_get_info(self.device)[0] / 2**20
        return psutil.virtual_memory().available / 2**20
