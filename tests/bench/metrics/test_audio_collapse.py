"""Each sign of collapse at planted values, and absent where it should be."""

from __future__ import annotations

import numpy as np
import pytest

from bench.metrics.audio_collapse import level_slope, levels, loop, silence
from bench.metrics.distortion import Unscorable

RATE = 16_000


def noise(seconds: float, seed: int = 0, level: float = 0.1) -> np.ndarray:
    return level * np.random.default_rng(seed).normal(size=int(RATE * seconds))


def bursts(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise whose colour and level change every 100 ms, never twice alike."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(int(seconds * 10)):
        t = np.arange(RATE // 10) / RATE
        tone = np.sin(2 * np.pi * rng.uniform(100, 4000) * t + rng.uniform(0, 6))
        parts.append(rng.uniform(0.02, 0.3) * tone + 0.005 * rng.normal(size=len(t)))
    return np.concatenate(parts)


def test_levels_are_powers() -> None:
    assert levels(np.full(4096, 0.1)) == pytest.approx(-20.0)
    assert levels(np.zeros(4096)) == pytest.approx(-100.0)


def test_the_silent_share_is_the_planted_one() -> None:
    x = np.concatenate([noise(3.0), np.zeros(RATE)])
    assert silence(x, -20.0) == pytest.approx(0.25, abs=0.02)
    assert silence(noise(2.0), -20.0) == 0.0
    # 41 dB below is silent, 39 dB is not
    assert silence(noise(2.0, level=10 ** (-61 / 20)), -20.0) > 0.9
    assert silence(noise(2.0, level=10 ** (-59 / 20)), -20.0) < 0.1


def test_a_repeated_stretch_is_a_loop_and_the_rest_is_not() -> None:
    once = bursts(0.8)
    assert loop(np.tile(once, 8)) == pytest.approx(1.0, abs=0.02)
    # of a short signal too
    assert loop(np.tile(bursts(0.5), 3)) > 0.95
    assert max(loop(bursts(1.5, seed)) for seed in range(6)) < 0.5
    assert loop(bursts(6.0)) < 0.4
    assert loop(noise(6.0)) < 0.2
    half = np.concatenate([bursts(4.8, seed=3), np.tile(once, 6)])
    assert loop(bursts(9.6)) < loop(half) < 0.95


def test_the_slope_is_the_planted_one() -> None:
    t = np.arange(4 * RATE) / RATE
    for slope in (-6.0, 0.0, 3.0):
        assert level_slope(noise(4.0) * 10 ** (slope * t / 20), -20.0) == pytest.approx(slope, abs=0.3)
    # a pause is left out
    x = noise(4.0) * 10 ** (-3.0 * t / 20)
    x[RATE : 2 * RATE] = 0.0
    assert level_slope(x, -20.0) == pytest.approx(-3.0, abs=0.4)


def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(Unscorable, match="loop: needs at least 1 s, got 0.900 s"):
        loop(noise(0.9))
    with pytest.raises(Unscorable, match="does not change"):
        loop(np.zeros(5 * RATE))
    with pytest.raises(Unscorable, match="fewer than two frames"):
        level_slope(np.zeros(RATE), -20.0)
    with pytest.raises(Unscorable, match="levels: needs at least"):
        levels(np.zeros(10))
