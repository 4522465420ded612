"""How far a waveform is from its reference: PESQ, STOI, SI-SDR and log-mel L1.

Conventions: `reference` and `estimate` are (N,) real arrays at 16 kHz, reference first, trimmed to the shorter
of the two. What a metric cannot score raises `Unscorable`; nothing is imputed. No torch is imported here:
worker processes start from this module.

Metrics:
    pesq: ITU-T P.862.2, wide band, MOS-LQO. 4.64 for identical signals.
    stoi: Taal, Hendriks, Heusdens and Jensen 2011, "An algorithm for intelligibility prediction of
        time-frequency weighted noisy speech", IEEE TASLP 19.
    si_sdr: Le Roux, Wisdom, Erdogan and Hershey 2019 (arXiv 1811.02508).
    log_mel_l1: mean absolute difference of log10-mel spectra with the analysis of Kong, Kim and Bae 2020
        (HiFi-GAN, arXiv 2010.05646).
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

RATE = 16_000
"""Hz."""
PESQ_MIN_S, PESQ_MAX_S = 0.25, 40.0
"""The reference code takes no less, and its tables of 50 utterances overflow in longer speech."""
STOI_MIN_S = 0.41
"""30 frames of 25.6 ms every 12.8 ms, and the resampler's edges."""
SI_SDR_LIMIT_DB = 100.0
"""Identical signals are infinitely far above their error; values are limited to ±100 dB, where only rounding
is left of 16-bit audio."""

WINDOW, HOP, MELS = 1024, 256, 80
FLOOR = 1e-5

Array = npt.NDArray[np.float64]


class Unscorable(Exception):
    """A pair that a metric has no value for. The message is the reason."""


def fingerprint() -> dict[str, str]:
    """What decides these metrics beside their inputs: packages and definitions."""
    return {
        **{name: version(name) for name in ("pesq", "pystoi", "soxr")},
        "pesq_mode": "wb",
        "si_sdr": f"zero-mean, limited to ±{SI_SDR_LIMIT_DB:g} dB",
        "log_mel": f"log10, magnitude, {MELS} Slaney mels to {RATE // 2} Hz, {WINDOW}/{HOP} Hann, floor {FLOOR:g}",
        "trim": "to the shorter signal, at the end",
    }


def pesq(reference: npt.ArrayLike, estimate: npt.ArrayLike) -> float:
    """Wide-band PESQ, MOS-LQO in about [1.02, 4.64]; higher is better.

    Args:
        reference: (N,), 16 kHz.
        estimate: (N,), 16 kHz.

    Raises:
        Unscorable: shorter than 0.25 s, longer than 40 s, a silent signal, or no utterance found in it.
    """
    from pesq import PesqError
    from pesq import pesq as p862

    s, e = _pair(reference, estimate)
    _check_length("PESQ", len(s), PESQ_MIN_S, PESQ_MAX_S)
    _check_not_silent("PESQ", s, e)
    try:
        value = float(p862(RATE, s, e, "wb"))
    except PesqError as error:
        raise Unscorable(f"PESQ: {_reason(error)}") from error
    if not np.isfinite(value):
        raise Unscorable("PESQ: the reference code gave no finite value")
    return value


def stoi(reference: npt.ArrayLike, estimate: npt.ArrayLike) -> float:
    """Short-time objective intelligibility, at most 1; higher is better.

    Args:
        reference: (N,), 16 kHz.
        estimate: (N,), 16 kHz. A silent one scores 0.

    Raises:
        Unscorable: a silent reference, or fewer than 30 frames left after its silent ones are removed.
    """
    from pystoi import stoi as taal

    s, e = _pair(reference, estimate)
    _check_length("STOI", len(s), STOI_MIN_S)
    _check_not_silent("STOI", s)
    with warnings.catch_warnings():
        # pystoi answers 1e-5 and a warning when too few frames are left
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(taal(s, e, RATE))
        except RuntimeWarning as warning:
            raise Unscorable("STOI: fewer than 30 frames that are not silent") from warning


