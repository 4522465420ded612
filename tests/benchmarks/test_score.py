"""The benchmark of scoring on a few pairs: both ways agree, and what was heard is found again. Nothing is timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.datasets.synthspeech import SynthSpeech
from bench.metrics.fidelity import DISTORTIONS
from benchmarks import scoring as score

pytest.importorskip("onnxruntime", reason="onnxruntime is an extra: pip install 'latentbench[quality]'")


def test_an_excerpt_is_the_first_utterances_of_the_corpus(tmp_path: Path) -> None:
    few, whole = score.excerpt(tmp_path / "corpus", 3), SynthSpeech()
    assert few.utterances("test") == whole.utterances("test")[:3]
    one = few.utterances("test")[2]
    assert (few.audio(one, 16_000) == whole.audio(one, 16_000)).all()


def test_the_pool_and_the_loop_agree_and_what_was_heard_is_found_again(tmp_path: Path) -> None:
    corpus = score.excerpt(tmp_path / "corpus", 3)
    by = score.hearing(score.row(corpus, tmp_path / "cache"))
    pairs = score.pairs_of(by)
    pooled, plain = score.pooled(pairs), score.plain(pairs)
    score.check(pooled, plain)
    assert [one.keys() for one in pooled] == [DISTORTIONS.keys()] * 3
    # codec, not recording: the values are those of pairs that differ
    assert all(1 < one["pesq"] < 4.6 and one["mel"] > 0 for one in pooled)
    with pytest.raises(ValueError, match="pair 2"):
        score.check(pooled, [*plain[:2], plain[2] | {"stoi": 0.0}])

    first = score.heard(by)
    took = score.again(corpus, tmp_path / "cache", first, 1)
    assert [len(runs) for runs in took.values()] == [1, 1]
    with pytest.raises(ValueError, match="entries were made"):
        score.again(corpus, tmp_path / "other", first, 1)


def test_the_table_says_what_was_wanted(tmp_path: Path) -> None:
    text = score.measured(2, 1, tmp_path)
    assert text.startswith("2 pairs, ") and "| ≥ 1.8 " in text and "| ≤ 1 s " in text
