"""Reconstruction with a codec that loses nothing: what a perfect, a noisy and a broken submission get."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.checked import Checked
from bench.contract import CodecInfo, LatentUtterance, Score, Skipped, Source, Utterance
from bench.datasets.synthspeech import SynthSpeech
from bench.errors import CardError, DataError, PluginError
from bench.metrics.distortion import Unscorable
from bench.metrics.fidelity import METRICS, Pair, measure
from bench.metrics.intelligibility import normalise
from tasks.reconstruction import ROUTES, Reconstruction, round_robin
from tests.lab import LabContext

CORPUS = SynthSpeech()
RATE, HOP = 16_000, 1280
CARD = Reconstruction.card


class Framing:
    """Frames of the waveform are the latents: nothing is lost."""

    def __init__(self, sample_rate: int = RATE) -> None:
        self.info = CodecInfo("framing", sample_rate, HOP, HOP)

    def encode(self, audio: Tensor) -> Tensor:
        return F.pad(audio, (0, -audio.shape[-1] % HOP)).unflatten(-1, (-1, HOP))[:, 0]

    def decode(self, latents: Tensor) -> Tensor:
        return latents.flatten(1)[:, None]


class Deaf(Framing):
    """Decodes half of the frames."""

    def decode(self, latents: Tensor) -> Tensor:
        return super().decode(latents[:, ::2])


class Noisy:
    """Keeps everything in its posterior; its prior is the truth in noise."""

    def __init__(self, noise: float = 0.01) -> None:
        self.noise = noise

    def reconstruct(self, x: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        if source == "posterior":
            return x
        return x + self.noise * torch.randn(x.shape, generator=generator)


class Broken:
    def __init__(self, spoil: Callable[[Tensor], Tensor]) -> None:
        self.spoil = spoil

    def reconstruct(self, x: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        return self.spoil(x)


class Few:
    """A few utterances as a dataset."""

    name, digest, speakers_known = "few", "", True
    refused: Mapping[str, str] = {}
    converted: Mapping[str, int] = {}

    def __init__(
        self,
        utterances: Sequence[Utterance],
        grammar: Path | None = CORPUS.grammar,
        made: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.grammar, self._utterances, self._made = grammar, utterances, made or {}

    def utterances(self, split: str) -> Sequence[Utterance]:
        return self._utterances

    def audio(self, utterance: Utterance, sample_rate: int) -> np.ndarray:
        made = self._made.get(utterance.id)
        return CORPUS.audio(utterance, sample_rate) if made is None else made


class Counting(LabContext):
    """Counts what was made for the shared cache, and keeps it as JSON would."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.store: dict[str, str] = {}

    def cached_json(self, key: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        name = json.dumps(key, sort_keys=True)
        if name not in self.store:
            self.store[name] = json.dumps(make(), allow_nan=False)
        return json.loads(self.store[name])


def context(data: Any, codec: Framing | None = None, **parameters: Any) -> Counting:
    codec = codec or Framing()
    latents = [
        LatentUtterance(
            u.id, u.speaker, codec.encode(torch.from_numpy(data.audio(u, codec.info.sample_rate))[None, None])[0]
        )
        for u in data.utterances("test")
    ]
    made = Counting(CARD, {"test": latents}, codec, parameters)
    made.dataset = data
    return made


def scored(submission: Any, where: Counting) -> dict[str, Score | Skipped]:
    found = Reconstruction().score(Checked(submission, "some_row"), where)
    assert all(one.column for one in found)
    return {str(one.column): one for one in found}


def values(found: Mapping[str, Score | Skipped], column: str) -> list[float]:
    score = found[column]
    assert isinstance(score, Score)
    assert not score.unscored
    return list(score.values.values())


VOICES = ("awb", "rms", "slt-deep")
SPOKEN = [next(u for u in CORPUS.utterances("test") if u.speaker == voice) for voice in VOICES]
SILENT = [replace(u, text=None) for u in SPOKEN]


@pytest.fixture(scope="module")
def three() -> tuple[dict[str, Score | Skipped], Counting]:
    where = context(Few(SPOKEN), open_wer_minutes=0.12)
    return scored(Noisy(), where), where


def test_every_column_of_the_card_is_scored(three: tuple[dict[str, Score | Skipped], Counting]) -> None:
    found, _ = three
    assert list(found) == [c.name for c in CARD.columns] == [f"{r}_{m}" for r in ROUTES for m in METRICS]
    assert all(isinstance(one, Score) for one in found.values())
    for column in CARD.columns:
        assert column.margin
        assert column.help


@pytest.mark.parametrize("route", ["codec", "posterior"])
def test_what_loses_nothing_is_perfect(three: tuple[dict[str, Score | Skipped], Counting], route: str) -> None:
    found, _ = three
    assert values(found, f"{route}_pesq") == pytest.approx([4.644] * 3, abs=1e-3)
    assert values(found, f"{route}_stoi") == pytest.approx([1.0] * 3, abs=1e-9)
    assert values(found, f"{route}_si_sdr") == [100.0] * 3
    assert values(found, f"{route}_mel") == [0.0] * 3
    assert values(found, f"{route}_wer_closed") == [0.0] * 3


def test_a_noisy_prior_is_worse_in_every_metric(three: tuple[dict[str, Score | Skipped], Counting]) -> None:
    found, _ = three
    for metric in METRICS[:4]:
        better = next(c.better for c in CARD.columns if c.name == f"prior_{metric}")
        pairs = zip(values(found, f"prior_{metric}"), values(found, f"posterior_{metric}"), strict=True)
        assert all(p < q if better == "higher" else p > q for p, q in pairs)
    # 0.01 of white noise under this speech
    power = [np.mean((a - a.mean()) ** 2) for a in (CORPUS.audio(u, RATE) for u in SPOKEN)]
    assert values(found, "prior_si_sdr") == pytest.approx([10 * np.log10(p / 1e-4) for p in power], abs=0.2)


def test_word_error_rates_are_weighted_by_words(three: tuple[dict[str, Score | Skipped], Counting]) -> None:
    found, where = three
    words = {u.id: float(len(normalise(u.text or "").split())) for u in SPOKEN}
    closed, general = found["prior_wer_closed"], found["prior_wer_open"]
    assert isinstance(closed, Score)
    assert isinstance(general, Score)
    assert closed.weights == words
    assert where.notes["open_wer_utterances"] == 2
    assert set(general.values) == {u.id for u in SPOKEN[:2]}, "7.2 s hold two utterances; the third is not attempted"
    assert general.weights == {u.id: words[u.id] for u in SPOKEN[:2]}
    for score in (closed, general):
        errors = [score.values[name] * words[name] for name in score.values]
        assert errors == pytest.approx([round(e) for e in errors])
    assert found["posterior_pesq"].weights is None  # type: ignore[union-attr]


def test_the_ceiling_is_made_once_for_all_submissions_and_seeds_decide_the_prior() -> None:
    where = context(Few(SILENT[:2]))
    first, second = scored(Noisy(), where), scored(Noisy(), where)
    assert len(where.store) == 1
    assert first == second
    other = scored(Noisy(0.1), where)
    assert len(where.store) == 1
    assert other["codec_mel"] == first["codec_mel"]
    assert values(other, "prior_mel") != values(first, "prior_mel")


def test_columns_without_transcripts_or_grammar_are_skipped_with_a_reason() -> None:
    found = scored(Noisy(), context(Few(SILENT[:1])))
    for column in (f"{r}_{m}" for r in ROUTES for m in ("wer_closed", "wer_open")):
        assert found[column] == Skipped("the dataset has no transcripts", column)
    found = scored(Noisy(), context(Few(SPOKEN[:1], grammar=None), open_wer_minutes=0))
    assert found["codec_wer_closed"] == Skipped("the dataset has no grammar", "codec_wer_closed")
    assert found["prior_wer_open"] == Skipped("open_wer_minutes is 0", "prior_wer_open")
    assert len(values(found, "prior_pesq")) == 1


def test_an_utterance_without_transcript_has_no_word_errors() -> None:
    found = scored(Noisy(), context(Few([SPOKEN[0], SILENT[1]]), open_wer_minutes=0))
    assert len(values(found, "posterior_wer_closed")) == 1
    assert len(values(found, "posterior_stoi")) == 2


def test_what_cannot_be_scored_is_listed_with_its_reason_and_not_imputed() -> None:
    click = np.zeros(RATE, np.float32)
    click[8000:8400] = 0.1 * np.random.default_rng(0).standard_normal(400)
    data = Few([SILENT[0], Utterance("click", "x", "test")], made={"click": click})
    found = scored(Noisy(0.0), context(data))
    pesq, stoi = found["posterior_pesq"], found["posterior_stoi"]
    assert isinstance(pesq, Score)
    assert isinstance(stoi, Score)
    assert list(pesq.values) == list(stoi.values) == [SILENT[0].id]
    assert pesq.unscored == {"click": "PESQ: No utterances detected"}
    assert stoi.unscored == {"click": "STOI: fewer than 30 frames that are not silent"}
    assert values(found, "posterior_mel") == [0.0, 0.0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x * float("nan"), r"some_row.*reconstruct.*not finite"),
        (lambda x: x[:, :-1], r"some_row.*reconstruct must be \(1, \d+, 1280\), got"),
        (lambda x: x[0], r"some_row.*reconstruct must be"),
        (lambda x: None, r"some_row.*reconstruct.*NoneType"),
    ],
)
def test_a_broken_submission_is_an_error_not_a_score(spoil: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        scored(Broken(spoil), context(Few(SILENT[:1])))


def test_a_broken_decoder_is_named() -> None:
    with pytest.raises(PluginError, match=r"framing: decode must return finite audio \(1, 1, \d+\), got"):
        scored(Noisy(), context(Few(SILENT[:1]), Deaf()))


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(DataError, match="the test split is empty"):
        scored(Noisy(), context(Few([])))


@pytest.mark.parametrize("wrong", [{"open_wer_minutes": -1}, {"open_wer_minutes": "all"}, {"open_minutes": 2}])
def test_parameters_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(CardError, match="reconstruction"):
        scored(Noisy(), context(Few(SILENT[:1]), **wrong))


def test_a_codec_of_another_rate_is_heard_at_16_khz() -> None:
    found = scored(Noisy(), context(Few(SPOKEN[:1]), Framing(24_000), open_wer_minutes=0))
    assert values(found, "posterior_mel") == [0.0]
    assert values(found, "posterior_wer_closed") == [0.0]


def test_the_padding_of_the_last_frame_is_not_heard() -> None:
    x = CORPUS.audio(SPOKEN[0], RATE)
    loud_tail = np.concatenate([x, np.ones(HOP, np.float32)])
    assert measure(Pair(x, loud_tail, RATE)) == measure(Pair(x, x, RATE))


def test_a_transcript_without_words_is_unscored() -> None:
    x = CORPUS.audio(SPOKEN[0], RATE)
    found = measure(Pair(x, x, RATE, text="--", grammar=CORPUS.grammar))
    assert found["unscored"] == {"wer_closed": "WER: the transcript has no words"}
    assert "wer_closed" not in found["values"]
    assert issubclass(Unscorable, Exception)


def of(speaker: str, name: str, frames: int) -> LatentUtterance:
    return LatentUtterance(name, speaker, torch.zeros(frames, 1))


def test_round_robin_by_hand() -> None:
    items = [of("a", "a1", 25), of("a", "a2", 25), of("a", "a3", 25), of("b", "b1", 25), of("c", "c1", 50)]
    everything = ["a1", "b1", "c1", "a2", "a3"]
    assert round_robin(items, 60.0, 12.5) == everything
    assert round_robin(items, 12.0, 12.5) == everything
    assert round_robin(items, 11.9, 12.5) == everything[:4]
    assert round_robin(items, 4.0, 12.5) == everything[:2]
    assert round_robin(items, 0.1, 12.5) == everything[:1], "one utterance at least"
    assert round_robin(items, 0.0, 12.5) == []
    assert round_robin([], 60.0, 12.5) == []


def test_what_is_ranked() -> None:
    ranked = {c.name for c in CARD.columns if c.ranked}
    assert ranked == {f"posterior_{m}" for m in ("pesq", "stoi", "mel", "wer_open")}
    assert all(c.shown == "%" for c in CARD.columns if c.unit == "share")
