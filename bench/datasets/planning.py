"""Which of a dataset's splits become train, valid and test, and how they are made where it has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import cast, get_args

from bench.contract import Split
from bench.datasets.audio import SUFFIXES
from bench.datasets.folder import MIN_FILES, identifiers
from bench.datasets.options import Options
from bench.datasets.splits import split_groups
from bench.errors import DataError
from bench.overlap import folded

SPLITS: tuple[Split, ...] = get_args(Split)
USUAL: Mapping[Split, tuple[str, ...]] = {
    "train": ("train",),
    "valid": ("validation", "valid", "dev", "val"),
    "test": ("test",),
}
"""What datasets call their splits."""
AUDIO = (*SUFFIXES, ".mp3", ".opus")


def planned(who: str, options: Options, there: Sequence[str]) -> dict[str, Split | None]:
    """The dataset's split → ours, or None for those that are pooled and split anew.

    >>> planned("hub", Options(), ["train", "validation", "test"])
    {'train': 'train', 'validation': 'valid', 'test': 'test'}
    >>> planned("hub", Options(), ["full"])
    {'full': None}

    Raises:
        DataError: a split that is not there or is taken twice, or splits that do not say what they are for.
    """
    if options.split:
        told: list[tuple[str, Split | None]] = [(name, None) for name in options.split]
    elif options.train:
        told = [(name, split) for split in SPLITS for name in getattr(options, split)]
    elif len(there) == 1:
        told = [(there[0], None)]
    else:
        told = [(name, split) for split in SPLITS for name in there if name in USUAL[split]]
        if len(told) != len(SPLITS) or {split for _, split in told} != set(SPLITS):
            raise DataError(
                f"{who}: its splits are {', '.join(there)}; say train=, valid= and test=, or split= to make them anew"
            )
    plan = dict(told)
    if len(plan) < len(told):
        raise DataError(f"{who}: a split is taken twice: {', '.join(name for name, _ in told)}")
    if missing := [name for name in plan if name not in there]:
        raise DataError(f"{who}: no split {missing[0]!r}; there are: {', '.join(there) or 'none'}")
    return plan


def made(
    who: str, ids: Sequence[str], speakers: Sequence[str] | None, texts: Sequence[str | None]
) -> tuple[list[Split], str]:
    """A split for every utterance, and how they were made.

    By speaker where at least 3 are known, else over utterances, those of one text together.

    Raises:
        DataError: fewer than 3 speakers and fewer than 3 texts or utterances.
    """
    if speakers and len(set(speakers)) >= MIN_FILES:
        groups, how = list(speakers), f"made over {len(set(speakers))} speakers"
    else:
        groups = [folded(text) if text else one for one, text in zip(ids, texts, strict=True)]
        how = f"made over {len(ids)} utterances"
    if len(set(groups)) < MIN_FILES:
        raise DataError(f"{who}: expected at least {MIN_FILES} usable utterances, got {len(set(groups))}")
    split_of = split_groups(groups)
    return [cast(Split, split_of[group]) for group in groups], how


def named(names: Sequence[str]) -> tuple[list[str], int]:
    """An id for every row, and how many names came more than once and carry a number.

    >>> named(["a/1.wav", "a/2.wav"]), named(["x", "y", "x"])
    ((['1', '2'], 0), (['x', 'y', 'x#2'], 1))
    """
    if all(PurePosixPath(name).suffix.lower() in AUDIO for name in names):
        short = identifiers(sorted(set(names)))
        names = [short[name] for name in names]
    seen: Counter[str] = Counter()
    ids = []
    for name in names:
        seen[name] += 1
        ids.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return ids, len(ids) - len(seen)
