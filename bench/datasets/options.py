"""What may follow the place in `--dataset NAME:PLACE,key=value,…`: splits, columns and limits.

    hub:openslr/librispeech_asr/clean@71cacbfb…,train=train.100,valid=validation,test=test,minutes=60
    parquet:/data/corpus,split=train,speaker=who,text=-

A list of splits is joined by `+`. Only keys of `KEYS` end a place, so that a path may hold commas.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from bench.errors import DataError

NONE = "-"
"""Stands for no column, where one would be found by its name."""
ALWAYS = "="
"""Begins what stands in every row, where there is no column."""
_SPLITS = ("train", "valid", "test", "split")
_LIMITS: Mapping[str, Callable[[str], float]] = {"minutes": float, "per_speaker": int}


@dataclass(frozen=True)
class Options:
    """How a dataset is read.

    Attributes:
        train, valid, test: the dataset's own splits to take for ours; all three or none.
        split: the dataset's splits that are pooled and split anew, by speaker.
        audio, speaker, text, id: columns, a nested one as `json.speaker`; "" finds one by its usual names. `=NAME`
            is no column but the name of everyone's speaker.
        keep: only rows in whose id this regular expression is found.
        minutes: of each of the dataset's splits, rows are read until they last this long.
        per_speaker: at most this many utterances of a speaker in each of the dataset's splits; 0: all.
    """

    train: tuple[str, ...] = ()
    valid: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    audio: str = ""
    speaker: str = ""
    text: str = ""
    id: str = ""
    keep: str = ""
    minutes: float = math.inf
    per_speaker: int = 0


KEYS = tuple(field.name for field in fields(Options))
_PAIR = re.compile(rf"(?:^|,)({'|'.join(KEYS)})=([^,]*)$")


def read(name: str, argument: str, usual: Options = Options()) -> tuple[str, Options, str]:
    """The place, the options, and the options as they were written.

    >>> place, options, written = read("parquet", "/a,b,split=train+test,minutes=5")
    >>> place, options.split, options.minutes, written
    ('/a,b', ('train', 'test'), 5.0, ',split=train+test,minutes=5')

    Args:
        name: of the plug-in, for errors.
        argument: what follows `NAME:`.
        usual: where an option is not written. Splits that are written replace all of its splits.

    Raises:
        DataError: a key twice, a value that is none, or some but not all of train, valid and test.
    """
    place, pairs = argument, {}
    while (found := _PAIR.search(place)) is not None:
        key, value = found.groups()
        if key in pairs:
            raise DataError(f"{name}: {key} is given twice")
        pairs[key], place = value, place[: found.start()]
    told: dict[str, Any] = {key: _value(name, key, value) for key, value in pairs.items()}
    if set(told) & set(_SPLITS):
        usual = replace(usual, train=(), valid=(), test=(), split=())
    options = replace(usual, **told)
    own = [bool(options.train), bool(options.valid), bool(options.test)]
    if any(own) and (options.split or not all(own)):
        raise DataError(f"{name}: expected train=, valid= and test=, or split= alone, got {', '.join(sorted(pairs))}")
    written = argument[len(place) :].removeprefix(",")
    return place, options, f",{written}" if written else ""


def _value(name: str, key: str, value: str) -> object:
    if not value:
        raise DataError(f"{name}: expected {key}=VALUE, got {key}=")
    if key in _SPLITS:
        return tuple(value.split("+"))
    try:
        if key == "keep":
            re.compile(value)
        if key not in _LIMITS:
            return value
        if (limit := _LIMITS[key](value)) > 0:
            return limit
    except (ValueError, re.error) as error:
        raise DataError(f"{name}: {key}={value}: {error}") from error
    raise DataError(f"{name}: expected {key} above 0, got {value}")
