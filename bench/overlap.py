"""What two splits of a dataset have in common: speakers and transcripts, which make a test look easier than it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from bench.contract import Utterance


def overlap(splits: Mapping[Any, Sequence[Utterance]]) -> dict[str, str]:
    """What is shared → by how much; empty where the splits are disjoint.

    Texts are compared without regard to case and spacing.

    >>> a, b = Utterance("1", "anna", "train", "Yes."), Utterance("2", "anna", "test", "No.")
    >>> overlap({"train": [a], "test": [b]})
    {'speakers of train and test': "1 in both, such as 'anna'"}
    """
    shared = {}
    for what, of in (("speakers", _speakers), ("texts", _texts)):
        found = {split: of(utterances) for split, utterances in splits.items()}
        for one, other in combinations(found, 2):
            if both := sorted(found[one] & found[other]):
                shared[f"{what} of {one} and {other}"] = f"{len(both)} in both, such as {both[0][:60]!r}"
    return shared


def _speakers(utterances: Sequence[Utterance]) -> set[str]:
    return {u.speaker for u in utterances}


def _texts(utterances: Sequence[Utterance]) -> set[str]:
    return {folded(u.text) for u in utterances if u.text}


def folded(text: str) -> str:
    """A text as it is compared: in lower case, with single spaces."""
    return " ".join(text.lower().split())
