"""Splits that a dataset has, and splits that are made for it."""

import pytest

from bench.datasets.options import Options
from bench.datasets.planning import made, named, planned
from bench.errors import DataError


def test_own_splits_under_any_usual_name() -> None:
    for valid in ("validation", "valid", "dev", "val"):
        assert planned("x", Options(), ["test", valid, "train"]) == {"train": "train", valid: "valid", "test": "test"}


def test_named_splits_may_be_several() -> None:
    options = Options(train=("a", "b"), valid=("c",), test=("d",))
    assert planned("x", options, list("abcde")) == {"a": "train", "b": "train", "c": "valid", "d": "test"}


@pytest.mark.parametrize(
    ("options", "there", "message"),
    [
        (Options(), ["train", "test"], "its splits are train, test; say train=, valid= and test=, or split="),
        (Options(), ["train", "dev", "val", "test"], "its splits are"),
        (Options(split=("nope",)), ["train"], "no split 'nope'; there are: train"),
        (Options(train=("a",), valid=("a",), test=("b",)), ["a", "b"], "a split is taken twice: a, a, b"),
    ],
)
def test_splits_that_cannot_be_used(options: Options, there: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        planned("x", options, there)


def test_made_by_speaker_no_speaker_is_in_two() -> None:
    speakers = [f"s{i % 10}" for i in range(50)]
    splits, how = made("x", [str(i) for i in range(50)], speakers, [None] * 50)
    assert how == "made over 10 speakers"
    assert sorted(
        len({s for s, split in zip(speakers, splits, strict=True) if split == one}) for one in set(splits)
    ) == [
        1,
        2,
        7,
    ]
    assert len({(s, split) for s, split in zip(speakers, splits, strict=True)}) == 10


@pytest.mark.parametrize("speakers", [None, ["LJ"] * 40])
def test_made_over_utterances_those_of_one_text_stay_together(speakers: list[str] | None) -> None:
    texts = [f"Text  {i % 20}" if i < 20 else f"text {i % 20}" for i in range(40)]
    splits, how = made("x", [str(i) for i in range(40)], speakers, texts)
    assert how == "made over 40 utterances"
    assert splits[:20] == splits[20:]
    assert set(splits) == {"train", "valid", "test"}


def test_too_few_to_split() -> None:
    with pytest.raises(DataError, match="x: expected at least 3 usable utterances, got 2"):
        made("x", ["1", "2"], None, [None, None])


def test_ids_of_paths_are_their_stems_and_other_ids_are_kept() -> None:
    assert named(["/a/p225_001_mic1.flac", "b/2.WAV"]) == (["p225_001_mic1", "2"], 0)
    assert named(["v1.0", "v1.1"]) == (["v1.0", "v1.1"], 0)
    assert named(["a/1.wav", "b/1.wav"]) == (["a/1", "b/1"], 0)
    assert named(["x", "x", "x", "y"]) == (["x", "x#2", "x#3", "y"], 2)
