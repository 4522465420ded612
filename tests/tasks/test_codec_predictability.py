"""Codecs side by side: what is measured on latents with known answers, and on codecs that hide what they have seen."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.calibration.lab import LabCodec, LabContext
from bench.calibration.process import splits
from bench.calibration.var1 import VAR1
from bench.contract import CodecInfo, Score, Skipped, Utterance
from bench.errors import DataError, PluginError
from tasks.codec_predictability import RENAMED, CodecPredictability, gains
from tasks.lookahead import CUTS, measured_ahead
from tests.lab import ar1, estimates, gain

QUICK = {
    "probe": {"width": 32, "dropout": 0.0, "components": 2, "fit": {"steps": 80, "evaluate_every": 40}},
    "dither": 0.0,
    "half": True,
    "direction": {"dither": 0.0, "null": True, "probe": {"fit": {"steps": 20}}},
    "clusters": {"key": {"fit": {"steps": 20}}},
    "ladder": {"dither": 0.0, "probe": {"fit": {"steps": 60}}},
}


class Frames:
    def represent(self, x, generator):
        return x


class Elsewhere:
    def represent(self, x, generator):
        return x.roll(1, 1)


@pytest.fixture(scope="module")
def found():
    process = VAR1.isotropic(0.8, 4)
    data = splits(process, train=200, valid=40, test=150, frames=40, seed=0)
    context = LabContext(CodecPredictability.card, data, LabCodec(4), QUICK)
    scores = CodecPredictability().on_latents(Frames(), context)
    return process, estimates(scores, data["test"]), scores, context.notes


def test_the_gain_is_the_closed_form_and_order_is_nearly_all_of_it(found) -> None:
    process, values, _, notes = found
    for ms, k in ((80, 1), (160, 2), (320, 4), (640, 8)):
        truth = process.truth("gain", k=k)
        assert values[f"gain_{ms}ms"].value == pytest.approx(truth, abs=0.08)
        assert values[f"order_{ms}ms"].value <= truth + 0.08
        assert notes["half_data_nats"][str(ms)] == pytest.approx(truth, abs=0.12)
    assert values["order_80ms"].value > 0.8 * process.truth("gain", k=1)
    assert notes["horizons_ms"] == {"80": 80.0, "160": 160.0, "320": 320.0, "640": 640.0}


def test_the_parts_answer_as_their_own_tasks_do(found) -> None:
    process, values, scores, notes = found
    assert values["linear_r2_80ms"].value == pytest.approx(process.truth("r2", k=1), abs=0.03)
    assert values["linear_gain_320ms"].value == pytest.approx(process.truth("gain", k=4), abs=0.05)
    assert values["direction_cosine_80ms"].value < values["direction_cosine_null"].value < 1 / math.sqrt(2) + 0.05
    assert values["pooled_next_64"].value < 1.0 < values["null_64"].value + 0.05
    assert values["effective_rank"].value == pytest.approx(4.0, abs=0.05)
    assert set(notes) >= {"direction", "clusters", "ladder", "probe", "flags"}
    audio = {"lookahead", *RENAMED.values()}
    assert {s.column for s in scores} == {c.name for c in CodecPredictability.card.columns} - audio


def test_a_part_that_cannot_answer_is_skipped_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    data = {s: ar1(0.8, 1, n, 30, i) for i, (s, n) in enumerate((("train", 60), ("valid", 20), ("test", 20)))}
    context = LabContext(CodecPredictability.card, data, LabCodec(1), {**QUICK, "half": False})
    scores = {s.column: s for s in CodecPredictability().on_latents(Frames(), context)}
    assert isinstance(scores["direction_cosine_80ms"], Skipped)
    assert "expected latents of at least 2 dimensions" in scores["direction_cosine_80ms"].reason
    assert isinstance(scores["gain_80ms"], Score) and isinstance(scores["linear_gain_80ms"], Score)


def test_a_frame_rate_that_no_horizon_fits_takes_the_nearest_frame() -> None:
    data = {s: ar1(0.9, 2, n, 90, i) for i, (s, n) in enumerate((("train", 60), ("valid", 20), ("test", 40)))}
    codec = LabCodec(2)
    codec.info = dataclasses.replace(codec.info, sample_rate=44_100, hop=512)
    context = LabContext(CodecPredictability.card, data, codec, {**QUICK, "half": False})
    scores = CodecPredictability().on_latents(Frames(), context)
    values = estimates(scores, data["test"])
    assert context.notes["horizons_ms"]["80"] == pytest.approx(7 * 512 / 44.1)
    assert values["gain_80ms"].value == pytest.approx(gain(0.9, 2, 7), abs=0.08)
    assert "frames at 86.1328 Hz" in {s.column: s for s in scores}["linear_r2_80ms"].reason


def test_only_the_latents_themselves_are_scored() -> None:
    data = {s: ar1(0.8, 2, 10, 30, i) for i, s in enumerate(("train", "valid", "test"))}
    with pytest.raises(PluginError, match="exposes the codec's own latents"):
        CodecPredictability().on_latents(Elsewhere(), LabContext(CodecPredictability.card, data, LabCodec(2), QUICK))


# --- look-ahead --------------------------------------------------------------------------------------------


class Means:
    """Level of each frame and of `ahead` more; −1: of the whole recording. `states` is what it says."""

    def __init__(self, ahead: int, states: int) -> None:
        self.ahead = ahead
        self.info = CodecInfo("means", 16_000, 1280, 2, lookahead=states)

    def encode(self, audio: Tensor) -> Tensor:
        level = audio[:, 0].unflatten(1, (-1, 1280))
        level = torch.stack([level.mean(2), level[..., 0]], 2)
        if self.ahead < 0:
            return level + level.mean(1, keepdim=True)
        padded = torch.nn.functional.pad(level, (0, 0, 0, self.ahead))
        return sum(padded[:, i : i + level.shape[1]] for i in range(self.ahead + 1))  # type: ignore[return-value]


class Recordings:
    name, grammar = "noise", None

    def utterances(self, split):
        return [Utterance(f"u{i}", "s", split) for i in range(3)]

    def audio(self, utterance, sample_rate):
        return np.random.default_rng(int(utterance.id[1])).normal(0, 0.1, 40 * 1280).astype(np.float32)


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_look_ahead_is_measured_to_the_frame(ahead: int) -> None:
    audio = torch.from_numpy(Recordings().audio(Utterance("u0", "s", "test"), 16_000))
    found = measured_ahead(Means(ahead, 0), audio, torch.device("cpu"))  # type: ignore[arg-type]
    assert (found.frames, found.whole) == (ahead, False)


def test_a_bidirectional_encoder_sees_as_far_as_the_cut() -> None:
    audio = torch.from_numpy(Recordings().audio(Utterance("u0", "s", "test"), 16_000))
    found = measured_ahead(Means(-1, 0), audio, torch.device("cpu"))  # type: ignore[arg-type]
    assert (found.frames, found.whole) == (max(CUTS), True)
    with pytest.raises(ValueError, match="expected at least 16640 samples, got 1280"):
        measured_ahead(Means(0, 0), audio[:1280], torch.device("cpu"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("ahead", "states"), [(2, 1), (-1, 3)])
def test_a_codec_that_sees_more_than_it_states_is_refused(ahead: int, states: int) -> None:
    context = lookahead_context(Means(ahead, states))
    with pytest.raises(DataError, match=f"codec means: states a look-ahead of {states} frames, and audio"):
        CodecPredictability()._lookahead(context)


def test_the_look_ahead_of_an_honest_codec_is_every_utterances() -> None:
    context = lookahead_context(Means(2, 2))
    score = CodecPredictability()._lookahead(context)
    assert isinstance(score, Score) and score.values == {"u0": 160.0, "u1": 160.0, "u2": 160.0}
    assert context.notes["lookahead_frames"] == {"stated": 2, "measured": 2, "bidirectional": False}


def lookahead_context(codec: Means) -> LabContext:
    data = {s: ar1(0.5, 2, 3, 40, i) for i, s in enumerate(("train", "valid", "test"))}
    data["test"] = [dataclasses.replace(u, id=f"u{i}") for i, u in enumerate(data["test"])]
    context = LabContext(CodecPredictability.card, data, codec, QUICK)
    context.dataset = Recordings()
    return context


def test_a_reader_of_earlier_frames_that_learned_by_heart_adds_no_order() -> None:
    data = {s: ar1(0.0, 6, n, 30, i) for i, (s, n) in enumerate((("train", 6), ("valid", 6), ("test", 40)))}
    fit = {"steps": 150, "evaluate_every": 150, "patience": 0}
    over = {**QUICK, "half": False, "probe": {**QUICK["probe"], "fit": fit}}
    context = LabContext(CodecPredictability.card, data, LabCodec(6), over)
    states = {s: {u.id: u.x for u in us} for s, us in data.items()}
    values = estimates(gains(states, context, [80]), data["test"])
    assert values["order_80ms"].value <= values["gain_80ms"].value + 1e-9 < 0
