"""Pitch of signals whose pitch is known: tones, glides, intervals, noise."""

from importlib.util import find_spec

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.metrics.distortion import RATE, Unscorable
from bench.metrics.prosody import f0, fingerprint, pitch, pitch_error

if find_spec("pyworld") is None:
    pytest.skip("pyworld is an extra: pip install 'latentbench[quality]'", allow_module_level=True)
Signal = NDArray[np.float64]
TIME = np.arange(RATE) / RATE


def harmonics(hz: float | Signal, seconds: float = 1.0) -> Signal:
    """A voice-like tone: ten harmonics that fall by 6 dB an octave."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(hz, round(seconds * RATE))) / RATE
    return 0.2 * sum(np.sin(k * phase) / k for k in range(1, 11))


def noise(seconds: float = 1.0) -> Signal:
    return 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE))


@pytest.mark.parametrize("hz", [80.0, 110.0, 220.0, 330.0, 500.0])
def test_the_pitch_of_a_tone(hz: float) -> None:
    found = pitch(harmonics(hz))
    assert 1200 * np.log2(found["f0_hz"] / hz) == pytest.approx(0.0, abs=2.0)
    assert found["voiced"] > 0.97
    assert found["f0_spread_cents"] < 10.0


def test_the_spread_of_a_glide() -> None:
    """An octave in one second, uniform in cents: a deviation of 1200 / √12."""
    found = pitch(harmonics(150 * 2**TIME))
    assert found["f0_hz"] == pytest.approx(150 * 2**0.5, rel=0.01)
    assert found["f0_spread_cents"] == pytest.approx(1200 / np.sqrt(12), rel=0.02)


@pytest.mark.parametrize("cents", [-500.0, 100.0, 200.0])
def test_an_interval_is_its_cents(cents: float) -> None:
    found = pitch_error(harmonics(200.0), harmonics(200.0 * 2 ** (cents / 1200)))
    assert found["f0_rmse_cents"] == pytest.approx(abs(cents), rel=0.01)
    # a fifth of 200 Hz is 316 cents above and 386 below
    assert found["gross_pitch_error"] == pytest.approx(float(cents == -500.0), abs=0.02)
    assert found["voicing_error"] == 0.0


def test_identical_signals_have_no_errors() -> None:
    x = harmonics(120 + 20 * np.sin(2 * np.pi * 3 * TIME))
    assert pitch_error(x, x) == {"f0_rmse_cents": 0.0, "gross_pitch_error": 0.0, "voicing_error": 0.0}


def test_gain_changes_nothing() -> None:
    x, y = harmonics(120.0), harmonics(130.0)
    assert pitch_error(x, 0.1 * y)["f0_rmse_cents"] == pytest.approx(pitch_error(x, y)["f0_rmse_cents"], abs=0.1)


def test_noise_is_unvoiced() -> None:
    assert not f0(noise()).any()
    with pytest.raises(Unscorable, match="no voiced frame"):
        pitch(noise())
    with pytest.raises(Unscorable, match="voiced in both"):
        pitch_error(harmonics(200.0), noise())


def test_the_voicing_error_is_the_share_that_was_swapped() -> None:
    x = harmonics(150.0)
    half = np.concatenate([x[: RATE // 2], noise(0.5)])
    assert pitch_error(x, half)["voicing_error"] == pytest.approx(0.5, abs=0.03)


def test_the_longer_signal_is_trimmed() -> None:
    x, y = harmonics(150.0), harmonics(160.0)
    assert pitch_error(x, np.concatenate([y, noise()])) == pitch_error(x, y)


def test_signals_that_cannot_be_scored() -> None:
    with pytest.raises(Unscorable, match="at least 0.1 s"):
        pitch(harmonics(150.0)[:1000])
    with pytest.raises(Unscorable, match="silent"):
        pitch(np.zeros(RATE))
    broken = harmonics(150.0)
    broken[7] = np.inf
    with pytest.raises(Unscorable, match="not finite"):
        pitch(broken)
    with pytest.raises(ValueError, match=r"expected audio \(N,\)"):
        pitch(np.ones((2, RATE)))


def test_the_fingerprint_names_the_analysis() -> None:
    assert {"pyworld", "f0"} == set(fingerprint())
    assert "60–600 Hz" in fingerprint()["f0"]
