"""Words that Whisper hears, in the shape of `bench.metrics.intelligibility`'s recogniser.

    whisper:NAME    weights of openai-whisper that were downloaded before, such as `whisper:large-v3`
    whisper:PATH    a checkpoint of its own format: {"dims": ..., "model_state_dict": ...}

Nothing is downloaded here. Conventions: audio is (N,) in [-1, 1] at 16 kHz; English, greedy (temperature 0, and no
other one is tried), each window of 30 s for itself, float32. A window that the model takes for silence (no-speech
probability above .6, mean log-probability below −1) gives no words. Whisper may make up words in noise and silence.

Texts are normalised by the project's `normalise` unless `normaliser="whisper"` asks for Whisper's own, which spells
numbers and British words in one way, drops "um" and opens contractions. Published error rates of Whisper are on its
own; the two do not compare.

References:
    Radford et al. 2022, "Robust speech recognition via large-scale weak supervision" (arXiv 2212.04356).
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bench.cache import file_digest
from bench.errors import DataError
from bench.metrics.intelligibility import NORMALISER, WordErrors, word_errors
from bench.metrics.needed import imported

PACKAGE = "openai-whisper==20250625"
OPTIONS: dict[str, Any] = {
    "language": "en",
    "task": "transcribe",
    "temperature": 0.0,
    "condition_on_previous_text": False,
    "no_speech_threshold": 0.6,
    "logprob_threshold": -1.0,
    "compression_ratio_threshold": None,
    "fp16": False,
}
KEYS = {"dims", "model_state_dict"}

Normaliser = Literal["project", "whisper"]


@dataclass(frozen=True)
class Whisper:
    """A model of openai-whisper with fixed options.

    Args:
        weights: a name of its models, or a path to a checkpoint.
        normaliser: of texts before they are compared.

    Raises:
        BenchError: openai-whisper is not installed.
        DataError: weights that are missing, or a file that is no checkpoint of Whisper.
    """

    weights: str
    normaliser: Normaliser = "project"

    def __post_init__(self) -> None:
        _model(_file(self.weights))

    def transcribe(self, audio: npt.ArrayLike) -> str:
        """What was heard, or an empty text.

        Args:
            audio: (N,) in [-1, 1], 16 kHz. What is beyond is clipped, as 16-bit samples must be.
        """
        samples = np.asarray(audio, dtype=np.float64)
        if samples.ndim != 1 or not np.isfinite(samples).all():
            raise ValueError(f"transcribe: expected finite samples (N,), got {samples.shape}")
        if not len(samples):
            return ""
        with _files_left_open():
            found = _model(_file(self.weights)).transcribe(samples.clip(-1.0, 1.0).astype(np.float32), **OPTIONS)
        return str(found["text"]).strip()

    def word_errors(self, reference: str, hypothesis: str) -> WordErrors:
        """Errors of the best alignment of two texts, each normalised.

        Raises:
            Unscorable: a reference without words.
        """
        if self.normaliser == "whisper":
            reference, hypothesis = english(reference), english(hypothesis)
        return word_errors(reference, hypothesis)

    def fingerprint(self) -> dict[str, str]:
        """What decides word errors beside audio and text."""
        own = f"whisper {version('openai-whisper')} EnglishTextNormalizer, then {NORMALISER}"
        return {
            "openai-whisper": version("openai-whisper"),
            "jiwer": version("jiwer"),
            "whisper_weights": file_digest(_file(self.weights)),
            "whisper_options": "1: " + ", ".join(f"{name}={value}" for name, value in OPTIONS.items()),
            "normaliser": own if self.normaliser == "whisper" else NORMALISER,
        }


def english(text: str) -> str:
    """Whisper's own normalisation of English."""
    return str(_normaliser()(text))


@cache
def _normaliser() -> Any:
    with imported("word errors of Whisper", "openai-whisper", PACKAGE):
        from whisper.normalizers import EnglishTextNormalizer
    with _files_left_open():
        return EnglishTextNormalizer()


@contextmanager
def _files_left_open() -> Iterator[None]:
    """The package reads its lists of tokens and spellings once, and leaves it to Python to close them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield


@cache
def _file(weights: str) -> Path:
    """The checkpoint of a name or path, which must be there."""
    with imported("word errors of Whisper", "openai-whisper", PACKAGE):
        import whisper
    if weights not in whisper.available_models():
        if (path := Path(weights).expanduser()).is_file():
            return path
        names = ", ".join(whisper.available_models())
        raise DataError(f"whisper: no file {path}; pass whisper:PATH of a .pt, or whisper:NAME, one of {names}")
    # where the package keeps what it downloads
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "whisper"
    address = whisper._MODELS[weights]
    path = folder / Path(address).name
    if not path.is_file():
        raise DataError(f"whisper: no weights of {weights} in {folder}; download {address} and pass whisper:PATH")
    if (got := file_digest(path)) != (expected := Path(address).parent.name):
        raise DataError(f"whisper: {path} has sha256 {got[:16]}…, expected {expected[:16]}…; download {address}")
    return path


@cache
def _model(path: Path) -> Any:
    with imported("word errors of Whisper", "openai-whisper", PACKAGE):
        import whisper
    import torch

    wrong = f"whisper: {path} is no checkpoint of Whisper, expected a .pt of {sorted(KEYS)}"
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise DataError(wrong) from error
    if not isinstance(held, dict) or not held.keys() >= KEYS:
        raise DataError(wrong)
    try:
        return whisper.load_model(str(path), device="cpu").eval()
    except (TypeError, RuntimeError) as error:
        raise DataError(f"{wrong}: {error}") from error
