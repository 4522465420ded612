"""Junk that the decoder ignores hides nothing from the decoder-aware columns: F7's closed forms, and invariances."""

import math

import pytest
import torch

from bench.calibration.junk import DecoderJunk
from bench.calibration.lab import LabCodec, LabContext
from bench.calibration.process import splits
from bench.contract import LatentUtterance, Score, Skipped
from tasks.decoder_aware import DecoderAware
from tests.lab import estimates

HORIZONS = {80: 1, 160: 2, 320: 4, 640: 8}
CELLS = [2, 4, 8]
SETTINGS = {"window": 1, "cells": CELLS, "reach_before": 2, "reach_after": 5}
F7 = DecoderJunk(predictable=1, junk=11, coefficient=0.8, out=3)


class Quiet:
    """Exposes s alone."""

    def represent(self, x, generator):
        return x[..., F7.predictable]


class Raw:
    def represent(self, x, generator):
        return x


def scored(data, submission, features=lambda codec: lambda x: x @ F7.decoder.T, codec=None, **parameters):
    context = LabContext(DecoderAware.card, data, codec or LabCodec(F7.dim), {**SETTINGS, **parameters})
    return DecoderAware(features).score(submission, context), context.notes


@pytest.fixture(scope="module")
def data():
    return splits(F7, train=200, valid=2, test=200, frames=100, seed=0)


@pytest.fixture(scope="module")
def found(data):
    return estimates(scored(data, Quiet())[0], data["test"])


def close(measured, truth: float, floor: float) -> None:
    error = (measured.high - measured.low) / (2 * 1.96)
    assert abs(measured.value - truth) <= max(3 * error, floor), f"{measured} against {truth}"


@pytest.mark.parametrize("cells", CELLS)
def test_variance_ratios_are_f7_s(found, cells: int) -> None:
    close(found[f"ratio_raw_{cells}"], F7.truth("variance_ratio", cells=cells), 5e-4)
    close(found[f"ratio_decoder_{cells}"], F7.truth("decoder_variance_ratio", cells=cells), 4e-3)
    assert found[f"ratio_raw_{cells}"].value > 0.998 and found[f"ratio_decoder_{cells}"].value < 0.95


@pytest.mark.parametrize(("ms", "k"), HORIZONS.items())
def test_explained_variances_are_f7_s(found, ms: int, k: int) -> None:
    close(found[f"raw_r2_{ms}ms"], F7.truth("r2", k=k), 1e-3)
    for kind in ("decoder", "mel"):
        close(found[f"{kind}_r2_{ms}ms"], F7.truth("decoder_r2", k=k), 0.01)


def test_a_decoder_without_memory_reaches_its_own_frame(found) -> None:
    assert found["reach_share"].value == pytest.approx(0.0, abs=1e-9)
    assert found["reach"].value == pytest.approx(0.95 * 80, abs=1e-6)


def test_memory_is_reported(data) -> None:
    """y_t = D (x_t + ½ x_{t−1}): a fifth of the energy is in the next frame, 95 % of it ¾ into that."""
    heard = lambda x: (x + 0.5 * torch.nn.functional.pad(x, (0, 0, 1, 0))[:, :-1]) @ F7.decoder.T  # noqa: E731
    scores, notes = scored(data, Quiet(), lambda codec: heard)
    found = estimates(scores, data["test"])
    assert found["reach_share"].value == pytest.approx(0.2, abs=1e-6)
    assert found["reach"].value == pytest.approx(1.75 * 80, abs=1e-3)
    assert notes["reach_shares"][2:4] == pytest.approx([0.8, 0.2], abs=1e-5)


def test_the_scale_of_an_ignored_dimension_moves_nothing_that_is_heard(data, found) -> None:
    scale = torch.ones(F7.dim)
    scale[F7.junk] = 50.0
    louder = {s: [LatentUtterance(u.id, u.speaker, u.x * scale) for u in us] for s, us in data.items()}
    other = estimates(scored(louder, Quiet())[0], data["test"])
    heard = [name for name in found if "decoder" in name or "mel" in name]
    assert len(heard) == len(CELLS) + 8
    for name in heard:
        assert other[name].value == pytest.approx(found[name].value, abs=1e-6), name
    assert abs(other["raw_r2_80ms"].value) < abs(found["raw_r2_80ms"].value) + 1e-3


def test_a_change_of_basis_of_the_latents_moves_nothing_that_is_heard(data, found) -> None:
    """x' = x B with the decoder D' = D B⁻ᵀ says the same."""
    B = torch.randn(F7.dim, F7.dim, generator=torch.Generator().manual_seed(3)) + 4 * torch.eye(F7.dim)
    turned = {s: [LatentUtterance(u.id, u.speaker, u.x @ B) for u in us] for s, us in data.items()}
    back = torch.linalg.inv(B)

    class Back:
        def represent(self, x, generator):
            return (x @ back)[..., F7.predictable]

    other = estimates(scored(turned, Back(), lambda codec: lambda x: x @ back @ F7.decoder.T)[0], data["test"])
    for name in ("ratio_decoder_4", "decoder_r2_80ms", "mel_r2_80ms"):
        assert other[name].value == pytest.approx(found[name].value, abs=1e-3), name


def test_every_column_is_answered_through_a_codec_and_without_a_derivative() -> None:
    process = DecoderJunk(predictable=1, junk=2)
    small = splits(process, train=12, valid=2, test=4, frames=60, seed=1)
    codec = LabCodec(process.dim)
    columns = {c.name for c in DecoderAware.card.columns}
    from bench.metrics.sensitivity import DecodedLogMel

    scores, notes = scored(small, Raw(), DecodedLogMel, codec, cells=[8], crop_frames=8)
    assert columns <= {s.column for s in scores} and math.isfinite(notes["metric_rank"])
    assert {"reach", "mel_r2_80ms"} <= {s.column for s in scores if isinstance(s, Score)}
    # the codec of the lab reads its first dimension alone
    assert notes["metric_spectrum"] == pytest.approx([1.0, 0.0, 0.0], abs=1e-6)

    class Rounded(LabCodec):
        def decode(self, latents):
            return super().decode(latents.round())

    scores, _ = scored(small, Raw(), DecodedLogMel, Rounded(process.dim), cells=[8], crop_frames=8)
    skipped = {s.column: s.reason for s in scores if isinstance(s, Skipped)}
    assert "no usable derivative" in skipped["decoder_r2_80ms"] and "no usable derivative" in skipped["reach"]
    assert "mel_r2_80ms" not in skipped and "raw_r2_80ms" not in skipped
