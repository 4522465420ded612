"""Latents that have no density, or fill only a part of their space: refused, dithered or reduced."""

import math

import pytest
import torch

from bench.contract import LatentUtterance
from bench.errors import DataError
from tasks.delta_nll import DeltaNLL
from tests.lab import LabCodec, LabContext, ar1, estimates, gain

LINEAR = {"controls": False, "probe": {"family": "linear", "window": 1}, "linear_window": 1}
FEW = {"width": 16, "components": 8, "dropout": 0.0}
FIT = {"steps": 150, "batch": 16, "crop_frames": 64, "lr": 1e-2, "evaluate_every": 50, "patience": 0}


class Frame:
    def represent(self, x, generator):
        return x


def data(change=lambda x: x, a: float = 0.8, dim: int = 2, frames: int = 64):
    made = {s: ar1(a, dim, n, frames, seed) for s, n, seed in (("train", 200, 0), ("valid", 20, 1), ("test", 100, 2))}
    return {s: [LatentUtterance(u.id, u.speaker, change(u.x)) for u in us] for s, us in made.items()}


def scored(splits, codec=None, **over):
    codec = codec or LabCodec(splits["train"][0].x.shape[1])
    context = LabContext(DeltaNLL.card, splits, codec, {**LINEAR, **over})
    return estimates(DeltaNLL().score(Frame(), context), splits["test"]), context.notes


def chain(flip: float):
    """± 1, changing sign with probability `flip`: H[marginal] − H[conditional] = ln 2 − H(flip)."""
    out = {}
    for split, n in (("train", 200), ("valid", 20), ("test", 150)):
        rng = torch.Generator().manual_seed(n)
        turns = torch.where(torch.rand(n, 64, 1, generator=rng) < flip, -1.0, 1.0)
        start = torch.where(torch.rand(n, 1, 1, generator=rng) < 0.5, -1.0, 1.0)
        x = start * turns.cumprod(1)
        out[split] = [LatentUtterance(f"{split}{i}", f"s{i % 2}", one) for i, one in enumerate(x)]
    return out


def test_atoms_are_refused_as_densities() -> None:
    with pytest.raises(DataError, match="finite set .* dither"):
        scored(chain(0.1))


def test_dequantised_codes_are_refused_at_any_bit_rate() -> None:
    """No frame repeats and every dimension has thousands of values, yet the codec's quantiser changes nothing."""
    codec = LabCodec(2)
    codec.codes = lambda x: (x * 1e4).round().long()
    codec.from_codes = lambda codes: codes / 1e4
    assert scored(data(), codec)[1]["latents"]["finite_support"] is False
    with pytest.raises(DataError, match="own dequantised codes"):
        scored(data(lambda x: (x * 1e4).round() / 1e4), codec)


def test_with_dither_the_gain_is_that_of_the_atoms() -> None:
    flip = 0.1
    result, notes = scored(chain(flip), dither=0.25, probe={"family": "mdn", **FEW, "fit": FIT})
    entropy = -flip * math.log(flip) - (1 - flip) * math.log(1 - flip)
    assert result["gain_80ms"].value == pytest.approx(math.log(2) - entropy, abs=0.06)
    assert any("dithered" in flag for flag in notes["flags"])


@pytest.mark.parametrize(
    "change",
    [
        lambda x: torch.cat([x, x[:, :1]], 1),
        lambda x: torch.cat([x, torch.full_like(x[:, :1], 3.0)], 1),
        lambda x: torch.cat([x, x[:, :1] - 2 * x[:, 1:2] + 5], 1),
    ],
    ids=["duplicated", "constant", "dependent"],
)
def test_a_flat_direction_adds_no_gain_and_is_flagged(change) -> None:
    result, notes = scored(data(change))
    plain, _ = scored(data())
    assert result["gain_80ms"].value == pytest.approx(plain["gain_80ms"].value, abs=2e-3)
    assert result["linear_gain_160ms"].value == pytest.approx(gain(0.8, 2, 2), abs=0.05)
    assert notes["flags"][0].startswith("rank 2 of 3")


def test_nan_constant_and_short_latents_are_named() -> None:
    with pytest.raises(DataError, match="not finite"):
        scored(data(lambda x: torch.where(x > 2.5, math.nan, x)))
    with pytest.raises(DataError, match="constant"):
        scored(data(torch.ones_like))
    with pytest.raises(DataError, match="expected an utterance of 9 frames in train .* got 8"):
        scored(data(frames=8))


def test_one_voice_is_flagged() -> None:
    splits = data()
    splits["test"] = [LatentUtterance(u.id, "one", u.x) for u in splits["test"]]
    assert scored(splits)[1]["flags"] == ["one speaker in test: every number is conditional on that voice"]
    assert scored(data())[1]["flags"] == []
