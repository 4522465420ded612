"""Everything that is measured on one decoded waveform, as one job for a worker process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict

import numpy as np
import soxr

from bench.metrics import distortion, intelligibility
from bench.metrics.distortion import RATE, Unscorable

DISTORTIONS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "pesq": distortion.pesq,
    "stoi": distortion.stoi,
    "si_sdr": distortion.si_sdr,
    "mel": distortion.log_mel_l1,
}
RECOGNISERS = ("wer_closed", "wer_open")
METRICS = (*DISTORTIONS, *RECOGNISERS)


@dataclass(frozen=True)
class Pair:
    """A waveform and its reference, (N,) each, at `rate` Hz.

    `text` is what was said, where it is known; `grammar` asks for the closed word error rate, `open_words` for
    the open one.
    """

    reference: np.ndarray
    estimate: np.ndarray
    rate: int
    text: str | None = None
    grammar: Path | None = None
    open_words: bool = False


class Fidelity(TypedDict):
    """Metric → value, metric → words of the transcript (the weight of a word error rate), and metric → why it
    has no value. A metric that was not asked for is in neither."""

    values: dict[str, float]
    words: dict[str, int]
    unscored: dict[str, str]


def measure(pair: Pair) -> Fidelity:
    """All metrics of a pair, at 16 kHz; word errors where there is a text to hold them against."""
    found = Fidelity(values={}, words={}, unscored={})
    n = min(len(pair.reference), len(pair.estimate))
    reference, estimate = (_at_metric_rate(x[:n], pair.rate) for x in (pair.reference, pair.estimate))

    def attempt(name: str, score: Callable[[], float]) -> None:
        try:
            found["values"][name] = score()
        except Unscorable as reason:
            found["unscored"][name] = str(reason)

    def word_error_rate(name: str, text: str, grammar: Path | None) -> float:
        heard = intelligibility.recogniser(grammar).transcribe(estimate)
        errors = intelligibility.word_errors(text, heard)
        found["words"][name] = errors.words
        return errors.rate

    for name, metric in DISTORTIONS.items():
        attempt(name, partial(metric, reference, estimate))
    if pair.text is not None and pair.grammar is not None:
        attempt("wer_closed", partial(word_error_rate, "wer_closed", pair.text, pair.grammar))
    if pair.text is not None and pair.open_words:
        attempt("wer_open", partial(word_error_rate, "wer_open", pair.text, None))
    return found


def fingerprint() -> dict[str, str]:
    """What decides the metrics beside audio and texts: packages, definitions, resampler."""
    return {**distortion.fingerprint(), **intelligibility.fingerprint(), "resampler": "soxr HQ"}


def _at_metric_rate(samples: np.ndarray, rate: int) -> np.ndarray:
    return samples if rate == RATE else soxr.resample(samples, rate, RATE, quality="HQ")
