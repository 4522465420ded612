"""What is measured on one generated waveform, as one job for a worker process, and its cache.

Everything is measured on the kept samples at 16 kHz. A waveform that a metric cannot score is left out of that metric
with the reason, never given a value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import soxr

from bench.errors import BenchError
from bench.metrics import (
    audio_collapse,
    cepstral,
    distortion,
    dnsmos,
    embedding,
    intelligibility,
    pace,
    prosody,
)
from bench.metrics.distortion import RATE, Unscorable
from bench.outputs import Waveform, as_float, waveform_digest

VERSION = 1
"""Of the definitions here."""
RESAMPLER = "soxr HQ"
QUICK = {"kad", "silence", "loop", "level_slope", "pace", "pace_slope", "capped", "spread", "speaker"}
"""What costs less than starting a process for it does."""


@dataclass(frozen=True)
class Job:
    """One waveform (N,) int16 at `rate` Hz, and what it is held against.

    Attributes:
        wanted: names of `METRICS`.
        aligned: the recording it should be, sample by sample; None where there is none.
        past: what was heard before it, or a recording of the same voice; its level is the reference of silence and its
            pitch that of `f0_shift`.
        text: what was to be said.
        grammar: of the closed recogniser.
        open_words: whether the general recogniser hears it.
    """

    waveform: Waveform
    rate: int
    wanted: tuple[str, ...]
    aligned: Waveform | None = None
    past: Waveform | None = None
    text: str | None = None
    grammar: Path | None = None
    open_words: bool = False

    def key(self) -> dict[str, Any]:
        """What decides the result, beside the code."""
        around = {name: getattr(self, name) for name in ("waveform", "aligned", "past")}
        return {
            **{name: None if x is None else waveform_digest(x) for name, x in around.items()},
            "rate": self.rate,
            "wanted": list(self.wanted),
            "text": self.text,
            "grammar": None if self.grammar is None else self.grammar.read_text(encoding="utf-8"),
            "open_words": self.open_words,
        }


class Heard(TypedDict):
    """Metric → value; metric → words or characters of the transcript, the weight of an error rate; metric → why it has
    no value; what the general recogniser heard; and the embedding, empty where there is none."""

    values: dict[str, float]
    weights: dict[str, float]
    unscored: dict[str, str]
    transcript: str
    embedding: list[float]


def fingerprint(missing: Container[str] = ()) -> dict[str, Any]:
    """What decides the scores beside audio and texts; of the metrics that are `missing`, nothing."""
    modules = {"dnsmos": dnsmos, "f0_shift": prosody, "kad": embedding, "mel": distortion}
    return {
        "version": VERSION,
        "resampler": RESAMPLER,
        "trim": "none",
        **{m.__name__.rpartition(".")[2]: m.fingerprint() for name, m in modules.items() if name not in missing},
        "intelligibility": intelligibility.fingerprint(),
    }


def unavailable(whisper: str = "") -> dict[str, str]:
    """Metric → why it cannot be measured here: a package that is not installed, weights that are not there.

    Args:
        whisper: weights of Whisper; "": none are asked for.
    """
    # torch stays out of the worker processes, which import this module
    from bench.metrics import speaker
    from bench.metrics.whisper_words import Whisper

    needs: dict[Callable[[], object], tuple[str, ...]] = {
        dnsmos.fingerprint: ("dnsmos", "p808"),
        prosody.fingerprint: ("f0_shift", "f0_error", "voicing_error"),
        speaker.fingerprint: ("speaker",),
        partial(Whisper, whisper): ("wer_whisper",),
    }
    found: dict[str, str] = {}
    for ask, metrics in needs.items():
        if metrics == ("wer_whisper",) and not whisper:
            found["wer_whisper"] = "no weights of Whisper are named"
            continue
        try:
            ask()
        except BenchError as error:
            found |= dict.fromkeys(metrics, str(error))
    return found


def measure(job: Job) -> Heard:
    """All wanted metrics."""
    found = Heard(values={}, weights={}, unscored={}, transcript="", embedding=[])
    audio = at_metric_rate(job.waveform, job.rate)
    truth = None if job.aligned is None else at_metric_rate(job.aligned, job.rate)
    past = None if job.past is None else at_metric_rate(job.past, job.rate)

    @contextmanager
    def attempting(*names: str) -> Iterator[None]:
        try:
            yield
        except Unscorable as reason:
            found["unscored"] |= dict.fromkeys((n for n in names if n in job.wanted), str(reason))

    def attempt(name: str, score: Callable[[], float]) -> None:
        if name in job.wanted:
            with attempting(name):
                found["values"][name] = score()

    if not len(audio):
        reason = "the submission gave nothing finite"
        found["unscored"] = dict.fromkeys(job.wanted, reason)
        return found
    if {"dnsmos", "p808"} & set(job.wanted):
        with attempting("dnsmos", "p808"):
            opinion = dnsmos.dnsmos(audio)
            both = {"dnsmos": opinion["ovrl"], "p808": opinion["p808"]}
            found["values"] |= {name: value for name, value in both.items() if name in job.wanted}
    if truth is not None:
        n = min(len(audio), len(truth))
        for name, distance in (("mel", distortion.log_mel_l1), ("mcd", cepstral.mcd)):
            attempt(name, partial(distance, truth[:n], audio[:n]))
        if {"f0_error", "voicing_error"} & set(job.wanted):
            with attempting("f0_error", "voicing_error"):
                errors = prosody.pitch_error(truth[:n], audio[:n])
                found["values"] |= {"f0_error": errors["f0_rmse_cents"], "voicing_error": errors["voicing_error"]}
    if past is not None:
        level = float(np.quantile(audio_collapse.levels(past), 0.9))
        attempt("silence", partial(audio_collapse.silence, audio, level))
        attempt("level_slope", partial(audio_collapse.level_slope, audio, level))
        attempt("f0_shift", partial(_shift, past, audio))
    for name, collapse in (("loop", audio_collapse.loop), ("pace", pace.pace), ("pace_slope", pace.pace_slope)):
        attempt(name, partial(collapse, audio))
    _words(job, audio, found)
    if "kad" in job.wanted:
        with attempting("kad"):
            found["embedding"] = [float(v) for v in embedding.mfcc(audio)]
    return found


def _words(job: Job, audio: np.ndarray, found: Heard) -> None:
    heard: Mapping[str, tuple[Path | None, bool]] = {
        "wer_open": (None, job.open_words),
        "wer_closed": (job.grammar, job.grammar is not None),
    }
    for name, (grammar, asked) in heard.items():
        if name not in job.wanted or not asked:
            continue
        transcript = intelligibility.recogniser(grammar).transcribe(audio)
        if name == "wer_open":
            found["transcript"] = transcript
        if job.text is None:
            continue
        count_errors(found, name, job.text, transcript)


def count_errors(found: Heard, name: str, text: str, transcript: str) -> None:
    """Fill in the word error rate `name`, and beside `wer_open` the character error rate `cer_open`."""
    try:
        errors = intelligibility.word_errors(text, transcript)
    except Unscorable as reason:
        found["unscored"][name] = str(reason)
        if name == "wer_open":
            found["unscored"]["cer_open"] = str(reason)
        return
    found["values"][name], found["weights"][name] = errors.rate, float(errors.words)
    if name == "wer_open":
        import jiwer

        said = intelligibility.normalise(text)
        found["values"]["cer_open"] = float(jiwer.cer(said, intelligibility.normalise(transcript)))
        found["weights"]["cer_open"] = float(len(said))


def _shift(voice: np.ndarray, audio: np.ndarray) -> float:
    """Distance of the mean pitches, semitones."""
    one, other = (prosody.pitch(x)["f0_hz"] for x in (voice, audio))
    return abs(12.0 * math.log2(other / one))


def at_metric_rate(waveform: Waveform, rate: int) -> np.ndarray:
    """(N,) in [−1, 1] at 16 kHz."""
    audio = as_float(waveform)
    return audio if rate == RATE or not len(audio) else soxr.resample(audio, rate, RATE, quality="HQ")
