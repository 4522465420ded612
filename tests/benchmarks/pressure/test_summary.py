"""Estimates from values worked out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import BenchError
from benchmarks.pressure.findings import findings
from benchmarks.pressure.summary import BITS, Results, pairs

COUNT = 40


def results(**variants: dict[str, list[list[float]]]) -> Results:
    """Variant → column → values, a list a seed, over 40 utterances of 20 speakers and 11 frames each."""
    runs = [
        {
            "variant": name,
            "seed": seed,
            "corpora": {"c": {"values": {column: values[seed] for column, values in columns.items()}}},
        }
        for name, columns in variants.items()
        for seed in range(len(next(iter(columns.values()))))
    ]
    content: dict[str, Any] = {
        "schema": 1,
        "variants": {name: {"family": name} for name in variants},
        "corpora": {
            "c": {
                "utterances": [f"u{i:02d}" for i in range(COUNT)],
                "speakers": [f"s{i % 20}" for i in range(COUNT)],
                "frames": [11] * COUNT,
            }
        },
        "runs": runs,
    }
    return Results(content)


def flat(value: float) -> list[list[float]]:
    return [[value] * COUNT]


def test_gain_order_and_shares_are_what_was_put_in() -> None:
    found = results(
        ae={"m_gain_80ms": flat(3.0), "m_shuffled_80ms": flat(1.0), "m_rate": flat(12.0)}
        | {"m_gain_80ms": [[2.0, 4.0] * (COUNT // 2)]},
        fsq3={"m_gain_80ms": flat(2.0), "m_shuffled_80ms": flat(0.5), "m_rate": flat(4.0)},
    )
    gain = found.mean("ae", "c", "m_gain_80ms", BITS)
    assert gain is not None and gain.value == pytest.approx(3.0 * BITS) and gain.over == "speakers" and gain.n == 20
    order, share = found.order("ae", "c", "m", 80), found.share("ae", "c", "m", 80)
    assert order is not None and order.value == pytest.approx(2.0 * BITS)
    assert share is not None and share.value == pytest.approx(3.0 / 12.0)
    ordered = found.share("ae", "c", "m", 80, "order")
    assert ordered is not None and ordered.value == pytest.approx(2.0 / 12.0)
    difference = found.difference("ae", "fsq3", "c", "m", "share", 80)
    assert difference is not None and difference.value == pytest.approx(2.0 / 4.0 - 3.0 / 12.0)
    less = found.difference("ae", "fsq3", "c", "m", "gain", 80)
    assert less is not None and less.value == pytest.approx(-1.0 * BITS) and less.low < less.value < less.high


def test_the_interval_of_a_share_is_that_of_a_ratio() -> None:
    rng = np.random.default_rng(0)
    rate = 10 + rng.normal(size=COUNT)
    # the share is a constant, however the rate varies: the ratio has no spread
    found = results(ae={"m_gain_80ms": [list(0.3 * rate)], "m_rate": [list(rate)]}).share("ae", "c", "m", 80)
    assert found is not None and found.value == pytest.approx(0.3)
    assert found.high - found.low == pytest.approx(0.0, abs=1e-12)


def test_seeds_are_averaged_and_stand_beside() -> None:
    found = results(ae={"m_gain_80ms": [[1.0] * COUNT, [3.0] * COUNT]})
    mean = found.mean("ae", "c", "m_gain_80ms")
    assert mean is not None and mean.value == pytest.approx(2.0)
    assert found.by_seed("ae", "c", "m_gain_80ms") == pytest.approx([1.0, 3.0])


def test_the_share_of_a_seed_is_its_own() -> None:
    found = results(ae={"m_gain_80ms": [[1.0] * COUNT, [3.0] * COUNT], "m_rate": [[4.0] * COUNT, [6.0] * COUNT]})
    assert found.share_by_seed("ae", "c", "m", 80) == pytest.approx([0.25, 0.5])


@pytest.mark.parametrize(
    ("pressed", "word"), [(1.0, "contradicted"), (5.0, "supported"), (3.0, "neither supported nor contradicted")]
)
def test_the_verdict_follows_its_rule(pressed: float, word: str) -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(scale=0.1, size=(2, COUNT))
    columns = {"matched_shuffled_80ms": flat(0.1), "matched_rate": flat(10.0)}
    found = results(
        ae={"matched_gain_80ms": [list(3.0 + noise[0])], **columns},
        fsq3={"matched_gain_80ms": [list(pressed + noise[1] - noise[1].mean() + noise[0].mean())], **columns},
    )
    text = findings(Results({**found.content, "protocol": {"measured_with": {"targets": {"c": 0.36}}}}))
    assert f"the prediction is {word}" in text
    assert "tells 30." in text


def test_a_variant_without_a_value_leaves_the_prediction_untested() -> None:
    reached = {"matched_gain_80ms": flat(3.0), "matched_shuffled_80ms": flat(0.1), "matched_rate": flat(10.0)}
    found = results(ae=reached, fsq3={"mel": flat(0.4)}, kl_low=reached)
    text = findings(Results({**found.content, "protocol": {"measured_with": {"targets": {"c": 0.36}}}}))
    assert "the prediction is not tested" in text
    alone = results(ae={"mel": flat(0.4)})
    assert "not tested" in findings(Results({**alone.content, "protocol": {"measured_with": {"targets": {"c": 1}}}}))


def test_frames_without_a_target_have_no_weight() -> None:
    found = results(ae={"m_gain_640ms": flat(1.0)})
    assert set(found.weights("c", "m_gain_640ms").values()) == {3.0}
    assert set(found.weights("c", "mel").values()) == {11.0}


def test_what_was_not_measured_is_none() -> None:
    found = results(ae={"mel": flat(0.3)}, fsq3={"mel": flat(0.4)})
    assert found.mean("ae", "c", "own_rate") is None
    assert found.difference("ae", "fsq3", "c", "matched", "share", 80) is None
    assert pairs(found) == [("against the autoencoder", "ae", "fsq3")]


@pytest.mark.parametrize("text", [None, "not JSON", '{"schema": 99}'])
def test_another_file_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BenchError, match="expected"):
        Results.read(path)
