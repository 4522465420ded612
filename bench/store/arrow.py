"""Rows of a latent store as Arrow: the schema, and record batches from tensors."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.contract import Utterance
from bench.errors import BenchError, StoreError
from bench.store.manifest import Identity, Rounding

SMALLEST_NORMAL = 2.0**-14
"""Of float16: below it a value loses bits."""


@dataclass(frozen=True)
class Row:
    """What is stored of one utterance: latents `x` (T, D) float32, and codes (T, Q) or None; on the CPU."""

    utterance: Utterance
    samples: int
    x: Tensor
    codes: Tensor | None = None


def pyarrow() -> Any:
    """The package, with its ipc module.

    Raises:
        BenchError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError as error:
        raise BenchError("a latent store needs pyarrow: pip install 'latentbench[data]'") from error
    return pyarrow


def schema(identity: Identity) -> Any:
    """Columns of a store."""
    pa = pyarrow()
    value = pa.float16() if identity.precision == "float16" else pa.float32()
    columns = [
        ("id", pa.string()),
        ("speaker", pa.string()),
        ("split", pa.string()),
        ("text", pa.string()),
        ("samples", pa.int64()),
        ("frames", pa.int32()),
        ("latents", pa.list_(pa.list_(value, identity.info["dim"]))),
    ]
    if identity.codes:
        books = identity.info["codebooks"]
        whole = pa.int16() if max(books) <= 2**15 else pa.int32()
        columns.append(("codes", pa.list_(pa.list_(whole, len(books)))))
    return pa.schema(columns)


def file_of(rows: Sequence[Row], identity: Identity) -> tuple[bytes, Rounding]:
    """An Arrow IPC file of one record batch, and what rounding did.

    Raises:
        StoreError: a value beyond the largest float16.
    """
    pa = pyarrow()
    columns = schema(identity)
    frames = [len(row.x) for row in rows]
    values, rounding = rounded(rows, identity)
    utterances = [row.utterance for row in rows]
    arrays = [
        pa.array([u.id for u in utterances], pa.string()),
        pa.array([u.speaker for u in utterances], pa.string()),
        pa.array([u.split for u in utterances], pa.string()),
        pa.array([u.text for u in utterances], pa.string()),
        pa.array([row.samples for row in rows], pa.int64()),
        pa.array(frames, pa.int32()),
        _nested(pa, values, frames, columns.field("latents").type),
    ]
    if identity.codes:
        kind = columns.field("codes").type
        codes = torch.cat([row.codes for row in rows if row.codes is not None]).numpy()
        arrays.append(_nested(pa, codes.astype(kind.value_type.value_type.to_pandas_dtype()), frames, kind))
    out = io.BytesIO()
    with pa.ipc.new_file(out, columns) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=columns))
    return out.getvalue(), rounding


def rounded(rows: Sequence[Row], identity: Identity) -> tuple[np.ndarray, Rounding]:
    """Latents of all rows (frames, D) in the store's precision, and what that did to them.

    Raises:
        StoreError: a value beyond the largest float16.
    """
    x = torch.cat([row.x for row in rows]).contiguous().numpy()
    if identity.precision == "float32":
        return x, Rounding()
    with np.errstate(over="ignore"):
        stored = x.astype(np.float16)
    if not np.isfinite(stored).all():
        worst = next(row for row in rows if float(row.x.abs().max()) >= 65520.0)
        reach = float(worst.x.abs().max())
        raise StoreError(
            f"latents of {worst.utterance.id} reach {reach:.4g}, float16 ends at 65504: say --precision float32"
        )
    size, error = np.abs(x), np.abs(stored.astype(np.float32) - x)
    normal = size >= SMALLEST_NORMAL
    relative = error[normal] / size[normal]
    below = int(((size > 0) & ~normal).sum())
    return stored, Rounding(
        largest_relative=float(relative.max(initial=0.0)),
        largest_absolute=float(error.max(initial=0.0)),
        below_normal=below,
    )


def _nested(pa: Any, values: np.ndarray, frames: Sequence[int], kind: Any) -> Any:
    """Rows of vectors (frames, D) cut into one list an utterance."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    vectors = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    offsets = pa.array(np.concatenate([[0], np.cumsum(frames)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, vectors).cast(kind)
