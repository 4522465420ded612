"""Voices: known answers of the rates, the package's own embedding, and who is told from whom."""

import sys
import warnings
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest
import soundfile as sf

from bench.datasets.synthspeech import SynthSpeech
from bench.metrics.distortion import RATE, Unscorable
from bench.metrics.speaker import DIM, embed, equal_error_rate, fingerprint, similarity
from tests.needs import speech

needs_weights = pytest.mark.skipif(
    find_spec("resemblyzer") is None,
    reason="the package resemblyzer is installed apart: pip install --no-deps -r requirements-nodeps.txt",
)


@pytest.mark.parametrize(
    ("same", "different", "expected"),
    [
        ([0.9, 0.8], [0.1, 0.2, 0.3], 0.0),
        ([0.1, 0.2], [0.8, 0.9], 1.0),
        ([0.5] * 4, [0.5] * 4, 0.5),
        ([0.4, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.5], 0.25),
    ],
)
def test_equal_error_rates_by_hand(same: list[float], different: list[float], expected: float) -> None:
    assert equal_error_rate(same, different) == pytest.approx(expected)


def test_the_equal_error_rate_of_two_normals() -> None:
    """N(2, 1) against N(0, 1): both rates are Φ(−1) at the threshold 1."""
    rng = np.random.default_rng(0)
    found = equal_error_rate(rng.standard_normal(20_000) + 2, rng.standard_normal(30_000))
    assert found == pytest.approx(0.158655, abs=0.005)


def test_no_scores_have_no_rate() -> None:
    with pytest.raises(ValueError, match="both kinds"):
        equal_error_rate([], [0.1])


@needs_weights
def test_a_clip_is_its_own_speaker_at_any_level(one_thread: None) -> None:
    data = SynthSpeech()
    x = data.audio(data.utterances("test")[0], RATE)
    found = embed(x)
    assert found.shape == (DIM,) and (found >= 0).all()
    assert np.linalg.norm(found) == pytest.approx(1.0)
    assert similarity(x, x) == pytest.approx(1.0, abs=1e-6)
    # below −30 dB the level is raised to that
    assert similarity(0.01 * x, 0.001 * x) == pytest.approx(1.0, abs=1e-5)


@needs_weights
def test_the_embedding_is_that_of_the_package(one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("librosa", reason="librosa is an extra: pip install 'latentbench[dev]'")
    # imported by the package, needed only to cut silences
    monkeypatch.setitem(sys.modules, "webrtcvad", ModuleType("webrtcvad"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from resemblyzer import VoiceEncoder
        from resemblyzer.audio import normalize_volume

        data = SynthSpeech()
        encoder = VoiceEncoder("cpu", verbose=False)
        for utterance in data.utterances("test")[:40:20]:
            x = data.audio(utterance, RATE).astype(np.float32)
            expected = encoder.embed_utterance(normalize_volume(x, -30, increase_only=True))
            np.testing.assert_allclose(embed(x), expected, atol=2e-5)


@needs_weights
def test_voices_of_librispeech_are_told_apart(one_thread: None) -> None:
    """Halves of one recording against those of other recordings: easier than two recordings of one speaker."""
    files = sorted(speech("librispeech_train_clean100_251spk").glob("*.flac"))[::21]
    halves = [np.array_split(sf.read(file)[0], 2) for file in files]
    first, second = (np.stack([embed(pair[i]) for pair in halves]) for i in (0, 1))
    cosines = first @ second.T
    others = ~np.eye(len(files), dtype=bool)
    assert np.diag(cosines).mean() > cosines[others].mean() + 0.2
    assert equal_error_rate(np.diag(cosines), cosines[others]) < 0.1


@needs_weights
def test_clips_that_cannot_be_scored() -> None:
    x = np.random.default_rng(0).standard_normal(RATE)
    with pytest.raises(Unscorable, match=r"at least 0\.8 s"):
        similarity(x, x[:1000])
    with pytest.raises(Unscorable, match="silent"):
        similarity(np.zeros(RATE), x)


@needs_weights
def test_the_fingerprint_names_the_weights() -> None:
    assert len(fingerprint()["resemblyzer_weights"]) == 64
    assert "silences kept" in fingerprint()["speaker256"]
