"""Codecs brought to one frame rate, so that a frame is the same stretch of audio in every row of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from bench import registry
from bench.contract import Codec
from bench.errors import BenchError
from bench.stacking import stacked

FRAME_RATE = 12.5
"""Hz: that of the horizons, 1, 2, 4 and 8 frames of which are 80, 160, 320 and 640 ms."""


@dataclass(frozen=True)
class Matched:
    """A codec at 12.5 Hz, or at its own rate where that is no multiple; `spec` builds it again."""

    spec: str
    codec: Codec

    @property
    def exact(self) -> bool:
        """Whether it is at 12.5 Hz."""
        return abs(self.codec.info.frame_rate - FRAME_RATE) < 1e-9


def matched(spec: str) -> Matched:
    """The codec of `spec`, its frames stacked to 12.5 Hz where its frame rate is a multiple of that.

    A spec that says `+stackF` is left as it is.

    Raises:
        BenchError: as `registry.build`.
    """
    name, tap, factor, argument = registry.codec_spec(spec)
    codec: Codec = registry.build("codecs", spec)
    times = codec.info.frame_rate / FRAME_RATE
    if factor > 1 or round(times) < 2 or abs(times - round(times)) > 1e-9:
        return Matched(spec, codec)
    made = cast(Codec, stacked(codec, round(times)))
    full = f"{name}{f'@{tap}' if tap else ''}+stack{round(times)}{f':{argument}' if argument else ''}"
    return Matched(full, made)


def listed(text: str) -> list[str]:
    """The codecs of a list with commas, each once.

    >>> listed("minicodec, soundstream@30:/data/lyra,minicodec")
    ['minicodec', 'soundstream@30:/data/lyra']

    Raises:
        BenchError: one of them is empty.
    """
    specs = [spec.strip() for spec in text.split(",")]
    if not all(specs):
        raise BenchError(f"--codecs: expected NAME,NAME,…, got {text!r}")
    return list(dict.fromkeys(specs))
