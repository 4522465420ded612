"""Generation with a codec that loses nothing: what a truthful model gets, a silent one, a broken one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contract import LatentUtterance, Score, Skipped, Utterance
from bench.datasets.synthspeech import SynthSpeech
from bench.errors import BenchError, DataError, PluginError
from bench.workers import pool
from tasks.generation import METRICS, ROUTES, SHARED, Generation, overlap
from tasks.generation_hearing import SLOW, Hearing
from tasks.generation_modes import plan
from tasks.selftests.generation import Mute
from tasks.selftests.rows import Framing, Truth
from tests.lab import LabContext
from tests.tiny_whisper import tiny_whisper

pytest.importorskip("onnxruntime", reason="onnxruntime is an extra: pip install 'latentbench[quality]'")

CORPUS = SynthSpeech()
RATE, HOP = 16_000, 1280
COUNT = 4


class RowLab(LabContext):
    """A row's context: outputs are remembered, and so is what was heard."""

    def __init__(self, dataset: Any, splits: Any, parameters: Mapping[str, Any]) -> None:
        super().__init__(Generation.card, splits, Framing(), parameters)
        self.dataset = dataset
        self.memory: dict[str, Any] = {}
        self.made: list[str] = []
        self.kept: dict[str, Any] = {}
        self.knobs: dict[str, Any] = {}

    def outputs(self, mode: str, key: Mapping[str, Any], make: Callable[[], Mapping[str, Tensor]]) -> Any:
        return self._remembered(f"outputs {mode}", key, make)

    def cached_json(self, key: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        return self._remembered("json", key, make)

    def cached_tensors(self, key: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> Any:
        return self._remembered("tensors", key, make)

    def keep(self, waveforms: Any) -> None:
        self.kept = dict(waveforms)

    def _remembered(self, what: str, key: Any, make: Callable[[], Any]) -> Any:
        name = f"{what} {key}"
        if name not in self.memory:
            self.memory[name] = make()
            self.made.append(what)
        return self.memory[name]


class Few:
    """A few utterances of each of two voices."""

    name, digest, speakers_known, grammar = "few", "", True, CORPUS.grammar

    def __init__(self) -> None:
        every = list(CORPUS.utterances("test"))
        voices = list(dict.fromkeys(u.speaker for u in every))[:2]
        self.chosen = [u for v in voices for u in [u for u in every if u.speaker == v][: COUNT // 2]]

    def utterances(self, split: str) -> Sequence[Utterance]:
        return self.chosen

    def audio(self, utterance: Utterance, sample_rate: int) -> np.ndarray:
        return CORPUS.audio(utterance, sample_rate)


class Sick(Truth):
    """Fails on whatever batch has the first utterance in it."""

    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        if any(torch.equal(self.latents[0].x[: prompt.shape[1]], one) for one in prompt):
            raise PluginError("submission 'sick': rollout gave NaN")
        return super().rollout(prompt, frames, draws, generator)


class Speaker(Truth):
    """Says the recording of a text it knows, and never ends for one of them."""

    def __init__(self, latents: Sequence[LatentUtterance], texts: Mapping[str, str]) -> None:
        super().__init__(latents)
        self.texts = texts

    def speak(
        self, texts: Sequence[str], references: Sequence[Tensor], frames: int, generator: torch.Generator
    ) -> list[Tensor]:
        (text,) = texts
        index = next(i for i, u in enumerate(self.latents) if self.texts[u.id] == text)
        x = self.latents[index].x
        return [x if index else F.pad(x, (0, 0, 0, frames - len(x)))]


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Iterator[None]:
    """Processes cost more to start than a handful of clips to hear."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.generation.pool", nullcontext)
        yield


@pytest.fixture(scope="module")
def lab() -> RowLab:
    dataset = Few()
    latents = [
        LatentUtterance(
            u.id, u.speaker, Framing().encode(torch.from_numpy(dataset.audio(u, RATE)).float()[None, None])[0]
        )
        for u in dataset.chosen
    ]
    settings = {"utterances": COUNT, "prompt_s": 1.2, "continue_s": 1.04, "open_wer": 1}
    return RowLab(dataset, {"train": latents, "valid": latents, "test": latents}, settings)


def columns(submission: Any, lab: RowLab, fresh: bool = True) -> tuple[dict[str, Score], dict[str, str]]:
    """Scores and reasons by column; `fresh`: of another submission than before."""
    if fresh:
        lab.memory = {name: made for name, made in lab.memory.items() if not name.startswith("outputs")}
    found = Generation().score(submission, lab)
    scores = {s.column: s for s in found if isinstance(s, Score)}
    skipped = {str(s.column): s.reason for s in found if isinstance(s, Skipped)}
    assert len(scores) + len(skipped) == len(found) == len(Generation.card.columns)
    assert {*scores, *skipped} == {c.name for c in Generation.card.columns}
    return scores, skipped


def same(a: Score, b: Score) -> bool:
    return (
        bool(a.values)
        and a.values.keys() == b.values.keys()
        and all(a.values[i] == pytest.approx(b.values[i]) for i in a.values)
    )


def test_the_truth_has_the_scores_of_the_recording(lab) -> None:
    scores, skipped = columns(Truth(lab.latents("test")), lab)
    assert skipped.keys() == {
        *(f"text_{m}" for m in METRICS["text"]),
        *(f"continuation_original_{m}" for m in ("kad", "spread")),
        *(f"whole_original_{m}" for m in ("mel", "mcd", "f0_error", "voicing_error")),
        *(f"{name}_wer_whisper" for name in ("resampled", *(f"whole_{route}" for route in ROUTES))),
    }
    for metric in ("dnsmos", "p808", "speaker", "f0_shift", "silence", "loop", "level_slope", "pace", "pace_slope"):
        assert same(scores[f"continuation_{metric}"], scores[f"continuation_original_{metric}"])
        assert same(scores[f"continuation_{metric}"], scores[f"continuation_codec_{metric}"])
    assert (
        set(scores["continuation_kad"].values.values()) == set(scores["continuation_spread"].values.values()) == {0.0}
    )
    for metric in ("dnsmos", "speaker"):
        assert same(scores[f"resampled_{metric}"], scores[f"whole_original_{metric}"])
    for metric in ("mel", "mcd", "f0_error", "voicing_error"):
        assert max(scores[f"resampled_{metric}"].values.values()) == pytest.approx(0.0, abs=1e-9)
    # the corpus's own word errors under its grammar: .06 %
    assert sum(scores["resampled_wer_closed"].values.values()) == 0.0
    assert len(scores["resampled_wer_open"].values) == len(scores["resampled_cer_open"].values) == 1
    assert same(scores["resampled_cer_open"], scores["whole_original_cer_open"])
    assert scores["resampled_wer_closed"].weights is not None


def test_frames_without_order_are_worse_in_everything_that_is_ranked(lab) -> None:
    scores, _ = columns(Truth(lab.latents("test")), lab)
    means = {name: float(np.mean(list(s.values.values()))) for name, s in scores.items() if s.values}
    for metric, sign in (("dnsmos", 1), ("p808", 1), ("kad", -1)):
        assert sign * means[f"continuation_codec_{metric}"] > sign * means[f"continuation_marginal_{metric}"]
    for metric, sign in (("wer_closed", -1), ("dnsmos", 1), ("mel", -1), ("mcd", -1)):
        assert sign * means[f"whole_codec_{metric}"] > sign * means[f"whole_marginal_{metric}"]


def test_silence_is_unscored_where_nothing_can_be_said_of_it_and_all_words_are_lost(lab) -> None:
    scores, _ = columns(Mute(lab.latents("test")), lab)
    for name in ("continuation_dnsmos", "continuation_kad", "continuation_speaker", "resampled_f0_error"):
        assert not scores[name].values and len(scores[name].unscored) == COUNT, name
        assert any("silent" in reason for reason in scores[name].unscored.values()), name
    assert set(scores["continuation_silence"].values.values()) == {1.0}
    assert set(scores["resampled_wer_closed"].values.values()) == {1.0}


def test_transcripts_too_short_for_an_overlap_are_left_out_and_counted(lab) -> None:
    columns(Truth(lab.latents("test")), lab)
    # the general recogniser hears one of them here, and one text has nothing to overlap with
    assert lab.notes["vert_resampled"] == {"texts": 1, "left_out": COUNT - 1}
    assert overlap(["a b a b", "a b a b", "mm", ""]) == {
        "texts": 2,
        "left_out": 2,
        "vert": pytest.approx(0.9036, abs=1e-4),
    }


def test_of_a_batch_that_failed_the_others_are_scored(lab) -> None:
    scores, _ = columns(Sick(lab.latents("test")), lab)
    first = lab.latents("test")[0].id
    for metric in METRICS["continuation"]:
        column = scores[f"continuation_{metric}"]
        assert column.unscored == {first: "the submission gave nothing finite"}
        assert len(column.values) == COUNT - 1


def test_slow_metrics_hear_the_first_alone(lab) -> None:
    """The others are continued, and resampled are no more than these."""
    context = RowLab(lab.dataset, lab._splits, {**lab.parameters, "listened": 2, "kept": 1})
    context.memory = lab.memory
    scores, _ = columns(Truth(lab.latents("test")), context)
    ids = [u.id for u in lab.latents("test")]
    counted = {name: len(scores[f"continuation_{name}"].values) for name in METRICS["continuation"]}
    assert counted == {name: 2 if name in SLOW else len(ids) for name in METRICS["continuation"]}
    assert len(scores["resampled_mel"].values) == 2
    # no metric of one utterance depends on how many are heard
    everything, _ = columns(Truth(lab.latents("test")), lab)
    for name, score in scores.items():
        assert all(everything[name].values[i] == pytest.approx(value) for i, value in score.values.items()), name


def test_spread_is_in_decibels_of_variance(lab) -> None:
    """Frames of half the size have a quarter of the variance: 6.02 dB less."""
    hearing = Hearing(plan(lab, COUNT, 1.2, 1.04, 2.0), lab)
    halved = {name: waveform // 2 for name, waveform in hearing.truth("continuation", "original").items()}
    heard = hearing.heard("halved", "continuation", halved, ("spread",))
    assert [one["values"]["spread"] for one in heard.values()] == pytest.approx([-6.02] * COUNT, abs=0.05)


def test_frechet_distance_is_that_of_the_embeddings(lab) -> None:
    """Of clips that are all moved by one vector it is its squared length, without bias or with."""
    hearing = Hearing(plan(lab, COUNT, 1.2, 1.04, 2.0), lab)
    rng = np.random.default_rng(0)
    hearing._reference = {str(i): list(rng.standard_normal(3)) for i in range(40)}
    moved = {name: {"embedding": [v + 2.0 for v in e]} for name, e in hearing._reference.items()}
    assert hearing.frechet(moved) == {"biased": pytest.approx(12.0), "extrapolated": pytest.approx(12.0, abs=1.0)}
    assert hearing.frechet({"0": moved["0"]}) == {}, "too few to have a covariance"


def test_worker_processes_give_the_same(lab) -> None:
    chosen = plan(lab, COUNT, 1.2, 1.04, 2.0)
    with pool(1) as executor:
        elsewhere = Hearing(chosen, RowLab(lab.dataset, lab._splits, lab.parameters), executor=executor)
        heard = elsewhere.heard("there", "resampled", elsewhere.truth("resampled", "marginal"), ("mel", "wer_closed"))
    here = Hearing(chosen, RowLab(lab.dataset, lab._splits, lab.parameters))
    assert here.heard("here", "resampled", here.truth("resampled", "marginal"), ("mel", "wer_closed")) == heard


def test_whole_utterances_are_as_long_as_their_recordings(lab) -> None:
    """A frame more or less moves an opinion score by tenths."""
    hearing = Hearing(plan(lab, COUNT, 1.2, 1.04, 2.0), lab)
    lengths = {name: len(x) for name, x in hearing.truth("resampled", "original").items()}
    assert any(length % HOP for length in lengths.values())
    for waveforms in (hearing.truth("resampled", "codec"), hearing.made("resampled", Truth(lab.latents("test")))):
        assert {name: len(x) for name, x in waveforms.items()} == lengths


def test_whisper_hears_where_its_weights_are_named(lab, tmp_path) -> None:
    """With weights that know nothing: that as many are heard as by the general recogniser, and whose weights."""
    pytest.importorskip("whisper", reason="openai-whisper is an extra: pip install --no-deps openai-whisper")
    weights = tiny_whisper(tmp_path / "tiny.pt")
    hearing = Hearing(plan(lab, COUNT, 1.2, 1.04, 2.0), lab, open_wer=1, whisper=str(weights))
    heard = hearing.heard("whisper", "resampled", hearing.truth("resampled", "original"), ("wer_whisper",))
    assert [len(one["values"]) for one in heard.values()] == [1] + [0] * (COUNT - 1)
    assert len(hearing.fingerprint()["whisper"]["whisper_weights"]) == 64


def test_what_is_not_installed_is_skipped_with_what_to_install_and_the_rest_goes_on(lab, monkeypatch) -> None:
    def missing(*_: Any) -> Any:
        raise BenchError("pitch needs pyworld: pip install 'latentbench[quality]'")

    monkeypatch.setattr("bench.metrics.prosody.fingerprint", missing)
    monkeypatch.setattr("bench.metrics.prosody.pitch", missing)
    monkeypatch.setattr("bench.metrics.prosody.pitch_error", missing)
    # what it says is not asked here, and it takes half a second a clip
    monkeypatch.setattr("bench.metrics.dnsmos.dnsmos", lambda audio: {"ovrl": 3.0, "p808": 3.0})
    context = RowLab(lab.dataset, lab._splits, {**lab.parameters, "whisper": "no/such.pt", "kept": 1})
    context.memory = {name: made for name, made in lab.memory.items() if "heard" not in name}
    context.parameters |= {"utterances": 2, "listened": 2}
    scores, skipped = columns(Truth(lab.latents("test")), context)
    for name in ("continuation_f0_shift", "resampled_f0_error", "whole_codec_voicing_error"):
        assert "pip install 'latentbench[quality]'" in skipped[name]
    if find_spec("whisper"):
        assert "no file no/such.pt" in skipped["resampled_wer_whisper"]
    assert len(scores["resampled_mel"].values) == len(scores["continuation_dnsmos"].values) == 2
    assert "prosody" not in context.notes["metrics"] and "dnsmos" in context.notes["metrics"]


def test_a_spoken_text_that_never_ends_is_capped_and_counted(lab) -> None:
    texts = {u.id: u.text for u in lab.dataset.chosen}
    scores, _ = columns(Speaker(lab.latents("test"), texts), lab)
    assert sorted(scores["text_capped"].values.values()) == [0.0] * (COUNT - 1) + [1.0]
    assert sum(scores["text_wer_closed"].values.values()) == 0.0


def test_what_was_heard_once_is_not_heard_again(lab) -> None:
    columns(Truth(lab.latents("test")), lab)
    before = len(lab.made)
    columns(Truth(lab.latents("test")), lab, fresh=False)
    assert len(lab.made) == before


def test_a_few_of_each_mode_are_kept_for_listeners(lab) -> None:
    columns(Truth(lab.latents("test")), lab)
    assert {"continuation", "resampled", "original", "codec"} <= set(lab.kept)
    assert all(len(of_mode) == lab.parameters["kept"] for of_mode in lab.kept.values())


def test_too_short_a_corpus_is_refused(lab) -> None:
    long = RowLab(lab.dataset, lab._splits, {"prompt_s": 9.0, "continue_s": 9.0})
    with pytest.raises(DataError, match="expected at least 2 test utterances of 18 s, got 0"):
        Generation().score(Truth(lab.latents("test")), long)


def test_every_route_and_mode_has_its_columns() -> None:
    names = {c.name for c in Generation.card.columns}
    expected = {f"{mode}_{m}" for mode, ms in METRICS.items() for m in ms}
    expected |= {f"{name}_{route}_{m}" for mode, name in SHARED.items() for route in ROUTES for m in METRICS[mode]}
    assert names == expected
