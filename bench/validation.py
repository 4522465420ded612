"""A published measurement made again: audio → codec → audio, by the harness's own metrics, beside the figures.

Nothing is fitted. Each utterance is encoded and decoded whole, as `bench.latents` and the task `reconstruction` do
it; what is measured of it is cached, so that a run which was killed goes on where it stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch

from bench import latents, registry
from bench.cache import Cache
from bench.contract import Codec, Dataset, Split, Utterance
from bench.errors import BenchError, DataError, PluginError
from bench.fingerprint import source_digest
from bench.metrics.fidelity import RECOGNISERS, Fidelity, Pair, fingerprint, measure
from bench.progress import Bar
from bench.protocol import Protocol, Target
from bench.stats import Interval, interval
from bench.workers import ordered, pool

SHARD = 16
"""Utterances a cache entry holds: what a killed run can lose."""
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


@dataclass(frozen=True)
class Overrides:
    """What stands in for the published codec, data and amount. Any of them makes it another protocol."""

    codec: str = ""
    dataset: str = ""
    minutes: float | None = None

    @property
    def said(self) -> list[str]:
        """Each of them, for people."""
        given = [f"codec {self.codec}"] if self.codec else []
        given += [f"dataset {self.dataset}, all of its splits"] if self.dataset else []
        return given + ([f"at most {self.minutes:g} minutes"] if self.minutes is not None else [])


@dataclass(frozen=True)
class Compared:
    """One figure beside its measurement, None where no utterance has a value. `unscored`: reason → utterances."""

    target: Target
    measured: Interval | None
    unscored: Mapping[str, int]

    @property
    def difference(self) -> float | None:
        """Measured minus published, in the figure's unit."""
        return None if self.measured is None else self.measured.value - self.target.value

    @property
    def within(self) -> bool:
        """Whether it is within the tolerance, on utterances that all have a value."""
        return self.difference is not None and not self.unscored and abs(self.difference) <= self.target.tolerance


@dataclass(frozen=True)
class Measured:
    """One codec of the protocol, as it was measured."""

    codec: str
    model: str
    trained: bool
    figures: tuple[Compared, ...]


@dataclass(frozen=True)
class Outcome:
    """All that was measured. `orders`: metric → whether the codecs come in their published order."""

    protocol: Protocol
    overrides: Overrides
    dataset: str
    utterances: int
    seconds: float
    cases: tuple[Measured, ...]
    orders: Mapping[str, bool]

    @property
    def trained(self) -> bool:
        """Whether no codec has random weights."""
        return all(case.trained for case in self.cases)

    @property
    def passed(self) -> bool:
        """Every figure within its tolerance, every order the published one, and no codec with random weights."""
        figures = [figure for case in self.cases for figure in case.figures]
        return self.trained and all(figure.within for figure in figures) and all(self.orders.values())


def validate(
    protocol: Protocol, cache: Cache, device: torch.device, bar: Bar, overrides: Overrides | None = None
) -> Outcome:
    """Measure every codec of a protocol.

    Raises:
        DataError: weights or data that are not here and cannot be fetched, or a dataset without utterances; names
            the file, where it is to be had, and the option that takes a copy.
        PluginError: a codec or dataset that raises or breaks its contract.
        BenchError: `overrides` name a tap that the protocol does not have.
    """
    given = overrides or Overrides()
    bar.row(protocol.name)
    cases = [replace(case, codec=spec) for case in protocol.cases if (spec := substituted(case.codec, given.codec))]
    if not cases:
        specs = ", ".join(case.codec for case in protocol.cases)
        raise BenchError(f"validate {protocol.name}: expected a codec or tap of {specs}, got {given.codec}")
    # weights first: they are told missing before a corpus is fetched
    codecs = {case.codec: _codec(protocol, case.codec, device) for case in cases}
    dataset = _dataset(protocol, given, bar)
    listed = _listed(protocol, dataset, given)
    words = sorted({target.measured for case in cases for target in case.targets} & set(RECOGNISERS))
    found = {}
    for spec, codec in codecs.items():
        start, before = time.monotonic(), cache.made
        found[spec] = _Run(spec, codec, dataset, words, device, cache, bar).measured(listed, given.minutes)
        bar.finished(spec, time.monotonic() - start, cache.made == before)
    made = tuple(
        Measured(
            case.codec,
            case.model,
            codecs[case.codec].info.trained,
            tuple(_figure(target, found[case.codec], listed) for target in case.targets),
        )
        for case in cases
    )
    heard = next(iter(found.values()))
    seconds = sum(one["seconds"] for one in heard.values())
    return Outcome(protocol, given, dataset.name, len(heard), seconds, made, _orders(made))


def substituted(published: str, given: str) -> str:
    """The spec that is measured for a published one, "" where `given` is another tap of the same codec.

    Other weights of the same codec keep the published tap; another codec stands in for all of them.

    >>> substituted("mimi@rvq8", "mimi:random"), substituted("mimi@rvq8", "minicodec")
    ('mimi@rvq8:random', 'minicodec')
    >>> substituted("mimi@rvq8", "mimi@rvq4:random"), substituted("mimi@rvq8", "")
    ('', 'mimi@rvq8')
    """
    if not given:
        return published
    name, tap, factor, _ = registry.codec_spec(published)
    new, new_tap, new_factor, argument = registry.codec_spec(given)
    if new != name or (new_tap, new_factor) == (tap, factor):
        return given
    if new_tap or new_factor > 1:
        return ""
    return f"{published.partition(':')[0]}:{argument}" if argument else published


