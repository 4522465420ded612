"""Word errors: hand-made examples, and a recogniser that remembers nothing between utterances."""

from pathlib import Path

import numpy as np
import pytest

from bench.datasets.synthspeech import SynthSpeech
from bench.errors import DataError
from bench.metrics.distortion import Unscorable
from bench.metrics.intelligibility import Recogniser, WordErrors, fingerprint, normalise, recogniser, word_errors

RATE = 16_000
DATA = SynthSpeech()
UTTERANCES = DATA.utterances("test")[::32]
NOISE = 0.3 * np.random.default_rng(0).standard_normal(RATE)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors", "words"),
    [
        ("the cat sat", "the cat sat", 0, 3),
        ("the cat sat", "the bat sat", 1, 3),
        ("the cat sat", "the sat", 1, 3),
        ("the cat sat", "the big cat sat", 1, 3),
        ("the cat sat", "", 3, 3),
        ("the cat sat", "a b c d e", 5, 3),
        ("The CAT, sat!", "the cat sat", 0, 3),
    ],
)
def test_word_errors_by_hand(reference: str, hypothesis: str, errors: int, words: int) -> None:
    found = word_errors(reference, hypothesis)
    assert found == WordErrors(errors, words)
    assert found.rate == errors / words


def test_normaliser() -> None:
    assert normalise("  It’s  a WELL-known\tfact… ") == "its a well known fact"
    assert normalise("don't — «won't»") == "dont wont"
    assert normalise("Ｆｕｌｌ ２") == "full 2"
    assert normalise("naïve") == normalise("nai\u0308ve")
    assert normalise("?!") == ""


def test_a_transcript_without_words_is_unscorable() -> None:
    with pytest.raises(Unscorable, match="no words"):
        word_errors(" -- ", "anything")


def test_the_closed_grammar_hears_clean_speech() -> None:
    closed = recogniser(DATA.grammar)
    errors = [word_errors(u.text or "", closed.transcribe(DATA.audio(u, RATE))) for u in UTTERANCES]
    assert sum(e.errors for e in errors) <= 0.02 * sum(e.words for e in errors)


def test_the_closed_grammar_hears_nothing_in_noise_or_silence() -> None:
    closed = recogniser(DATA.grammar)
    for nothing in (NOISE, np.zeros(RATE), np.zeros(10), np.zeros(0)):
        assert closed.transcribe(nothing) == ""


def test_the_general_model_hears_most_words() -> None:
    heard = [word_errors(u.text or "", recogniser().transcribe(DATA.audio(u, RATE))) for u in UTTERANCES[:3]]
    assert sum(e.errors for e in heard) <= 0.6 * sum(e.words for e in heard)


@pytest.mark.parametrize("grammar", [DATA.grammar, None], ids=["closed", "general"])
def test_what_was_heard_before_changes_nothing(grammar: Path | None) -> None:
    audio = [DATA.audio(u, RATE) for u in UTTERANCES[: 6 if grammar else 3]]
    # faint enough to make the general model unsure of its words, loud enough to move a noise tracker
    audio = [a + 0.003 * np.random.default_rng(i).standard_normal(len(a)) for i, a in enumerate(audio)]
    used = Recogniser(grammar)
    forwards = [used.transcribe(a) for a in audio]
    used.transcribe(NOISE)
    backwards = [used.transcribe(a) for a in reversed(audio)]
    assert forwards == backwards[::-1]
    assert forwards[-1] == Recogniser(grammar).transcribe(audio[-1])
    assert any(forwards)


def test_beyond_full_scale_is_clipped_not_wrapped() -> None:
    x = DATA.audio(UTTERANCES[0], RATE)
    peak = np.argmax(np.abs(x))
    spiked, clipped = x.copy(), x.copy()
    spiked[peak], clipped[peak] = 5.0, 1.0
    assert recogniser(DATA.grammar).transcribe(spiked) == recogniser(DATA.grammar).transcribe(clipped)


def test_bad_input() -> None:
    closed = recogniser(DATA.grammar)
    for bad in (np.zeros((1, RATE)), np.array([0.0, np.nan])):
        with pytest.raises(ValueError, match="finite samples"):
            closed.transcribe(bad)


@pytest.mark.parametrize("text", ["", "no grammar", "#JSGF V1.0;\ngrammar g;\npublic <s> = zzqqxx;\n"])
def test_grammars_that_cannot_be_used(tmp_path: Path, text: str) -> None:
    path = tmp_path / "g.jsgf"
    path.write_text(text)
    with pytest.raises(DataError, match=r"cannot load the grammar g\.jsgf"):
        Recogniser(path)


def test_the_fingerprint_names_the_normaliser() -> None:
    assert fingerprint()["normaliser"].startswith("1:")
    assert {"pocketsphinx", "jiwer"} <= set(fingerprint())
