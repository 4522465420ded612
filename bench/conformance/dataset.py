"""What every dataset must keep. Lists are checked whole, audio on a few utterances of every split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from bench import registry
from bench.conformance.rule import Broken, Guard, NotApplicable, Result, applied, globals_left_alone
from bench.contract import Dataset, Split, Utterance

SPLITS: tuple[Split, ...] = ("train", "valid", "test")
HEARD = 8
"""Utterances of a split whose audio is read, evenly spaced over its list."""
RATES = (16_000, 24_000)


class Subject:
    """A dataset, built once.

    Raises:
        BenchError: it cannot be built or listed.
    """

    def __init__(self, who: str, build: Callable[[], Dataset]) -> None:
        self.who, self.build = who, build
        self.guard = Guard()
        self.dataset = build()
        self.listed = self.lists(self.dataset)

    def lists(self, dataset: Dataset) -> dict[Split, list[Utterance]]:
        """Split → its utterances."""
        listing = self.guard.around(dataset, ("utterances",)).utterances
        return {split: list(registry.calling(self.who, listing, split)) for split in SPLITS}

    def audio(self, utterance: Utterance, sample_rate: int, dataset: Dataset | None = None) -> np.ndarray:
        """The samples of an utterance."""
        read = self.guard.around(dataset or self.dataset, ("audio",)).audio
        samples: np.ndarray = registry.calling(self.who, read, utterance, sample_rate)
        return samples

    def heard(self) -> Iterator[Utterance]:
        """The utterances whose audio is read."""
        for utterances in self.listed.values():
            yield from utterances[:: max(1, -(-len(utterances) // HEARD))]


def splits_are_filled(subject: Subject) -> str:
    """Every split holds utterances, each of which says that it is of that split."""
    for split, utterances in subject.listed.items():
        if not utterances:
            raise Broken(f"{split} is empty")
        if wrong := [u.id for u in utterances if u.split != split]:
            raise Broken(f"{split} lists {wrong[0]!r}, which says it is of another")
    return ", ".join(f"{split} {len(utterances)}" for split, utterances in subject.listed.items())


def ids_are_unique(subject: Subject) -> str:
    """No two utterances have the same id, within a split or across splits."""
    count = Counter(u.id for utterances in subject.listed.values() for u in utterances)
    if twice := [name for name, n in count.items() if n > 1]:
        raise Broken(f"{len(twice)} ids are taken twice, such as {twice[0]!r}")
    return f"{len(count)} ids"


def transcripts_are_disjoint(subject: Subject) -> str:
    """No transcript of the training split is said again in another; speakers are reported."""
    texts = {s: {" ".join(u.text.lower().split()) for u in us if u.text} for s, us in subject.listed.items()}
    speakers = {s: {u.speaker for u in us} for s, us in subject.listed.items()}
    new = len(speakers["test"] - speakers["train"])
    told = f"test has {len(speakers['test'])} speakers, {new} of them unseen in training"
    if not any(texts.values()):
        raise NotApplicable(f"it has no transcripts; {told}")
    for split in ("valid", "test"):
        if again := sorted(texts["train"] & texts[split]):
            raise Broken(f"{len(again)} texts of train are in {split} too, such as {again[0][:60]!r}; {told}")
    return f"{', '.join(f'{split} {len(found)}' for split, found in texts.items())} texts; {told}"


def audio_is_mono_float32(subject: Subject) -> str:
    """Audio is a finite float32 array (N,) within [−1, 1], with something in it."""
    peak, count = 0.0, 0
    for utterance in subject.heard():
        samples = subject.audio(utterance, RATES[0])
        if not isinstance(samples, np.ndarray) or samples.ndim != 1 or not len(samples):
            raise Broken(f"{utterance.id}: expected an array (N,), got {getattr(samples, 'shape', type(samples))}")
        if samples.dtype != np.float32 or not np.isfinite(samples).all():
            raise Broken(f"{utterance.id}: expected finite float32, got {samples.dtype}")
        own = float(np.abs(samples).max())
        if own > 1.0 or own == 0.0:
            raise Broken(f"{utterance.id}: the peak is {own:.4g}, expected above 0 and at most 1")
        peak, count = max(peak, own), count + 1
    return f"{count} utterances, peak {peak:.3f}"


def duration_is_kept(subject: Subject) -> str:
    """An utterance lasts as long at any sample rate, to the sample."""
    utterance = next(subject.heard())
    one, other = (len(subject.audio(utterance, rate)) for rate in RATES)
    if abs(other - one * RATES[1] / RATES[0]) > RATES[1] / RATES[0]:
        raise Broken(f"{utterance.id}: {one} samples at {RATES[0]} Hz, {other} at {RATES[1]} Hz")
    return f"{one} samples at {RATES[0]} Hz, {other} at {RATES[1]} Hz"


def built_again_it_is_the_same(subject: Subject) -> str:
    """Another instance lists the same utterances in the same order, gives the same samples and has the same digest."""
    again = subject.build()
    if again.digest != subject.dataset.digest:
        raise Broken(f"the digest was {subject.dataset.digest!r}, now {again.digest!r}")
    if subject.lists(again) != subject.listed:
        raise Broken("another instance lists other utterances, or in another order")
    for utterance in list(subject.heard())[::4]:
        one, other = subject.audio(utterance, RATES[0]), subject.audio(utterance, RATES[0], again)
        if not np.array_equal(one, other) or not np.array_equal(one, subject.audio(utterance, RATES[0])):
            raise Broken(f"{utterance.id}: other samples at the second reading")
    return f"digest {subject.dataset.digest[:12]}"


def process_is_left_alone(subject: Subject) -> str:
    """No call changes a global generator, the default dtype, the gradient mode or the thread count."""
    return globals_left_alone(subject.guard)


RULES: tuple[Callable[[Subject], str], ...] = (
    splits_are_filled,
    ids_are_unique,
    transcripts_are_disjoint,
    audio_is_mono_float32,
    duration_is_kept,
    built_again_it_is_the_same,
    process_is_left_alone,
)


def check(spec: str) -> list[Result]:
    """Every rule on a dataset, NAME or NAME:ARGUMENT.

    Raises:
        BenchError: it cannot be built or listed.
    """
    subject = Subject(f"dataset {spec!r}", partial(registry.build, "datasets", spec))
    return applied(subject.who, RULES, subject)
