"""Distortion metrics: published values, closed forms, invariances, and that nothing is ever imputed."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from numpy.typing import NDArray

from bench.metrics.distortion import (
    HOP,
    MELS,
    RATE,
    WINDOW,
    Unscorable,
    fingerprint,
    log_mel,
    log_mel_l1,
    mel_filters,
    pesq,
    si_sdr,
    stoi,
)

KNOWN = Path(os.environ.get("LATENTBENCH_DATA", Path(__file__).parents[4] / "shared" / "data")) / "known_answers"
METRICS = (pesq, stoi, si_sdr, log_mel_l1)
Signal = NDArray[np.float64]


def known(name: str) -> Signal:
    path = KNOWN / f"{name}.wav"
    if not path.exists():
        pytest.skip("no known_answers in LATENTBENCH_DATA or ../shared/data")
    samples, rate = sf.read(path)
    assert rate == RATE
    return samples


@pytest.fixture(scope="module")
def speech() -> Signal:
    """Three seconds of noise in syllables and pauses; enough for PESQ to find utterances in."""
    rng = np.random.default_rng(0)
    envelope = np.repeat(rng.uniform(0, 1, 24) ** 2, 2000) * np.tile(np.hanning(2000), 24)
    return 0.3 * envelope * rng.standard_normal(48_000)


def noisy(speech: Signal, snr_db: float) -> Signal:
    noise = np.random.default_rng(1).standard_normal(len(speech))
    return speech + noise * np.linalg.norm(speech) / np.linalg.norm(noise) * 10 ** (-snr_db / 20)


def test_published_values_of_the_pesq_package() -> None:
    clean, degraded = known("speech"), known("speech_bab_0dB")
    assert pesq(clean, degraded) == pytest.approx(1.0832337141, abs=1e-9)
    assert stoi(clean, degraded) == pytest.approx(0.6739178, abs=1e-7)


def test_published_values_of_versa() -> None:
    one, two = known("versa_test1"), known("versa_test2")
    assert pesq(one, two) == pytest.approx(1.5722705, abs=1e-6)
    assert stoi(one, two) == pytest.approx(0.0076251, abs=1e-6)
    assert si_sdr(one, two, zero_mean=False) == pytest.approx(1.07028, abs=1e-4)
    assert si_sdr(one, two) == pytest.approx(-48.87, abs=0.01)


def test_identical_signals_score_perfectly(speech: Signal) -> None:
    assert pesq(speech, speech) == pytest.approx(4.64, abs=0.01)
    assert stoi(speech, speech) == pytest.approx(1.0, abs=1e-9)
    assert si_sdr(speech, speech) == 100.0
    assert log_mel_l1(speech, speech) == 0.0


@pytest.mark.parametrize(("metric", "sign"), [(pesq, 1), (stoi, 1), (si_sdr, 1), (log_mel_l1, -1)])
def test_more_noise_is_worse(speech: Signal, metric: object, sign: int) -> None:
    assert callable(metric)
    scores = [sign * metric(speech, noisy(speech, snr)) for snr in (40, 25, 10, 0)]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4


def test_the_longer_signal_is_trimmed_at_its_end(speech: Signal) -> None:
    tail = np.full(700, 0.5)
    degraded = noisy(speech, 10)
    for metric in METRICS:
        expected = metric(speech, degraded)
        assert metric(speech, np.concatenate([degraded, tail])) == expected
        assert metric(np.concatenate([speech, tail]), degraded) == expected


@pytest.mark.parametrize("ratio_db", [-20.0, 0.0, 12.5, 60.0])
def test_si_sdr_of_orthogonal_noise_is_the_ratio(speech: Signal, ratio_db: float) -> None:
    s = speech - speech.mean()
    n = np.random.default_rng(2).standard_normal(len(s))
    n -= n.mean()
    n -= (n @ s) / (s @ s) * s
    n *= np.linalg.norm(s) / np.linalg.norm(n) * 10 ** (-ratio_db / 20)
    assert si_sdr(s, s + n) == pytest.approx(ratio_db, abs=1e-6)


def test_si_sdr_ignores_scale_and_offset_but_not_the_convention(speech: Signal) -> None:
    degraded = noisy(speech, 5)
    expected = si_sdr(speech, degraded)
    assert si_sdr(speech, -3.7 * degraded) == pytest.approx(expected, abs=1e-9)
    assert si_sdr(0.01 * speech, degraded + 5.0) == pytest.approx(expected, abs=1e-9)
    assert si_sdr(speech, degraded + 5.0, zero_mean=False) < expected - 10


def test_si_sdr_is_limited(speech: Signal) -> None:
    first = np.zeros(1000)
    first[:500] = speech[:500]
    assert si_sdr(first, first[::-1], zero_mean=False) == -100.0
    assert si_sdr(speech, speech + 1e-9 * speech[::-1]) == 100.0


@pytest.mark.parametrize("gain", [0.5, 2.0, 10.0])
def test_log_mel_of_a_gain_is_its_logarithm(gain: float) -> None:
    noise = 0.1 * np.random.default_rng(3).standard_normal(RATE)
    assert log_mel_l1(noise, gain * noise) == pytest.approx(abs(np.log10(gain)), abs=1e-12)


def test_log_mel_has_a_floor() -> None:
    silence = np.zeros(RATE)
    assert np.array_equal(log_mel(silence), np.full((1 + (RATE - WINDOW) // HOP, MELS), -5.0))
    assert log_mel_l1(silence, 1e-12 * np.ones(RATE)) == 0.0


def test_log_mel_spectra_are_those_of_torch(speech: Signal) -> None:
    window = torch.hann_window(WINDOW, dtype=torch.float64)
    spectrum = torch.stft(torch.from_numpy(speech), WINDOW, HOP, window=window, center=False, return_complex=True)
    expected = (torch.from_numpy(mel_filters().copy()) @ spectrum.abs()).clamp(min=1e-5).log10().T
    np.testing.assert_allclose(log_mel(speech), expected.numpy(), atol=1e-9)


def test_mel_filters_have_equal_area_and_meet_at_their_centres() -> None:
    filters = mel_filters()
    assert filters.shape == (MELS, WINDOW // 2 + 1)
    hz = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    # wide filters are sampled finely enough for their area to show
    np.testing.assert_allclose(filters[60:].sum(1) * RATE / WINDOW, 1.0, rtol=0.02)
    # Slaney's scale: 15 mels to 1 kHz, 27 more to 6.4 kHz, so 42 + ln(8/6.4)/ln(6.4)·27 = 45.25 to 8 kHz
    mels = np.linspace(0, 42 + np.log(8 / 6.4) / np.log(6.4) * 27, MELS + 2)[1:-1]
    centres = np.where(mels < 15, mels * 1000 / 15, 1000 * 6.4 ** ((mels - 15) / 27))
    assert np.all(np.abs(hz[filters.argmax(1)] - centres) <= RATE / WINDOW)


@pytest.mark.parametrize(
    ("metric", "samples", "reason"),
    [
        (pesq, 3_999, "needs at least 0.25 s"),
        (pesq, 41 * RATE, "takes at most 40 s"),
        (stoi, 6_000, "needs at least 0.41 s"),
        (log_mel_l1, WINDOW - 1, "needs at least 0.064 s"),
    ],
)
def test_lengths_that_cannot_be_scored(metric: object, samples: int, reason: str) -> None:
    assert callable(metric)
    noise = np.random.default_rng(0).standard_normal(samples)
    with pytest.raises(Unscorable, match=reason):
        metric(noise, noise)


def test_silence_cannot_be_scored(speech: Signal) -> None:
    silence = np.zeros_like(speech)
    for metric in (pesq, stoi, si_sdr):
        with pytest.raises(Unscorable, match="silent reference"):
            metric(silence, speech)
    for metric in (pesq, si_sdr):
        with pytest.raises(Unscorable, match="silent estimate"):
            metric(speech, silence)
    # to answer with silence is unintelligible, and that STOI can say
    assert stoi(speech, silence) == 0.0


def test_pesq_without_utterances_and_stoi_of_a_click() -> None:
    click = np.zeros(RATE)
    click[8000:8400] = 0.1 * np.random.default_rng(0).standard_normal(400)
    with pytest.raises(Unscorable, match="PESQ: No utterances detected"):
        pesq(click, click)
    with pytest.raises(Unscorable, match="fewer than 30 frames"):
        stoi(click, click)


@pytest.mark.parametrize("metric", METRICS)
def test_bad_arrays_are_errors_not_scores(metric: object, speech: Signal) -> None:
    assert callable(metric)
    broken = speech.copy()
    broken[3] = np.nan
    with pytest.raises(ValueError, match="finite"):
        metric(speech, broken)
    with pytest.raises(ValueError, match="expected two"):
        metric(speech, speech[None])


def test_the_fingerprint_names_versions_and_conventions() -> None:
    found = fingerprint()
    assert found["pesq_mode"] == "wb"
    assert "zero-mean" in found["si_sdr"]
    assert {"pesq", "pystoi", "soxr"} <= set(found)
