"""Reading a latent store: files are mapped into memory, and nothing is read before it is asked for."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from bench.contract import LatentUtterance, Split
from bench.errors import StoreError
from bench.latents import SPLITS
from bench.store import manifest as manifests
from bench.store.arrow import pyarrow
from bench.store.manifest import Part


@dataclass(frozen=True)
class Stored:
    """What a row says beside its latents."""

    id: str
    speaker: str
    split: Split
    text: str | None
    samples: int
    frames: int


class LatentStore:
    """A store made by `bench encode --out`.

    Args:
        root: its folder.
        partial: read one that is not finished.
        verify: hold each file against its sha256 when it is first used, which reads all of it once.

    Attributes:
        manifest: what manifest.json says.

    Raises:
        StoreError: no store, one that is not finished, a file that is missing or truncated.
    """

    def __init__(self, root: Path | str, *, partial: bool = False, verify: bool = True) -> None:
        self.root = Path(root)
        self.manifest = manifests.read(self.root)
        totals, listed = self.manifest.totals, sum(self.manifest.listed.values())
        again = f"`{self.manifest.made_by} {self.root}`"
        if not (totals.complete or partial):
            got = f"{totals.utterances} of {listed} utterances"
            raise StoreError(f"{self.root}: expected a finished store, got {got}; {again} goes on")
        files = [*self.manifest.shards, *self.manifest.pending]
        self._shards = {
            split: [
                Shard(self.root, part, verify, f"{again} mends it")
                for part in sorted(files, key=lambda part: part.start)
                if part.split == split
            ]
            for split in SPLITS
        }
        self._places: dict[str, tuple[Shard, int]] | None = None

    @property
    def splits(self) -> tuple[Split, ...]:
        """Splits that hold utterances."""
        return tuple(split for split in SPLITS if self._shards[split])

    def utterances(self, split: Split) -> Sequence[LatentUtterance]:
        """Utterances of a split in the dataset's order; each is read when it is asked for, x (T, D) float32.

        Of a float32 store x is the file's own memory, of a float16 store a copy.
        """
        return Utterances(self._shards[split])

    def row(self, utterance: str) -> Stored:
        """What is said of an utterance beside its latents.

        Raises:
            StoreError: there is none of this id.
        """
        shard, i = self._place(utterance)
        return shard.row(i)

    def latents(self, utterance: str) -> Tensor:
        """Latents (T, D) of an utterance in the store's precision, mapped, not copied.

        Written to, the tensor changes, the file does not.

        Raises:
            StoreError: there is none of this id; its file is damaged.
        """
        shard, i = self._place(utterance)
        return shard.vectors("latents", i)

    def codes(self, utterance: str) -> Tensor:
        """Codes (T, Q) of an utterance, int64.

        Raises:
            StoreError: the store has no codes; there is no utterance of this id; its file is damaged.
        """
        if not self.manifest.identity.codes:
            raise StoreError(f"{self.root}: has no codes; `bench encode --codes` stores them, in another folder")
        shard, i = self._place(utterance)
        return shard.vectors("codes", i).long()

    def _place(self, utterance: str) -> tuple[Shard, int]:
        if self._places is None:
            every = (shard for shards in self._shards.values() for shard in shards)
            self._places = {name: (shard, i) for shard in every for i, name in enumerate(shard.column("id"))}
        if utterance not in self._places:
            raise StoreError(f"{self.root}: no utterance {utterance!r}")
        return self._places[utterance]


class Utterances(Sequence[LatentUtterance]):
    """Utterances of a list of shards, read one by one."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._ends = list(accumulate(shard.part.utterances for shard in shards))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, i: int) -> LatentUtterance: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[LatentUtterance]: ...
    def __getitem__(self, i: int | slice) -> LatentUtterance | Sequence[LatentUtterance]:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(f"expected an index below {len(self)}, got {i}")
        i %= len(self)
        k = bisect_right(self._ends, i)
        shard = self._shards[k]
        return shard.utterance(i - (self._ends[k] - shard.part.utterances))

    def __iter__(self) -> Iterator[LatentUtterance]:
        """All in order; a shard that this opened is let go, so that one pass needs the memory of one shard."""
        for shard in self._shards:
            opened_here = not shard.is_open
            yield from map(shard.utterance, range(shard.part.utterances))
            if opened_here:
                shard.close()


class Shard:
    """One Arrow file, opened when it is first used.

    Args:
        mend: what an error says of how to get a sound one.

    Raises:
        StoreError: it is missing or truncated.
    """

    def __init__(self, root: Path, part: Part, verify: bool, mend: str) -> None:
        self.path, self.part, self.verify, self.mend = root / part.file, part, verify, mend
        self._batches: list[Any] | None = None
        self._memory: Any = None
        try:
            size = self.path.stat().st_size
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror or error}; {mend}") from error
        if size != part.bytes:
            raise StoreError(f"{self.path}: truncated: expected {part.bytes} bytes, got {size}; {mend}")

    @property
    def is_open(self) -> bool:
        """Whether the file is mapped."""
        return self._batches is not None

    def close(self) -> None:
        """Let the file go; tensors that were made of it keep it mapped as long as they live."""
        self._batches, self._memory = None, None

    def utterance(self, i: int) -> LatentUtterance:
        """Row `i` with its latents (T, D), float32."""
        row = self.row(i)
        return LatentUtterance(row.id, row.speaker, self.vectors("latents", i).float())

    def row(self, i: int) -> Stored:
        """What row `i` says."""
        batch, j = self._at(i)
        names = ("id", "speaker", "split", "text", "samples", "frames")
        return Stored(**{name: batch.column(name)[j].as_py() for name in names})

    def column(self, name: str) -> list[Any]:
        """All values of a column of plain values."""
        return [value for batch in self._opened() for value in batch.column(name).to_pylist()]

    def vectors(self, column: str, i: int) -> Tensor:
        """(T, D) of row `i`, in the mapped file's memory."""
        batch, j = self._at(i)
        lists = batch.column(column)
        vectors = lists.values
        values, width = vectors.values, vectors.type.list_size
        dtype = np.dtype(values.type.to_pandas_dtype())
        first, last = lists.offsets[j].as_py(), lists.offsets[j + 1].as_py()
        start = values.buffers()[1].address - self._memory.ctypes.data + first * width * dtype.itemsize
        flat = self._memory[start : start + (last - first) * width * dtype.itemsize].view(dtype)
        return torch.from_numpy(flat.reshape(-1, width))

    def _at(self, i: int) -> tuple[Any, int]:
        batches = self._opened()
        k = bisect_right(self._ends, i)
        return batches[k], i - (self._ends[k] - batches[k].num_rows)

    def _opened(self) -> list[Any]:
        if self._batches is None:
            pa = pyarrow()
            # copy on write: torch has no read-only tensors, and one that is written to must not reach the file
            self._memory = np.asarray(np.memmap(self.path, mode="c"))
            if self.verify and (found := hashlib.sha256(self._memory.data).hexdigest()) != self.part.sha256:
                expected = f"expected sha256 {self.part.sha256[:12]}…, got {found[:12]}…"
                raise StoreError(f"{self.path}: damaged: {expected}; {self.mend}")
            try:
                file = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(self._memory)))
                batches = [file.get_batch(i) for i in range(file.num_record_batches)]
            except pa.ArrowInvalid as error:
                raise StoreError(f"{self.path}: damaged: {' '.join(str(error).split())}; {self.mend}") from error
            self.verify = False  # once is enough
            self._ends = list(accumulate(batch.num_rows for batch in batches))
            self._batches = batches
        return self._batches
