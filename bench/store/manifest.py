"""manifest.json of a latent store: what it holds, and of what."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.contract import Split
from bench.errors import StoreError
from bench.store.files import write_bytes

SCHEMA = 1
NAME = "manifest.json"
Precision = Literal["float32", "float16"]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Identity(Model):
    """What decides the latents of a store: one store holds one of it.

    Attributes:
        info: what the codec states, its weights' digest included.
        argument, code: what the codec was built with beside its name, and the digest of its code.
        dataset, data: the dataset's name, and the digest of its audio, texts and splits.
        precision: of the latents.
        codes: whether there is a column of codes.
    """

    info: dict[str, Any]
    argument: str
    code: str
    dataset: str
    data: str
    precision: Precision
    codes: bool


class Rounding(Model):
    """What storing float16 did to float32 values; all 0 for float32.

    Attributes:
        largest_relative: |stored − x| / |x|, the largest of values that float16 holds with all its bits.
        largest_absolute: the largest |stored − x| of all values.
        below_normal: values nearer to 0 than 2⁻¹⁴, whose error is absolute, at most 2⁻²⁵.
    """

    largest_relative: float = 0.0
    largest_absolute: float = 0.0
    below_normal: int = 0


class Part(Model):
    """One file: utterances `start` to `start + utterances` of a split, in the dataset's order."""

    file: str
    split: Split
    start: int
    utterances: int
    samples: int
    frames: int
    bytes: int
    sha256: str
    rounding: Rounding

    @property
    def stop(self) -> int:
        """The first utterance after it."""
        return self.start + self.utterances


class Totals(Model):
    """Of all files together."""

    complete: bool
    utterances: int
    frames: int
    hours: float
    rounding: Rounding


class Manifest(Model):
    """The file.

    Attributes:
        listed: utterances that the dataset has, by split.
        made_by: the command that makes this store and mends it, without its folder.
        speakers_known: False where each utterance stands for its own speaker.
        made_on: devices, machines and packages that took part; with one alone the same command gives the same bytes.
        shards: finished files, by split and start.
        pending: what the next shard will be made of, in order.
    """

    version: int = SCHEMA
    identity: Identity
    listed: dict[Split, int]
    made_by: str
    speakers_known: bool
    made_on: list[dict[str, Any]]
    totals: Totals
    shards: list[Part] = []
    pending: list[Part] = []

    def updated(self, shards: Iterable[Part], pending: Iterable[Part]) -> Manifest:
        """The same store with other files, counted again."""
        kept = sorted(shards, key=lambda part: (part.split, part.start))
        waiting = list(pending)
        every = [*kept, *waiting]
        samples, stored = sum(part.samples for part in every), sum(part.utterances for part in every)
        totals = Totals(
            complete=not waiting and stored == sum(self.listed.values()),
            utterances=stored,
            frames=sum(part.frames for part in every),
            hours=samples / self.identity.info["sample_rate"] / 3600,
            rounding=worst(part.rounding for part in every),
        )
        return self.model_copy(update={"shards": kept, "pending": waiting, "totals": totals})

    def write(self, root: Path) -> None:
        """Replace the file in `root`."""
        write_bytes(root / NAME, (self.model_dump_json(indent=1) + "\n").encode())


def worst(roundings: Iterable[Rounding]) -> Rounding:
    """Of several: largest errors, and the sum of what is below the normal numbers."""
    every = list(roundings)
    return Rounding(
        largest_relative=max((one.largest_relative for one in every), default=0.0),
        largest_absolute=max((one.largest_absolute for one in every), default=0.0),
        below_normal=sum(one.below_normal for one in every),
    )


def read(root: Path) -> Manifest:
    """The manifest of the store in `root`.

    Raises:
        StoreError: there is none, it is damaged, or it is of another version.
    """
    path = root / NAME
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(f"{root}: expected a latent store, got no {NAME}; `bench encode --out` makes one") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    try:
        made = Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(f"{path}: damaged: {where or 'file'}: {first['msg']}; delete the folder and encode") from error
    if made.version != SCHEMA:
        raise StoreError(f"{path}: expected version {SCHEMA}, got {made.version}; delete the folder and encode again")
    return made


def mismatch(stored: Identity, given: Identity) -> str | None:
    """The first thing in which two differ, as "X of Y, got Z", or None."""
    a, b = stored.model_dump(mode="json"), given.model_dump(mode="json")
    for what, one, other in [
        *(("codec" if k == "name" else f"codec's {k}", one, b["info"].get(k)) for k, one in a["info"].items()),
        ("codec's argument", a["argument"], b["argument"]),
        ("codec's code", a["code"], b["code"]),
        ("dataset", a["dataset"], b["dataset"]),
        ("dataset's digest", a["data"], b["data"]),
        ("precision", a["precision"], b["precision"]),
        ("codes", a["codes"], b["codes"]),
    ]:
        if one != other:
            return f"{what} {_short(one)}, got {_short(other)}"
    return None


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text
