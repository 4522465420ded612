"""The grammar of what follows the place of a dataset."""

import math

import pytest

from bench.datasets.options import Options, read
from bench.errors import DataError


def test_a_place_alone() -> None:
    assert read("hub", "a/b") == ("a/b", Options(), "")


def test_commas_and_equal_signs_belong_to_a_path_that_ends_in_no_key() -> None:
    place, options, written = read("parquet", "/x,minuets=3/y,z,minutes=2.5,speaker==LJ")
    assert (place, options.minutes, options.speaker) == ("/x,minuets=3/y,z", 2.5, "=LJ")
    assert written == ",minutes=2.5,speaker==LJ"


def test_options_without_a_place() -> None:
    assert read("librispeech", "per_speaker=3,keep=^a")[::2] == ("", ",per_speaker=3,keep=^a")
    assert read("librispeech", "per_speaker=3")[1].per_speaker == 3


def test_what_is_written_replaces_what_is_usual() -> None:
    usual = Options(train=("a",), valid=("b",), test=("c",), text="t", speaker="s")
    options = read("x", "p,split=d+e,text=-", usual)[1]
    assert (options.train, options.split, options.text, options.speaker) == ((), ("d", "e"), "-", "s")
    assert read("x", "p,minutes=1", usual)[1].train == ("a",)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("p,minutes=1,minutes=2", "x: minutes is given twice"),
        ("p,minutes=", "x: expected minutes=VALUE"),
        ("p,minutes=-1", "x: expected minutes above 0, got -1"),
        ("p,minutes=nan", "x: expected minutes above 0, got nan"),
        ("p,per_speaker=2.5", "x: per_speaker=2.5: invalid literal"),
        ("p,keep=(", "x: keep=(: "),
        ("p,train=a", "x: expected train=, valid= and test=, or split= alone, got train"),
        ("p,train=a,valid=b,test=c,split=d", "or split= alone"),
    ],
)
def test_what_is_refused(argument: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        read("x", argument)
    assert message in str(error.value)


def test_no_limit_is_infinite() -> None:
    assert read("x", "p")[1].minutes == math.inf