def si_sdr(reference: npt.ArrayLike, estimate: npt.ArrayLike, *, zero_mean: bool = True) -> float:
    """Scale-invariant signal-to-distortion ratio 10 log10(‖αs‖² / ‖αs − ŝ‖²), α = ⟨ŝ, s⟩ / ‖s‖², in dB.

    Higher is better; limited to ±`SI_SDR_LIMIT_DB`. The two conventions differ by tens of dB where a signal
    has an offset, so that a value without its convention means nothing. This harness reports `zero_mean`.

    Args:
        reference: (N,), s.
        estimate: (N,), ŝ.
        zero_mean: remove the mean of both first.

    Raises:
        Unscorable: a reference or an estimate without energy.
    """
    s, e = _pair(reference, estimate)
    if zero_mean and len(s):
        s, e = s - s.mean(), e - e.mean()
    _check_not_silent("SI-SDR", s, e)
    target = (e @ s) / (s @ s) * s
    error = e - target
    with np.errstate(divide="ignore"):
        ratio = 10.0 * (np.log10(target @ target) - np.log10(error @ error))
    return float(np.clip(ratio, -SI_SDR_LIMIT_DB, SI_SDR_LIMIT_DB))


def log_mel_l1(reference: npt.ArrayLike, estimate: npt.ArrayLike) -> float:
    """mean_{t,m} |log10 M(s)_{t,m} − log10 M(ŝ)_{t,m}|; lower is better, 0 for identical signals.

    A gain g shifts it by exactly |log10 g| where nothing is below the floor.

    Args:
        reference: (N,), 16 kHz.
        estimate: (N,), 16 kHz.

    Raises:
        Unscorable: shorter than one window of 64 ms.
    """
    s, e = _pair(reference, estimate)
    _check_length("log-mel L1", len(s), WINDOW / RATE)
    return float(np.abs(log_mel(s) - log_mel(e)).mean())


def log_mel(samples: npt.ArrayLike) -> Array:
    """log10 max(M, 1e-5), with M the magnitude spectrum of Hann windows of 1024 samples every 256, without
    padding, in 80 Slaney mel bands from 0 to 8 kHz.

    Args:
        samples: (N,), N ≥ 1024, 16 kHz.

    Returns:
        (T, 80), T = 1 + (N − 1024) // 256.
    """
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(samples, dtype=np.float64), WINDOW)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    return np.log10(np.maximum(np.abs(np.fft.rfft(frames * hann)) @ mel_filters().T, FLOOR))


@cache
def mel_filters() -> Array:
    """Triangles of equal area over Slaney's mel scale: (80, 513), read-only.

    References:
        Slaney 1998, "Auditory Toolbox", Interval Research technical report 1998-010.
    """
    corners = _hz(np.linspace(0.0, _mel(RATE / 2), MELS + 2))
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    hz = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    triangles = np.minimum((hz - low) / (centre - low), (high - hz) / (high - centre)).clip(min=0.0)
    filters: Array = triangles * 2.0 / (high - low)
    filters.flags.writeable = False
    return filters


_LINEAR_MELS, _LINEAR_HZ, _LOG_STEP = 15.0, 1000.0, np.log(6.4) / 27.0


def _mel(hz: float) -> float:
    """Slaney's scale above 1 kHz, where it is logarithmic."""
    return float(_LINEAR_MELS + np.log(hz / _LINEAR_HZ) / _LOG_STEP)


def _hz(mel: Array) -> Array:
    log_part = _LINEAR_HZ * np.exp(_LOG_STEP * (mel - _LINEAR_MELS))
    return np.where(mel < _LINEAR_MELS, mel * _LINEAR_HZ / _LINEAR_MELS, log_part)


def _pair(reference: npt.ArrayLike, estimate: npt.ArrayLike) -> tuple[Array, Array]:
    s, e = np.asarray(reference, dtype=np.float64), np.asarray(estimate, dtype=np.float64)
    if s.ndim != 1 or e.ndim != 1:
        raise ValueError(f"distortion: expected two (N,) arrays, got {s.shape} and {e.shape}")
    n = min(len(s), len(e))
    s, e = s[:n], e[:n]
    if not (np.isfinite(s).all() and np.isfinite(e).all()):
        raise ValueError("distortion: expected finite samples, got NaN or infinity")
    return s, e


def _check_length(metric: str, n: int, least_s: float, most_s: float = np.inf) -> None:
    if n < least_s * RATE:
        raise Unscorable(f"{metric}: needs at least {least_s:g} s, got {n / RATE:.3f} s")
    if n > most_s * RATE:
        raise Unscorable(f"{metric}: takes at most {most_s:g} s, got {n / RATE:.1f} s")


def _check_not_silent(metric: str, *signals: Array) -> None:
    for who, signal in zip(("reference", "estimate"), signals, strict=False):
        if not np.any(signal):
            raise Unscorable(f"{metric}: silent {who}")


def _reason(error: Exception) -> str:
    """pesq's exceptions carry bytes."""
    first = error.args[0] if error.args else type(error).__name__
    return first.decode() if isinstance(first, bytes) else str(first)
