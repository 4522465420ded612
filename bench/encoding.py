"""Dataset → codec → latent store: reading ahead in a thread, batches by length, parts that survive a kill."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from bench import registry
from bench.batching import TOLERANCE, Plan, alone_differs, by_length, can_batch, encode_batched, plan_for
from bench.cache import digest
from bench.contract import Codec, Dataset, HasCodes, Split, Utterance
from bench.environment import arithmetic
from bench.errors import BenchError, DataError, PluginError
from bench.fingerprint import code_key
from bench.latents import SPLITS, _audio
from bench.registry import calling
from bench.remarks import remarks
from bench.room import Room
from bench.store.arrow import Row, pyarrow
from bench.store.manifest import Identity, Manifest, Precision
from bench.store.writer import SHARD_BYTES, StoreWriter

if TYPE_CHECKING:
    from bench.progress import Bar

log = logging.getLogger(__name__)
T = TypeVar("T")
Window = list[tuple[Utterance, Tensor]]
PART_SECONDS = 600.0


def command(
    root: Path,
    spec: str,
    data: str,
    precision: Precision,
    codes: bool,
    device: torch.device,
    bar: Bar,
    readers: int,
    cache: Path,
) -> str:
    """What `bench encode --out` does; what it prints.

    Args:
        spec, data: as given to `--codec` and `--dataset`.
        cache: the cache directory, where a dataset keeps what it streams.

    Raises:
        BenchError: as `encode_into`; an unknown name.
    """
    pyarrow()  # one that is missing is told before a codec is loaded
    dataset = cast(Dataset, registry.build("datasets", data, bar.update, cache))
    codec = calling(f"codec {spec!r}", registry.build("codecs", spec).to, device)
    identity = identity_of(dataset, codec, spec.partition(":")[2], precision, codes)
    made_by = f"bench encode --codec {spec} --dataset {data} --precision {precision}{' --codes' if codes else ''} --out"
    bar.row(f"{dataset.name} × {codec.info.name}")
    since = time.monotonic()
    made = encode_into(root, dataset, codec, identity, device, bar, made_by, readers)
    bar.finished("encode", time.monotonic() - since, cached=False)
    return "\n".join([*said(made, root), *remarks(dataset)])


def said(made: Manifest, root: Path) -> list[str]:
    """A store in a few lines."""
    info, totals = made.identity.info, made.totals
    rate = info["sample_rate"] / info["hop"]
    size = sum(shard.bytes for shard in made.shards) / 1e6
    lines = [
        f"{made.identity.dataset} × {info['name']}: {info['dim']} dimensions at {rate:g} Hz",
        f"  {root}: {totals.hours:.2f} h, {totals.frames} frames, {size:.1f} MB of {made.identity.precision}",
    ]
    for split in SPLITS:
        files = [shard for shard in made.shards if shard.split == split]
        minutes = sum(shard.samples for shard in files) / info["sample_rate"] / 60
        stored, frames = sum(shard.utterances for shard in files), sum(shard.frames for shard in files)
        lines.append(f"  {split}: {stored} utterances, {minutes:.1f} min, {frames} frames")
    if made.identity.precision == "float16":
        away = totals.rounding
        lines.append(
            f"  rounding: at most {away.largest_relative:.2g} of a value and {away.largest_absolute:.2g} in all; "
            f"{away.below_normal} values below 2^-14"
        )
    return lines


def identity_of(dataset: Dataset, codec: Codec, argument: str, precision: Precision, codes: bool) -> Identity:
    """What a store of these holds.

    Raises:
        BenchError: codes are asked of a codec that has none.
    """
    if codes and not (isinstance(codec, HasCodes) and codec.info.codebooks):
        raise BenchError(f"codec {codec.info.name}: --codes: expected a codec with codes, this one has none")
    return Identity(
        # tuples as JSON has them, so that what is read back is equal
        info={k: list(v) if isinstance(v, tuple) else v for k, v in asdict(codec.info).items()},
        argument=argument,
        code=digest(code_key(type(codec).__module__)),
        dataset=dataset.name,
        data=dataset.digest,
        precision=precision,
        codes=codes,
    )


def encode_into(
    root: Path,
    dataset: Dataset,
    codec: Codec,
    identity: Identity,
    device: torch.device,
    bar: Bar,
    made_by: str = "bench encode --out",
    readers: int = 1,
    plan: Plan | None = None,
    part_seconds: float = PART_SECONDS,
    shard_bytes: int = SHARD_BYTES,
) -> Manifest:
    """Store the latents of all of `dataset` in `root`; what is stored already is not encoded again.

    Memory does not grow with the number of utterances, but for their list.

    Args:
        codec: on `device`.
        made_by: the command, without its folder, that a reader of the store is told of.
        readers: threads that call `dataset.audio`.
        plan: how much audio is handled at once; by default what suits the device.
        part_seconds: audio in a part: what a killed run can lose.
        shard_bytes: from how many bytes on parts are merged.

    Raises:
        DataError: no utterances, or one too long for the memory that is free.
        PluginError: a codec or dataset that raises or breaks its contract.
        StoreError: the folder holds other latents; values that the precision cannot hold.
        CacheError: the folder cannot be written, or the disk is full.
    """
    listed = {split: _listed(dataset, split) for split in SPLITS}
    counts = {split: len(utterances) for split, utterances in listed.items()}
    if not sum(counts.values()):
        raise DataError(f"dataset {dataset.name}: every split is empty")
    if twice := _repeated(listed.values()):
        raise PluginError(f"dataset {dataset.name}: two utterances are called {twice!r}")
    made_on = arithmetic(device)
    known = dataset.speakers_known
    with StoreWriter(root, identity, counts, made_on, made_by, known, bar.update, shard_bytes) as writer:
        run = _Run(writer, dataset, codec, device, plan or plan_for(device), readers, part_seconds, bar)
        for split, utterances in listed.items():
            for start, stop in writer.missing(split):
                run.encode(split, utterances, start, stop)
            writer.settle()
        return writer.manifest


def _listed(dataset: Dataset, split: Split) -> Sequence[Utterance]:
    return cast(Sequence[Utterance], calling(f"dataset {dataset.name}", dataset.utterances, split))


def _repeated(splits: Iterable[Sequence[Utterance]]) -> str | None:
    """An id that two utterances have, or None; eight bytes an utterance, since there may be millions."""
    every = list(splits)
    hashes = np.fromiter((hash(u.id) for split in every for u in split), np.int64)
    values, counts = np.unique(hashes, return_counts=True)
    if len(values) == len(hashes):
        return None
    suspects = set(values[counts > 1].tolist())
    names = Counter(u.id for split in every for u in split if hash(u.id) in suspects)
    return next((name for name, count in names.items() if count > 1), None)


class _Run:
    """What one call of `encode_into` keeps."""

    def __init__(
        self,
        writer: StoreWriter,
        dataset: Dataset,
        codec: Codec,
        device: torch.device,
        plan: Plan,
        readers: int,
        part_seconds: float,
        bar: Bar,
    ) -> None:
        self.writer, self.dataset, self.codec, self.device = writer, dataset, codec, device
        self.plan, self.readers, self.part_seconds, self.bar = plan, readers, part_seconds, bar
        self.rate = codec.info.sample_rate
        self.room = Room(codec, device)
        self.compared = not can_batch(codec)
        self.missing = sum(b - a for split in SPLITS for a, b in writer.missing(split))
        self.since, self.samples, self.done = time.monotonic(), 0, 0

    def encode(self, split: Split, utterances: Sequence[Utterance], start: int, stop: int) -> None:
        """Encode and store utterances `start` to `stop` of a split."""
        rows: list[Row] = []
        chosen = (utterances[i] for i in range(start, stop))
        sounds = read_ahead(chosen, lambda u: (u, _audio(self.dataset, u, self.rate)), self.readers)
        for window in ahead(windows(sounds, round(self.plan.window * self.rate))):
            rows += self._encoded(window)
            if sum(row.samples for row in rows) >= self.part_seconds * self.rate:
                self.writer.add(split, start, rows)
                start, rows = start + len(rows), []
            self._tell(window)
        if rows:
            self.writer.add(split, start, rows)
        self.writer.settle()

    def _encoded(self, window: Window) -> list[Row]:
        audio = [samples for _, samples in window]
        self.room.check(max(map(len, audio)))
        limit = round(self.plan.batch * self.rate)
        latents = encode_batched(self.codec, audio, limit, self.device)
        if not self.compared:
            self._compare(audio, latents, by_length([len(one) for one in audio], limit))
        return [Row(u, len(samples), x, self._codes(x)) for (u, samples), x in zip(window, latents, strict=True)]

    def _compare(self, audio: Sequence[Tensor], latents: Sequence[Tensor], groups: Sequence[Sequence[int]]) -> None:
        """Hold an utterance that was padded against itself alone, once a run: not every codec was tested."""
        shortest = next((group[0] for group in groups if len(group) > 1), None)
        if shortest is None:
            return
        away = alone_differs(self.codec, audio[shortest], latents[shortest], self.device)
        if not away <= TOLERANCE:
            raise PluginError(
                f"codec {self.codec.info.name!r}: latents in a padded batch must be those of the utterance alone, got "
                f"{away:.2g} of the largest value away; a codec that cannot be batched says `batches = False`"
            )
        self.compared = True

    def _codes(self, x: Tensor) -> Tensor | None:
        if not self.writer.identity.codes:
            return None
        who = f"codec {self.codec.info.name!r}"
        with torch.no_grad():
            codes = calling(who, cast(HasCodes, self.codec).codes, x[None].to(self.device))
        expected = (1, len(x), len(self.codec.info.codebooks))
        if not isinstance(codes, Tensor) or tuple(codes.shape) != expected:
            got = tuple(codes.shape) if isinstance(codes, Tensor) else type(codes).__name__
            raise PluginError(f"{who}: codes must be {expected}, got {got}")
        return codes[0].cpu()

    def _tell(self, window: Window) -> None:
        self.samples += sum(len(samples) for _, samples in window)
        self.done += len(window)
        hours = self.samples / self.rate / 3600
        # nobody knows a recording's length before it is read: what is left counts as what was read
        left = hours / self.done * (self.missing - self.done)
        speed = hours * 3600 / max(time.monotonic() - self.since, 1e-9)
        self.bar.audio("encode", hours, hours + left, speed)


def windows(sounds: Iterator[tuple[Utterance, Tensor]], samples: int) -> Iterator[Window]:
    """Utterances in order, as many together as reach `samples`."""
    window: Window = []
    for one in sounds:
        window.append(one)
        if sum(len(audio) for _, audio in window) >= samples:
            yield window
            window = []
    if window:
        yield window


def read_ahead(items: Iterator[Utterance], read: Callable[[Utterance], T], threads: int) -> Iterator[T]:
    """`read` of every item, in order, `threads` at a time."""
    if threads == 1:
        yield from map(read, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[T]] = deque(pool.submit(read, item) for item in islice(items, threads))
        while waiting:
            one = waiting.popleft().result()
            waiting.extend(pool.submit(read, item) for item in islice(items, 1))
            yield one


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, the next one made in a thread while this one is used."""
    with ThreadPoolExecutor(1) as pool:
        following: Future[T | None] = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item
