"""The polar probe on increments with closed forms, and its guard."""

import pytest
import torch

from bench.calibration.direction import Directions, Magnitudes
from bench.calibration.lab import LabCodec, LabContext
from bench.contract import Skipped
from bench.errors import DataError
from tasks.direction import MEASURES, Direction
from tasks.selftests.direction import NextFrame, Raw, measured
from tests.lab import ar1


@pytest.mark.parametrize("process", [Directions(), Magnitudes()], ids=["direction", "magnitude"])
def test_only_what_is_predictable_is_found(process) -> None:
    found = measured(process, 0, integrate=True)
    for name, within in (("direction_gain", 0.15), ("magnitude_gain", 0.05), ("direction_cosine", 0.02)):
        value, error = found[f"{name}_80ms"]
        assert value == pytest.approx(process.truth(name, k=1), abs=max(3 * error, within))


def test_still_frames_are_left_out_and_counted() -> None:
    data = {s: ar1(0.8, 3, n, 30, i) for i, (s, n) in enumerate((("train", 30), ("valid", 8), ("test", 8)))}
    for u in data["test"][1:]:
        u.x[10:14] = u.x[10]
    data["test"][0].x[:] = 0.5
    context = LabContext(NextFrame.card, data, LabCodec(3), {"null": False, "probe": {"fit": {"steps": 5}}})
    scores = {s.column: s for s in NextFrame().score(Raw(), context)}
    score = scores["direction_cosine_80ms"]
    assert set(score.unscored) == {data["test"][0].id}
    assert context.notes["fits"]["80ms"]["still_frames"] == {"train": 0, "valid": 0, "test": 26 + 7 * 3}
    assert all(isinstance(scores[f"{m}_null"], Skipped) for m in MEASURES)
    gains = [scores[f"{m}_gain_80ms"].values for m in ("polar", "direction", "magnitude")]
    assert all(p == pytest.approx(a + b) for p, a, b in zip(*(g.values() for g in gains), strict=True))


def test_one_dimension_has_no_direction() -> None:
    data = {s: ar1(0.8, 1, 8, 30, i) for i, s in enumerate(("train", "valid", "test"))}
    with pytest.raises(DataError, match="at least 2 dimensions, got 1"):
        Direction().score(Raw(), LabContext(Direction.card, data, LabCodec(1)))
    assert torch.is_tensor(data["test"][0].x)