def _dataset(protocol: Protocol, given: Overrides, bar: Bar) -> Dataset:
    spec = given.dataset or protocol.dataset
    how = f"--dataset folder:PATH takes a copy of {protocol.data}"
    if not spec:
        raise DataError(f"validate {protocol.name}: no dataset plug-in gives its data; {how}")
    try:
        return cast(Dataset, registry.build("datasets", spec, bar.update))
    except BenchError as error:
        raise DataError(f"validate {protocol.name}: {error}; {how}") from error


def _codec(protocol: Protocol, spec: str, device: torch.device) -> Codec:
    try:
        return cast(Codec, registry.calling(f"codec {spec!r}", registry.build("codecs", spec).to, device))
    except DataError as error:
        option = f"--codec {registry.codec_spec(spec)[0]}:PATH"
        raise DataError(f"validate {protocol.name}: {error}; the option is {option}") from error


def _listed(protocol: Protocol, dataset: Dataset, given: Overrides) -> list[Utterance]:
    """What is measured: nothing is trained, so that of other data every split may be heard."""
    splits = SPLITS if given.dataset else cast(Sequence[Split], protocol.splits)
    found = [u for split in splits for u in registry.calling(f"dataset {dataset.name}", dataset.utterances, split)]
    if not found:
        raise DataError(f"validate {protocol.name}: dataset {dataset.name} has no utterance in {', '.join(splits)}")
    return latents.round_robin(found)


@dataclass(frozen=True)
class _Run:
    """One codec on its way through the data."""

    spec: str
    codec: Codec
    dataset: Dataset
    words: Sequence[str]
    device: torch.device
    cache: Cache
    bar: Bar

    def measured(self, listed: Sequence[Utterance], minutes: float | None) -> dict[str, Any]:
        """Utterance id → its metrics and seconds, of at most `minutes`; the first utterance is always heard."""
        key = latents.latents_key(self.dataset, self.codec, self.spec.partition(":")[2], {}, self.device)
        key |= {"validation": source_digest(__name__), "metrics": fingerprint(), "words": list(self.words)}
        out: dict[str, Any] = {}
        left = math.inf if minutes is None else 60.0 * minutes
        with pool() as executor:
            for start in range(0, len(listed), SHARD):
                shard = listed[start : start + SHARD]
                work = partial(self._shard, shard, executor)
                made = self.cache.json("validation", {**key, "ids": [u.id for u in shard]}, work)
                for utterance in shard:
                    left -= made[utterance.id]["seconds"]
                    if left < 0 and out:
                        return out
                    out[utterance.id] = made[utterance.id]
                self.bar.update(f"validate {self.spec}", len(out), len(listed))
        return out

    def _shard(self, shard: Sequence[Utterance], executor: Executor) -> dict[str, Any]:
        # decoded first, then scored: torch's threads and the scoring processes want the same cores
        pairs = [self._pair(utterance) for utterance in shard]
        results = ordered(executor, measure, pairs)
        return {
            utterance.id: {"metrics": metrics, "seconds": len(pair.reference) / pair.rate}
            for utterance, pair, metrics in zip(shard, pairs, results, strict=True)
        }

    @torch.no_grad()
    def _pair(self, utterance: Utterance) -> Pair:
        info, data = self.codec.info, self.dataset
        samples = registry.calling(f"dataset {data.name}", data.audio, utterance, info.sample_rate)
        reference = np.array(samples, dtype=np.float32)
        audio = torch.from_numpy(reference).reshape(1, 1, -1).to(self.device)
        x = registry.calling(f"codec {info.name!r}", self.codec.encode, audio)
        decoded = registry.calling(f"codec {info.name!r}", self.codec.decode, x)
        expected = (1, 1, x.shape[1] * info.hop)
        if tuple(decoded.shape) != expected or not decoded.isfinite().all():
            raise PluginError(f"{info.name}: decode must return finite audio {expected}, got {tuple(decoded.shape)}")
        return Pair(
            reference,
            decoded[0, 0].cpu().numpy().astype(np.float32),
            info.sample_rate,
            utterance.text if self.words else None,
            data.grammar if "wer_closed" in self.words else None,
            "wer_open" in self.words,
        )


def _figure(target: Target, found: Mapping[str, Any], listed: Sequence[Utterance]) -> Compared:
    name, scale = target.measured, 100.0 if target.unit == "%" else 1.0
    metrics: dict[str, Fidelity] = {i: one["metrics"] for i, one in found.items()}
    values = {i: scale * one["values"][name] for i, one in metrics.items() if name in one["values"]}
    reasons = [one["unscored"].get(name, "no transcript") for i, one in metrics.items() if i not in values]
    unscored = {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
    if not values:
        return Compared(target, None, unscored)
    weights = {i: float(metrics[i]["words"][name]) for i in values} if name in RECOGNISERS else None
    return Compared(target, interval(values, {u.id: u.speaker for u in listed}, weights), unscored)


def _orders(made: Sequence[Measured]) -> dict[str, bool]:
    """Of every metric that at least two different codecs have: is the order that of the published figures?"""
    by_metric: dict[str, list[tuple[float, float]]] = {}
    if len({case.codec for case in made}) < len(made):
        return {}
    for case in made:
        for figure in case.figures:
            if figure.measured is not None:
                pair = (figure.target.value, figure.measured.value)
                by_metric.setdefault(figure.target.metric, []).append(pair)
    return {
        metric: all((a[0] - b[0]) * (a[1] - b[1]) > 0 for a in pairs for b in pairs if a[0] != b[0])
        for metric, pairs in by_metric.items()
        if len({published for published, _ in pairs}) > 1
    }
