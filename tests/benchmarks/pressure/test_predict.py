"""Gains and rates of noisy latents against the closed forms of an AR(1)."""

import math

import pytest

from bench.contract import Split
from benchmarks.pressure.predict import predictability
from tests.lab import LabCodec, ar1

A, DIM = 0.9, 2


def test_gain_and_rate_of_an_ar1_are_those_of_its_noisy_self(one_thread: None) -> None:
    splits: dict[Split, list] = {  # type: ignore[type-arg]
        "train": ar1(A, DIM, 40, 100, 0),
        "valid": ar1(A, DIM, 10, 100, 1),
        "test": ar1(A, DIM, 40, 100, 2),
    }
    share = 0.5
    # few enough steps to stay in this process
    found = predictability(
        splits, LabCodec(DIM), share, {"width": 32, "components": 2, "fit": {"steps": 100}}, 0, lambda *_: None
    )
    sigma = found["sigma"]
    assert sigma == pytest.approx(share, rel=0.03)
    mean = lambda name: sum(found[name].values()) / len(found[name])  # noqa: E731
    assert mean("rate") == pytest.approx(0.5 * DIM * math.log(1 + 1 / sigma**2), abs=0.06)
    for k, ms in ((1, 80), (4, 320)):
        truth = 0.5 * DIM * math.log((1 + sigma**2) / (1 - A ** (2 * k) + sigma**2))
        assert mean(f"gain_{ms}ms") == pytest.approx(truth, abs=0.06)
    # order is what a frame of the past at an unknown distance does not tell
    assert mean("shuffled_80ms") < 0.25 * mean("gain_80ms")
    assert set(found["rate"]) == set(found["gain_80ms"]) == {u.id for u in splits["test"]}


def test_no_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="share above 0"):
        predictability({}, LabCodec(DIM), 0.0, {}, 0, lambda *_: None)
