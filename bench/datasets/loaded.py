"""A dataset that is read once into the cache: the base of all that come by Hugging Face `datasets` or its peers."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.cache import Cache, default_root, digest
from bench.contract import Split, Utterance
from bench.datasets.audio import load
from bench.datasets.imported import Entry, Imported
from bench.datasets.options import Options
from bench.datasets.planning import SPLITS, made, named, planned
from bench.datasets.rows import Source
from bench.errors import DataError
from bench.overlap import overlap

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """A dataset before it is read.

    Attributes:
        name: as records show it.
        source: where rows come from.
        key: what decides them, so that what was read of them is found again.
        options: splits, columns and limits.
        pinned: what stands in the digest beside the content.
        notes: what a reader should know.
    """

    name: str
    source: Source
    key: Any
    options: Options
    pinned: Any = None
    notes: Mapping[str, str] = field(default_factory=dict)


class Loaded:
    """Utterances of a source, in splits.

    A dataset with splits of its own keeps them, whatever they share; a warning says what. Otherwise they are
    made, as `planning.made` says.

    Args:
        opened: what is read.
        cache: the cache directory; None: the user's.
        progress: called with (what, rows read, rows in all).

    Attributes:
        notes: where splits, columns and limits come from, by purpose.

    Raises:
        DataError: it cannot be read, or a split is missing or holds nothing usable.
        CacheError: the cache cannot be written.
    """

    grammar: Path | None = None

    def __init__(self, opened: Opened, cache: Path | None, progress: Callable[[str, int, int], None]) -> None:
        self.name = name = opened.name
        options = opened.options
        self._import = Imported(opened.source, opened.key, options, Cache(cache or default_root()), progress)
        there = self._import.described()
        plan = planned(name, options, list(there.splits))
        read = {split: self._import.split(split, there.splits[split]) for split in plan}
        entries = [entry for usable, _ in read.values() for entry in usable]
        own = [plan[split] for split, (usable, _) in read.items() for _ in usable]
        self.refused: Mapping[str, str] = dict(sorted((row, why) for _, no in read.values() for row, why in no.items()))
        self.converted: Mapping[str, int] = dict(sorted(Counter(c for e in entries for c in e.conversions).items()))
        ids, repeated = named([entry.name for entry in entries])
        speakers = self._speakers(entries)
        self.speakers_known = speakers is not None
        splits, how = [split for split in own if split is not None], "its own"
        if len(splits) < len(own):
            splits, how = made(name, ids, speakers, [entry.text for entry in entries])
        self._entries = dict(zip(ids, entries, strict=True))
        self._utterances: dict[Split, list[Utterance]] = {split: [] for split in SPLITS}
        for one, speaker, split in zip(ids, speakers or ids, splits, strict=True):
            self._utterances[split].append(Utterance(one, speaker, split, self._entries[one].text))
        self._check()
        limits = {"minutes": options.minutes, "per_speaker": options.per_speaker, "keep": options.keep}
        told = {
            **opened.notes,
            "splits": f"{how}: {', '.join(plan)}",
            "columns": ", ".join(f"{what}={column}" for what, column in there.columns.items()),
            "limits": ", ".join(f"{what}={limit}" for what, limit in limits.items() if limit not in (math.inf, 0, "")),
            "ids": f"{repeated} came again and carry a number" if repeated else "",
        }
        self.notes: Mapping[str, str] = {what: note for what, note in told.items() if note}
        listed = [utterance for split in SPLITS for utterance in self._utterances[split]]
        self.digest = digest([opened.pinned, [[*asdict(u).values(), self._entries[u.id].sha256] for u in listed]])

    def utterances(self, split: Split) -> Sequence[Utterance]:
        """Utterances in the dataset's order."""
        return self._utterances[split]

    def audio(self, utterance: Utterance, sample_rate: int) -> np.ndarray:
        """Samples (N,) float32.

        Raises:
            DataError: the file is gone or was changed since the dataset was opened.
        """
        if utterance.id not in self._entries:
            raise DataError(f"{self.name}: no utterance {utterance.id!r}")
        entry = self._entries[utterance.id]
        place = self._import.file(entry)
        try:
            return load(place, sample_rate, entry.sha256)
        except DataError as error:
            if entry.path:
                raise
            raise DataError(f"{self.name}: {utterance.id} is damaged in the cache; delete {place}") from error

    def _speakers(self, entries: Sequence[Entry]) -> list[str] | None:
        """The speaker of every utterance, or None where one is not known."""
        speakers = [entry.speaker for entry in entries if entry.speaker]
        if speakers and len(speakers) < len(entries):
            silent = len(entries) - len(speakers)
            log.warning("%s: %d utterances name no speaker, so that speakers are not used", self.name, silent)
        return speakers if speakers and len(speakers) == len(entries) else None

    def _check(self) -> None:
        for split, utterances in self._utterances.items():
            if not utterances:
                why = next((f" ({row}: {why})" for row, why in self.refused.items()), "")
                raise DataError(f"{self.name}: the {split} split holds no usable audio{why}")
        shared = [f"{what}: {much}" for what, much in overlap(self._utterances).items() if what.startswith("speakers")]
        if shared:
            log.warning("%s: its splits share speakers; %s", self.name, "; ".join(shared))
