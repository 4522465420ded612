"""Robust summaries against values worked out by hand and against scipy."""

import math

import numpy as np
import pytest
from scipy.stats import trim_mean

from bench.metrics.robust import rates, summary, trimmed_mean


def test_one_exploding_frame_moves_the_mean_alone() -> None:
    values = np.concatenate([np.arange(1999.0), [4e8]])
    found = summary(values, threshold=1e6, bad="high")
    assert found["mean"] > 1e5 and found["median"] == 999.5
    assert found["trimmed_mean_10"] == pytest.approx(999.5)
    assert found["worst"] == 4e8 and found["catastrophic_share"] == 1 / 2000


def test_the_bad_side_of_a_gain_is_below() -> None:
    values = np.linspace(-1000.0, 0.0, 1001)
    found = summary(values, threshold=-990.0, bad="low")
    assert found["worst"] == -1000.0 and found["tail"] == pytest.approx(-999.0)
    assert found["catastrophic_share"] == pytest.approx(10 / 1001)


def test_trimmed_mean_is_scipys() -> None:
    values = np.random.default_rng(0).standard_cauchy(997)
    assert trimmed_mean(values) == pytest.approx(trim_mean(values, 0.1))


def test_units() -> None:
    assert rates(math.log(2) * 8, dim=4, frame_rate=12.5) == pytest.approx(
        {"nats_per_frame": math.log(2) * 8, "bits_per_s": 100.0, "bits_per_dim": 2.0}
    )


def test_nothing_and_nan_are_refused() -> None:
    for values in ([], [1.0, math.nan]):
        with pytest.raises(ValueError, match="expected numbers"):
            summary(values, 0.0, "high")
