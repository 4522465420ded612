"""Where a codec's latents are taken: the names that may follow `@`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.errors import DataError

CONTINUOUS = "continuous"
RVQ = "rvq"


@dataclass(frozen=True)
class Tap:
    """A tap by name.

    Attributes:
        name: one of those that the codec knows, or "rvq" for latents dequantised from `stages` codebooks.
        stages: 0 but for "rvq".
    """

    name: str
    stages: int = 0

    def of(self, codec: str) -> str:
        """The codec's name at this tap; the default tap has none of its own."""
        return codec if self.name == CONTINUOUS else f"{codec}@{self.name}{self.stages or ''}"


def read(codec: str, text: str, known: Sequence[str], stages: int) -> Tap:
    """The tap that `text` names; empty is `continuous`.

    Args:
        known: taps by name, `continuous` among them.
        stages: number of codebooks, the largest N of `rvqN`; 0 without codes.

    Raises:
        DataError: there is none of that name; names those that exist.
    """
    if not text:
        return Tap(CONTINUOUS)
    if text in known:
        return Tap(text)
    numbered = re.fullmatch(rf"{RVQ}([1-9]\d*)", text)
    if numbered and int(numbered[1]) <= stages:
        return Tap(RVQ, int(numbered[1]))
    there = ", ".join([*known, *([f"{RVQ}1 to {RVQ}{stages}"] if stages else [])])
    raise DataError(f"codec {codec}: no tap {text!r}; there are: {there}")
