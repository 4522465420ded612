"""Word errors of a fixed recogniser: PocketSphinx with the models that its package bundles.

Conventions: audio is (N,) in [-1, 1] at 16 kHz. A text is normalised (`normalise`) before it is compared. The
word error rate of a set is Σ errors / Σ words. No hypothesis means that every word was deleted.

Two recognisers: `None`, the bundled general English language model; or a closed JSGF grammar, which finds
every word of clean speech and nothing at all in noisy speech, and so is a cliff rather than a scale.

References:
    Huggins-Daines et al. 2006, "PocketSphinx", ICASSP. Young et al. 2006, "The HTK Book", 3.4.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.errors import DataError
from bench.metrics.distortion import RATE, Unscorable

NORMALISER = "1: NFKC, lower case, apostrophes dropped, other punctuation and symbols to spaces, numbers left"

MAX_HMMS = 5000
"""Hidden Markov models that the search keeps a frame. Noise, in which everything is as likely as everything
else, then costs twice what speech does and not five times; clean speech gives the same words as with the
default of 30,000."""


def fingerprint() -> dict[str, str]:
    """What decides word errors beside audio and text."""
    packages = {name: version(name) for name in ("pocketsphinx", "jiwer")}
    return {**packages, "pocketsphinx_maxhmmpf": str(MAX_HMMS), "normaliser": NORMALISER}


@dataclass(frozen=True)
class WordErrors:
    """Substitutions, deletions and insertions, and the words of the reference, at least 1."""

    errors: int
    words: int

    @property
    def rate(self) -> float:
        """errors / words; above 1 where many words were inserted."""
        return self.errors / self.words


def normalise(text: str) -> str:
    """Lower case without punctuation; numbers are not spelled out.

    >>> normalise("“It’s a well-known fact,” he said.")
    'its a well known fact he said'
    """
    plain = unicodedata.normalize("NFKC", text).lower()
    plain = plain.replace("'", "").replace("\u2019", "")
    return " ".join("".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in plain).split())


def word_errors(reference: str, hypothesis: str) -> WordErrors:
    """Errors of the best alignment of two texts.

    >>> word_errors("the cat sat", "The bat sat down.")
    WordErrors(errors=2, words=3)

    Raises:
        Unscorable: a reference without words.
    """
    import jiwer

    expected = normalise(reference)
    if not expected:
        raise Unscorable("WER: the transcript has no words")
    found = jiwer.process_words(expected, normalise(hypothesis))
    return WordErrors(found.substitutions + found.deletions + found.insertions, len(expected.split()))


class Recogniser:
    """A PocketSphinx decoder whose answer depends on the utterance alone.

    Cepstral means are taken over the whole utterance, and the noise tracker, which would carry over from one
    utterance to the next, is made anew for each.

    Args:
        grammar: a JSGF file, or None for the general language model.

    Raises:
        DataError: a grammar that cannot be read or has words that the dictionary lacks.
    """

    def __init__(self, grammar: Path | None = None) -> None:
        import pocketsphinx

        model = Path(pocketsphinx.get_model_path()) / "en-us"
        search = {"lm": str(model / "en-us.lm.bin")} if grammar is None else {"jsgf": str(grammar)}
        try:
            self._decoder = pocketsphinx.Decoder(
                hmm=str(model / "en-us"),
                dict=str(model / "cmudict-en-us.dict"),
                samprate=RATE,
                cmn="batch",
                maxhmmpf=MAX_HMMS,
                loglevel="FATAL",
                **search,
            )
        except RuntimeError as error:
            what = "the general model" if grammar is None else f"the grammar {grammar.name}"
            raise DataError(f"pocketsphinx: cannot load {what}: {error}") from error

    def transcribe(self, audio: npt.ArrayLike) -> str:
        """The best hypothesis, or an empty text where there is none.

        Args:
            audio: (N,) in [-1, 1], 16 kHz. What is beyond is clipped, as 16-bit samples must be.
        """
        samples = np.asarray(audio, dtype=np.float64)
        if samples.ndim != 1 or not np.isfinite(samples).all():
            raise ValueError(f"transcribe: expected finite samples (N,), got {samples.shape}")
        if not len(samples):
            return ""
        pcm = np.round(samples.clip(-1.0, 1.0) * 32767.0).astype("<i2").tobytes()
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()
        best = self._decoder.hyp()
        return str(best.hypstr) if best is not None else ""


@cache
def recogniser(grammar: Path | None = None) -> Recogniser:
    """The process's recogniser of a grammar; loading one takes .2 to .7 s."""
    return Recogniser(grammar)
