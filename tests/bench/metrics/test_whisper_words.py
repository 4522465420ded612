"""Whisper's plumbing on a tiny checkpoint of its own format with random weights; nothing is downloaded."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.errors import DataError
from bench.metrics.distortion import Unscorable
from bench.metrics.intelligibility import WordErrors
from bench.metrics.whisper_words import Whisper, english
from tests.tiny_whisper import tiny_whisper

if any(find_spec(name) is None for name in ("whisper", "numba", "tiktoken")):
    pytest.skip(
        "openai-whisper is installed apart: pip install --no-deps -r requirements-nodeps.txt", allow_module_level=True
    )
RATE = 16_000
NOISE = 0.1 * np.random.default_rng(0).standard_normal(RATE)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper(tmp_path_factory.mktemp("whisper") / "tiny.pt")


def test_the_same_audio_gives_the_same_text(checkpoint: Path, one_thread: None) -> None:
    heard = Whisper(str(checkpoint))
    first = heard.transcribe(NOISE)
    heard.transcribe(0.5 * NOISE[::-1])
    assert isinstance(first, str) and first == heard.transcribe(NOISE)
    assert heard.transcribe(10 * NOISE) == heard.transcribe((10 * NOISE).clip(-1, 1))


def test_no_audio_is_no_text_and_bad_audio_an_error(checkpoint: Path) -> None:
    heard = Whisper(str(checkpoint))
    assert heard.transcribe(np.zeros(0)) == ""
    for bad in (NOISE[None], np.array([0.0, np.nan])):
        with pytest.raises(ValueError, match="finite samples"):
            heard.transcribe(bad)


def test_normalisers(checkpoint: Path) -> None:
    assert english("Um, it's twenty-five colours!") == "it is 25 colors"
    said, meant = "it's twenty five colours", "It is 25 colors."
    assert Whisper(str(checkpoint), "whisper").word_errors(meant, said) == WordErrors(0, 4)
    assert Whisper(str(checkpoint)).word_errors(meant, said).errors > 0
    with pytest.raises(Unscorable, match="no words"):
        Whisper(str(checkpoint)).word_errors("?", said)


def test_the_fingerprint_names_weights_options_and_normaliser(checkpoint: Path) -> None:
    project, own = (Whisper(str(checkpoint), name).fingerprint() for name in ("project", "whisper"))
    assert len(project["whisper_weights"]) == 64
    assert "temperature=0.0" in project["whisper_options"] and "language=en" in project["whisper_options"]
    assert project["normaliser"].startswith("1:") and "EnglishTextNormalizer" in own["normaliser"]


def test_missing_weights_say_what_to_pass_and_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataError, match=r"no weights of tiny\.en in .*download https://.*/tiny\.en\.pt and pass w"):
        Whisper("tiny.en")
    with pytest.raises(DataError, match=r"no file nowhere\.pt; pass whisper:PATH of a \.pt, or whisper:NAME, one of"):
        Whisper("nowhere.pt")


def test_files_that_are_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, other, broken = (tmp_path / name for name in ("text.pt", "other.pt", "broken.pt"))
    text.write_text("no weights")
    torch.save({"model": {}}, other)
    torch.save({"dims": {"n_mels": 80}, "model_state_dict": {}}, broken)
    for path in (text, other, broken):
        with pytest.raises(DataError, match="is no checkpoint of Whisper"):
            Whisper(str(path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "whisper").mkdir()
    text.rename(tmp_path / "whisper" / "tiny.en.pt")
    with pytest.raises(DataError, match="expected d3dd57d32accea0b…"):
        Whisper("tiny.en")
