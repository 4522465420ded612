"""Pitch and voicing: of one signal, and how far those of a signal are from its reference's.

Conventions: audio is (N,) at 16 kHz, reference first, aligned, trimmed to the shorter. F0 in Hz every 5 ms between 60
and 600 Hz by WORLD's DIO, refined by StoneMask; 0 is unvoiced, where DIO finds nothing or D4C's "love train" no power
below 4 kHz that is periodic (DIO alone takes up to a sixth of white noise for voiced). Intervals in cents, 1200 log2 of
a ratio.

* `f0_rmse_cents`: root mean square interval over the frames that are voiced in both; lower is better;
* `gross_pitch_error`: share of those frames more than 20 % from the reference, in [0, 1];
* `voicing_error`: share of all frames where one is voiced and the other not, in [0, 1].

DIO may be an octave off, so that one wrong frame is 1200 cents: read the RMSE beside the gross errors. Whispered speech
and several voices at once have no F0 that it could find.

References:
    Morise, Kawahara and Katayose 2009 (DIO, AES 35th conference); Morise, Yokomori and Ozawa 2016 (WORLD, IEICE E99-D);
    Morise 2016 (D4C, Speech Communication 84); Rabiner et al. 1976 (gross errors, IEEE TASSP 24); Nakatani et al. 2008
    (voicing decisions, Speech Communication 50).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from types import ModuleType, SimpleNamespace
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from bench.metrics.distortion import RATE, Array, Unscorable
from bench.metrics.needed import checked, imported

FRAME_MS = 5.0
LOWEST_HZ, HIGHEST_HZ = 60.0, 600.0
GROSS = 0.2
LOVE_TRAIN = 0.85
"""WORLD's own threshold."""
MIN_S = 0.1
"""Six periods of the lowest pitch."""


class PitchError(TypedDict):
    """How far pitch and voicing are from the reference's."""

    f0_rmse_cents: float
    gross_pitch_error: float
    voicing_error: float


class Pitch(TypedDict):
    """Of one signal: geometric mean and standard deviation over voiced frames, and their share."""

    f0_hz: float
    f0_spread_cents: float
    voiced: float


def pitch_error(reference: npt.ArrayLike, estimate: npt.ArrayLike) -> PitchError:
    """All three errors of an aligned pair (N,), (N,).

    Raises:
        Unscorable: shorter than 0.1 s, silent, not finite, or no frame that is voiced in both.
        BenchError: pyworld is not installed.
    """
    n = min(np.shape(reference)[-1], np.shape(estimate)[-1])
    a, b = f0(np.asarray(reference)[:n]), f0(np.asarray(estimate)[:n])
    both = (a > 0) & (b > 0)
    if not both.any():
        raise Unscorable("pitch: no frame that is voiced in both")
    ratio = b[both] / a[both]
    return PitchError(
        f0_rmse_cents=float(np.sqrt(np.square(1200.0 * np.log2(ratio)).mean())),
        gross_pitch_error=float((np.abs(ratio - 1.0) > GROSS).mean()),
        voicing_error=float(((a > 0) != (b > 0)).mean()),
    )


def pitch(audio: npt.ArrayLike) -> Pitch:
    """Mean pitch of a signal (N,), how much it moves, and how much of it is voiced.

    Raises:
        Unscorable: shorter than 0.1 s, silent, not finite, or without voiced frames.
        BenchError: pyworld is not installed.
    """
    found = f0(audio)
    if not (found > 0).any():
        raise Unscorable("pitch: no voiced frame")
    octaves = np.log2(found[found > 0])
    return Pitch(
        f0_hz=float(2.0 ** octaves.mean()),
        f0_spread_cents=float(1200.0 * octaves.std()),
        voiced=float((found > 0).mean()),
    )


def f0(audio: npt.ArrayLike) -> Array:
    """F0 of (N,) in Hz every 5 ms, (1 + N // 80,); 0 where unvoiced."""
    x = checked("pitch", audio, MIN_S)
    world = _world()
    rough, times = world.dio(x, RATE, f0_floor=LOWEST_HZ, f0_ceil=HIGHEST_HZ, frame_period=FRAME_MS)
    found: Array = world.stonemask(x, rough, times, RATE)
    # an unvoiced frame is aperiodic at every frequency, the lowest too
    aperiodic = world.d4c(x, found, times, RATE, threshold=LOVE_TRAIN)[:, 0] > 1.0 - 1e-6
    return np.where(aperiodic, 0.0, found)


def fingerprint() -> dict[str, str]:
    """What decides pitch beside the audio."""
    with imported("pitch", "pyworld"):
        found = version("pyworld")
    return {
        "pyworld": found,
        "f0": f"1: DIO, StoneMask, D4C {LOVE_TRAIN}, {FRAME_MS:g} ms, {LOWEST_HZ:g}–{HIGHEST_HZ:g} Hz",
    }


@cache
def _world() -> ModuleType:
    with imported("pitch", "pyworld"), _resources():
        import pyworld
    return pyworld


@contextmanager
def _resources() -> Iterator[None]:
    """pyworld asks pkg_resources for its own version when it is imported, and setuptools 82 and later have none."""
    stand_in = ModuleType("pkg_resources")
    vars(stand_in)["get_distribution"] = lambda name: SimpleNamespace(version=version(name))
    was = sys.modules.get("pkg_resources")
    sys.modules["pkg_resources"] = stand_in
    try:
        yield
    finally:
        if was is None:
            del sys.modules["pkg_resources"]
        else:
            sys.modules["pkg_resources"] = was
