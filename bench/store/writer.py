"""Writing a latent store: parts of ten minutes, merged into shards, each there whole or not at all.

Every part is on the disk before the manifest names it, and the manifest before the next is made: a run that is
killed loses the part it was making. Parts begin and end where the order of utterances says, whenever the run was
stopped, so that a resumed store has the bytes of one made in one go.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from bench.cache import file_digest
from bench.contract import Split
from bench.errors import CacheError, StoreError
from bench.store import manifest as manifests
from bench.store.arrow import Row, file_of, pyarrow, schema
from bench.store.files import HINT, durable, write_bytes
from bench.store.manifest import Identity, Manifest, Part, Totals, worst

log = logging.getLogger(__name__)
SHARD_BYTES = 64 << 20
PENDING = "pending"


class StoreWriter:
    """The only one to write into `root` while it is open.

    Args:
        root: the store's folder; made where there is none.
        identity: what the latents are of.
        listed: utterances of the dataset by split.
        made_on: what decides the last bits, `bench.environment.arithmetic`.
        made_by: the command, without its folder, that a reader is told of.
        speakers_known: what the dataset says of its speakers.
        progress: called with ("check shards", done, total).
        shard_bytes: from how many bytes on parts are merged.

    Raises:
        StoreError: the folder holds other latents, or something else; another run writes into it.
        CacheError: it cannot be written.
    """

    def __init__(
        self,
        root: Path,
        identity: Identity,
        listed: Mapping[Split, int],
        made_on: Mapping[str, Any],
        made_by: str = "bench encode --out",
        speakers_known: bool = True,
        progress: Callable[[str, int, int], None] = lambda what, done, total: None,
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        self.root, self.identity, self.shard_bytes = root, identity, shard_bytes
        self.schema = schema(identity)
        self._progress = progress
        nothing = Totals(complete=False, utterances=0, frames=0, hours=0.0, rounding=worst([]))
        self.manifest = Manifest(
            identity=identity,
            listed=dict(listed),
            made_by=made_by,
            speakers_known=speakers_known,
            made_on=[dict(made_on)],
            totals=nothing,
        )
        self._lock = FileLock(root / ".lock")

    def __enter__(self) -> StoreWriter:
        try:
            (self.root / PENDING).mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(f"{self.root}: another run writes into this store; wait for it{HINT}") from error
        except OSError as error:
            raise CacheError(f"cannot write {self.root}: {error.strerror or error}{HINT}") from error
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def missing(self, split: Split) -> list[tuple[int, int]]:
        """Ranges of utterances of a split that are not stored, what the pending parts wait for first."""
        every = sorted((p for p in self._files if p.split == split), key=lambda part: part.start)
        gaps, at = [], 0
        for part in every:
            if part.start > at:
                gaps.append((at, part.start))
            at = part.stop
        if at < self.manifest.listed[split]:
            gaps.append((at, self.manifest.listed[split]))
        waiting = [p.stop for p in self.manifest.pending[-1:]]
        return sorted(gaps, key=lambda gap: gap[0] not in waiting)

    def add(self, split: Split, start: int, rows: Sequence[Row]) -> None:
        """Store utterances `start` and following of a split; on the disk when this returns.

        Raises:
            StoreError: a value beyond the largest float16.
            CacheError: the disk is full; what was stored stays, and the same command goes on.
        """
        pending = self.manifest.pending
        if pending and (pending[-1].split, pending[-1].stop) != (split, start):
            self.settle()
        data, rounding = file_of(rows, self.identity)
        part = Part(
            file=f"{PENDING}/{split}-{start:09d}.arrow",
            split=split,
            start=start,
            utterances=len(rows),
            samples=sum(row.samples for row in rows),
            frames=sum(len(row.x) for row in rows),
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            rounding=rounding,
        )
        write_bytes(self.root / part.file, data)
        self._replace(self.manifest.shards, [*self.manifest.pending, part])
        self._settle_full()

    def settle(self) -> None:
        """Merge the pending parts into a shard.

        Raises:
            CacheError: the disk is full; the parts stay.
        """
        pending = self.manifest.pending
        if not pending:
            return
        pa = pyarrow()
        split, start = pending[0].split, pending[0].start
        name = f"{split}-{start:09d}.arrow"
        with durable(self.root / name) as temporary:
            with temporary.open("wb") as file, pa.ipc.new_file(file, self.schema) as writer:
                for part in pending:
                    with pa.OSFile(str(self.root / part.file)) as source:
                        reader = pa.ipc.open_file(source)
                        for i in range(reader.num_record_batches):
                            writer.write_batch(reader.get_batch(i))
            shard = Part(
                file=name,
                split=split,
                start=start,
                utterances=sum(part.utterances for part in pending),
                samples=sum(part.samples for part in pending),
                frames=sum(part.frames for part in pending),
                bytes=temporary.stat().st_size,
                sha256=file_digest(temporary),
                rounding=worst(part.rounding for part in pending),
            )
        self._replace([*self.manifest.shards, shard], [])
        for part in pending:
            (self.root / part.file).unlink(missing_ok=True)

    # --- what is there already -----------------------------------------------------------------------------

    def _settle_full(self) -> None:
        if sum(part.bytes for part in self.manifest.pending) >= self.shard_bytes:
            self.settle()

    @property
    def _files(self) -> list[Part]:
        return [*self.manifest.shards, *self.manifest.pending]

    def _replace(self, shards: Sequence[Part], pending: Sequence[Part]) -> None:
        self.manifest = self.manifest.updated(shards, pending)
        self.manifest.write(self.root)

    def _open(self) -> None:
        if (self.root / manifests.NAME).exists():
            found = manifests.read(self.root)
            if differs := manifests.mismatch(found.identity, self.identity):
                raise StoreError(f"{self.root}: expected, as it is stored, {differs}{HINT}")
            if found.listed != self.manifest.listed:
                raise StoreError(f"{self.root}: expected {found.listed} utterances, got {self.manifest.listed}{HINT}")
            made_on = [*found.made_on, *(one for one in self.manifest.made_on if one not in found.made_on)]
            self.manifest = found.model_copy(update={"made_on": made_on, "made_by": self.manifest.made_by})
        elif strange := sorted(p.name for p in self.root.iterdir() if p.name not in (PENDING, ".lock")):
            raise StoreError(f"{self.root}: expected an empty folder or a latent store, got {strange[0]}{HINT}")
        self._replace(*self._intact())
        # under the lock nobody else writes here: a killed run left these
        named = {self.root / part.file for part in self._files}
        for path in [*self.root.glob("*.arrow"), *(self.root / PENDING).iterdir(), *self.root.glob(".*.tmp")]:
            if path not in named:
                path.unlink()
        self._settle_full()

    def _intact(self) -> tuple[list[Part], list[Part]]:
        """Shards and pending parts that are what the manifest says; the others are made again."""
        good = {}
        for done, part in enumerate(self._files, 1):
            good[part.file] = not (why := damage(self.root, part))
            if why:
                log.warning("%s: %s %s; encoding its utterances again", self.root, part.file, why)
            self._progress("check shards", done, len(self._files))
        pending: list[Part] = []
        for part in self.manifest.pending:
            if not good[part.file]:
                break  # what follows a gap would not be the shard's next part
            pending.append(part)
        return [part for part in self.manifest.shards if good[part.file]], pending


def damage(root: Path, part: Part) -> str | None:
    """What is wrong with a file, or None. Reads all of it."""
    path = root / part.file
    try:
        size = path.stat().st_size
        if size != part.bytes:
            return f"is truncated: expected {part.bytes} bytes, got {size}"
        found = file_digest(path)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"is not readable: {error.strerror or error}"
    return None if found == part.sha256 else f"is damaged: expected sha256 {part.sha256[:12]}…, got {found[:12]}…"
