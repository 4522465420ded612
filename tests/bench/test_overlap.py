"""What two splits have in common is counted and named."""

from bench.contract import Utterance
from bench.overlap import overlap


def test_disjoint_splits_share_nothing() -> None:
    splits = {
        "train": [Utterance("1", "a", "train", "one"), Utterance("2", "a", "train", "two")],
        "valid": [Utterance("3", "b", "valid", "three")],
        "test": [Utterance("4", "c", "test", None)],
    }
    assert overlap(splits) == {}


def test_every_pair_with_its_count_and_an_example() -> None:
    splits = {
        "train": [Utterance("1", "a", "train", "Good  day"), Utterance("2", "b", "train", "x")],
        "valid": [Utterance("3", "b", "valid", "y"), Utterance("4", "a", "valid", "z")],
        "test": [Utterance("5", "b", "test", "good day"), Utterance("6", "c", "test", "Y")],
    }
    assert overlap(splits) == {
        "speakers of train and valid": "2 in both, such as 'a'",
        "speakers of train and test": "1 in both, such as 'b'",
        "speakers of valid and test": "1 in both, such as 'b'",
        "texts of train and test": "1 in both, such as 'good day'",
        "texts of valid and test": "1 in both, such as 'y'",
    }


def test_missing_transcripts_are_not_a_shared_text() -> None:
    splits = {"train": [Utterance("1", "a", "train")], "test": [Utterance("2", "b", "test", "")]}
    assert overlap(splits) == {}
