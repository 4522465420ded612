"""The capacity ladder where the rungs must agree, where no mean is predictable, and where nothing is."""

import math

import pytest
import torch

from bench.calibration.bimodal import Bimodal
from bench.calibration.iid import Iid
from bench.calibration.lab import LabCodec, LabContext
from bench.calibration.process import splits
from bench.calibration.var1 import VAR1
from bench.errors import DataError
from tasks.ladder import RUNGS, Ladder
from tasks.probes.windows import Windows
from tests.lab import ar1, estimates

FIT = {"steps": 150, "batch": 256, "lr": 1e-2, "evaluate_every": 50}
PROBE = {"width": 32, "components": 1, "dropout": 0.0, "heads": 2, "layers": 1, "candidates": 16, "fit": FIT}
HORIZONS = {80: 1, 320: 4}


class Frame:
    def represent(self, x, generator):
        return x


def scored(process, components: int = 1):
    data = splits(process, train=400, valid=60, test=250, frames=24, seed=0)
    probe = {**PROBE, "components": components}
    context = LabContext(Ladder.card, data, LabCodec(process.dim), {"window": 2, "probe": probe})
    return estimates(Ladder().score(Frame(), context), data["test"]), context.notes


def error(found) -> float:
    return (found.high - found.low) / (2 * 1.96)


def test_on_a_linear_process_every_rung_is_at_the_exact_value() -> None:
    process = VAR1.example()
    result, _ = scored(process)
    for ms, k in HORIZONS.items():
        rungs = [result[f"{kind}_gain_{ms}ms"] for kind in RUNGS]
        for found in rungs:
            assert found.value == pytest.approx(process.truth("gain", k=k), abs=max(0.03, 3 * error(found)))
        assert max(f.value for f in rungs) - min(f.value for f in rungs) < 0.03
        for kind in RUNGS:
            r2 = result[f"{kind}_r2_{ms}ms"]
            assert r2.value == pytest.approx(process.truth("r2", k=k), abs=max(0.02, 3 * error(r2)))
        assert result[f"nce_bound_{ms}ms"].low < process.truth("gain", k=k)


def test_a_gain_without_any_predictable_mean() -> None:
    process = Bimodal(3.0)
    result, notes = scored(process, components=16)
    for kind in RUNGS:
        assert result[f"{kind}_r2_80ms"].value == pytest.approx(0.0, abs=0.01)
    assert result["linear_gain_80ms"].value == pytest.approx(0.0, abs=0.01)
    for kind in ("mlp", "transformer"):
        assert result[f"{kind}_gain_80ms"].value == pytest.approx(process.truth("gain", k=1), abs=0.1)
    assert result["nce_accuracy_80ms"].low > notes["contrastive"]["chance"]


def test_on_noise_there_is_no_gain_and_the_pick_is_chance() -> None:
    result, notes = scored(Iid(4))
    for ms in HORIZONS:
        for kind in RUNGS:
            assert result[f"{kind}_gain_{ms}ms"].value == pytest.approx(0.0, abs=0.02)
        hits = result[f"nce_accuracy_{ms}ms"]
        assert hits.value == pytest.approx(1 / 16, abs=3 * error(hits))
    assert notes["contrastive"] == {"candidates": 16, "chance": 1 / 16, "most_nats": math.log(16)}


def test_windows_hold_the_past_and_targets_the_future() -> None:
    us = ar1(0.5, 2, 3, 9, 0)
    read = Windows(us, {u.id: u.x for u in us}, window=3, horizons=(1, 4))
    assert len(read) == 3 * 3 and read.owner.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    pick = torch.tensor([4])
    assert torch.equal(read.context(pick)[0], us[1].x[1:4])
    assert torch.equal(read.target(pick, 4)[0], us[1].x[7])


def test_too_few_frames_are_named() -> None:
    data = {s: ar1(0.5, 2, 1, 14, i) for i, s in enumerate(("train", "valid", "test"))}
    with pytest.raises(DataError, match="expected at least 64 frames"):
        Ladder().score(Frame(), LabContext(Ladder.card, data, LabCodec(2)))
