"""The pace of modulated noise is its modulation's, that of speech follows its speed."""

from __future__ import annotations

import numpy as np
import pytest
import soxr

from bench.datasets.synthspeech import SynthSpeech
from bench.metrics.distortion import RATE, Unscorable
from bench.metrics.pace import nuclei, pace, pace_slope


def pulsed(cycles: np.ndarray, seed: int = 0) -> np.ndarray:
    """Noise that is loudest where a cycle is whole."""
    envelope = np.exp(-20 * np.sin(np.pi * cycles) ** 2)
    return 0.3 * envelope * np.random.default_rng(seed).standard_normal(len(cycles))


@pytest.mark.parametrize("rate", [2.0, 4.0, 6.0])
def test_pulses_are_counted_where_they_are(rate: float) -> None:
    t = np.arange(4 * RATE) / RATE
    x = pulsed(rate * t + 0.5)
    assert pace(x) == pytest.approx(rate)
    assert nuclei(x) == pytest.approx((np.arange(4 * rate) + 0.5) / rate, abs=0.04)
    assert pace_slope(x) == pytest.approx(0.0)


def test_a_pace_that_rises_has_its_slope() -> None:
    """The phase of a chirp from 2 to 6 a second in 4 s: 1 a second, a second."""
    t = np.arange(4 * RATE) / RATE
    x = pulsed(2 * t + t**2 / 2 + 0.5)
    assert pace_slope(x) == pytest.approx(1.0)
    assert pace_slope(x[::-1]) == pytest.approx(-1.0)


def test_slower_speech_has_a_lower_pace_and_gain_changes_nothing() -> None:
    corpus = SynthSpeech()
    clips = [corpus.audio(u, RATE) for u in corpus.utterances("test")[::20]]
    usual = [pace(x) for x in clips]
    slower = [np.mean([pace(soxr.resample(x, RATE, longer * RATE)) for x in clips]) for longer in (0.8, 1.25, 1.5)]
    assert 2.5 < np.mean(usual) < 6.0, "English has about four syllables a second"
    assert slower[0] > np.mean(usual) > slower[1] > slower[2]
    assert [pace(0.1 * x) for x in clips] == usual


def test_too_short_a_clip_has_no_pace() -> None:
    with pytest.raises(Unscorable, match=r"needs at least 1 s"):
        pace(np.zeros(RATE // 2))
