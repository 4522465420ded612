"""What must be said of a dataset beside its numbers: where it came from, what was left out, and what splits share."""

from __future__ import annotations

from bench.contract import Dataset, Split
from bench.overlap import overlap

SPLITS: tuple[Split, ...] = ("train", "valid", "test")


def remarks(dataset: Dataset) -> list[str]:
    """Indented lines; one with `!` warns."""
    told = (("note", getattr(dataset, "notes", {})), ("refused", dataset.refused), ("converted", dataset.converted))
    lines = [f"  {what}: {name}: {reason}" for what, found in told for name, reason in found.items()]
    shared = overlap({split: dataset.utterances(split) for split in SPLITS})
    return lines + [f"  ! overlap: {name}: {much}" for name, much in shared.items()]
