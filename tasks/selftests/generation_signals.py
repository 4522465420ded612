"""Signals whose signs of collapse, distances and pitches are known before they are heard.

Signs of ±1 at a given amplitude have one level in every window. A pulse has the spectrum of what follows it, so that
the distances of two pulses are sums over the mel filters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.calibration.check import Measured
from bench.contract import Skipped
from bench.errors import BenchError
from bench.metrics.distortion import HOP, MELS, RATE, WINDOW, mel_filters
from bench.outputs import Waveform
from tasks.generation_scores import Job, measure

LOUD = 16_000
"""Amplitude of the voice, of 32767."""
SECONDS = 3.0
SAMPLES = int(SECONDS * RATE)
ORDER = 13


def _signs(rng: np.random.Generator, amplitude: np.ndarray | float = LOUD, samples: int = SAMPLES) -> Waveform:
    """Random signs times the amplitude, rounded."""
    return np.round(amplitude * rng.choice([-1.0, 1.0], samples)).astype(np.int16)


def collapse(seed: int) -> Sequence[Measured]:
    """Silence, loops and slopes, beside a voice of one level."""
    rng = np.random.default_rng(seed)
    voice = _signs(rng)

    def heard(waveform: Waveform, metric: str) -> float:
        return measure(Job(waveform, RATE, (metric,), past=voice))["values"].get(metric, math.nan)

    rows = [
        Measured("silence of zeros", "share", heard(np.zeros_like(voice), "silence"), 1.0, 0.0),
        Measured("silence of the voice", "share", heard(voice, "silence"), 0.0, 0.0),
    ]
    for below, truth in ((39.5, 0.0), (40.5, 1.0)):
        quiet = _signs(rng, LOUD * 10 ** (-below / 20))
        rows.append(Measured(f"silence {below:g} dB below the voice", "share", heard(quiet, "silence"), truth, 0.0))
    paused = voice.copy()
    paused[: SAMPLES // 3] = 0
    # one loud sample in a window is 30 dB below a loud window: windows of the pause alone are silent
    silent = 1 + (SAMPLES // 3 - WINDOW) // HOP
    truth = silent / (1 + (SAMPLES - WINDOW) // HOP)
    rows.append(Measured("silence of a pause of a third", "share", heard(paused, "silence"), truth, 1e-12))
    seconds = np.arange(SAMPLES) / RATE
    for slope in (-12.0, 0.0, 6.0):
        falling = _signs(rng, LOUD * 10 ** (slope * (seconds - (SECONDS if slope > 0 else 0.0)) / 20))
        rows.append(Measured(f"level slope at {slope:g} dB/s", "dB/s", heard(falling, "level_slope"), slope, 0.01))
    once = _changing(rng, 40 * HOP)
    rows.append(Measured("loop of a period of 0.64 s", "1", heard(np.tile(once, 5), "loop"), 1.0, 1e-9))
    # the largest of 82 correlations of about 40 × 184 values that differ
    return [*rows, Measured("loop of noise", "1", heard(voice, "loop"), 0.0, 0.1, side="at most")]


def _changing(rng: np.random.Generator, samples: int) -> Waveform:
    """Noise with another level every 20 ms."""
    levels = np.repeat(rng.uniform(0.05, 1.0, 1 + samples // 320), 320)[:samples]
    return _signs(rng, LOUD * levels, samples)


def distances(seed: int) -> Sequence[Measured]:
    """Mel distance and distortion of a gain and of an echo."""
    rng = np.random.default_rng(seed)
    # even amplitudes, which halve exactly
    noise = 2 * np.round(LOUD / 4 * rng.standard_normal(SAMPLES)).clip(-LOUD, LOUD).astype(np.int16)
    phase = int(rng.integers(64, HOP - 64))
    pulses = np.zeros(SAMPLES, dtype=np.int16)
    pulses[phase::WINDOW] = LOUD
    echoed = pulses.copy()
    echoed[phase + 1 :: WINDOW] = LOUD // 2
    mel, mcd = _echo(phase)

    def heard(a: Waveform, b: Waveform, metric: str) -> float:
        return measure(Job(b, RATE, (metric,), aligned=a))["values"][metric]

    return [
        Measured("log-mel L1 of half the level", "log10", heard(noise, noise // 2, "mel"), math.log10(2), 1e-6),
        Measured("MCD of half the level", "dB", heard(noise, noise // 2, "mcd"), 0.0, 1e-6),
        Measured("log-mel L1 of an echo", "log10", heard(pulses, echoed, "mel"), mel, 1e-6),
        Measured("MCD of an echo", "dB", heard(pulses, echoed, "mcd"), mcd, 1e-6),
        Measured("log-mel L1 of itself", "log10", heard(noise, noise, "mel"), 0.0, 0.0),
        Measured("MCD of itself", "dB", heard(noise, noise, "mcd"), 0.0, 0.0),
    ]


def _echo(phase: int) -> tuple[float, float]:
    """Log-mel L1 and MCD of pulses a window apart against themselves with half their height one sample later."""
    # a window holds one pulse, at phase, phase + 256, … in turn
    frames = 1 + (SAMPLES - WINDOW) // HOP
    at = (phase - HOP * np.arange(frames)) % WINDOW
    weight, later = (0.5 - 0.5 * np.cos(2 * np.pi * (at + o) / WINDOW) for o in (0, 1))
    turn = np.exp(-2j * np.pi * np.arange(WINDOW // 2 + 1) / WINDOW)
    gain = np.abs(weight[:, None] + 0.5 * later[:, None] * turn) @ mel_filters().T
    plain = weight[:, None] * mel_filters().sum(1)
    ratio = np.log10(gain / plain)
    basis = math.sqrt(2 / MELS) * np.cos(
        np.pi * np.arange(1, ORDER + 1)[:, None] * (2 * np.arange(MELS) + 1) / (2 * MELS)
    )
    moved = math.log(10) * ratio @ basis.T
    distortion = 10 / math.log(10) * np.sqrt(2 * np.square(moved).sum(1)).mean()
    return float(np.abs(ratio).mean()), float(distortion)


def pitches(seed: int) -> Sequence[Measured] | Skipped:
    """Transposed voices, voiced in part."""
    del seed
    voice = _buzz(120.0)
    rows = []

    def heard(waveform: Waveform, metric: str) -> float:
        return measure(Job(waveform, RATE, (metric,), aligned=voice, past=voice))["values"].get(metric, math.nan)

    try:
        for semitones in (-5.0, 0.0, 2.0, 7.0):
            shift = heard(_buzz(120.0 * 2 ** (semitones / 12)), "f0_shift")
            rows.append(Measured(f"pitch shift of {semitones:g} semitones", "semitones", shift, abs(semitones), 0.05))
        other = _buzz(120.0 * 2 ** (50 / 1200))
        rows.append(Measured("F0 error of 50 cents", "cent", heard(other, "f0_error"), 50.0, 3.0))
        hushed = voice.copy()
        hushed[RATE // 2 :] = 0
        rows.append(Measured("voicing error of half", "share", heard(hushed, "voicing_error"), 0.5, 0.02))
    except BenchError as error:
        return Skipped(str(error))
    return rows


def _buzz(hertz: float) -> Waveform:
    """A second of harmonics to 4 kHz that fall as 1 / k."""
    seconds = np.arange(RATE) / RATE
    tones = sum(np.sin(2 * np.pi * hertz * k * seconds) / k for k in range(1, int(4000 / hertz)))
    return np.round(LOUD / 2 * tones).clip(-32767, 32767).astype(np.int16)
