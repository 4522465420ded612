"""What the fit of a row went through, beside its record: loss by step, thinned, with what says of which fit it is.

A submission that keeps its history keeps it among its state, under names that begin with `history.`
(`bench.contract.TrainingHistory`), so that a fit from the cache has one too. It is written to
FOLDER/<record>.json, a file that no record and no digest knows of: without it, a figure is missing and nothing else.

Rule of thinning: of n values, at most 200 are left, the means of blocks of ⌈n/200⌉ successive ones, each at the step of
its block's last; the last block may be shorter. A block with a value that is not finite is null.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cache import file_digest, replacing
from bench.record import Record

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)
SCHEMA = 1
FOLDER = "curves"
"""Beside the records."""
HISTORY = "history."
MOST = 200
RULE = "means of blocks of successive steps, at a block's last step"
SERIES = {
    # the objective is the submission's own: comparable within a curve, not between families
    "loss": ("training loss", "of the fit's own objective"),
    "valid_loss": ("validation loss", "of the fit's own objective"),
    "grad_norm": ("gradient norm before clipping", "1"),
}
"""Series → its title and unit."""


def write(record: Record, state: Mapping[str, Tensor], folder: Path) -> Path | None:
    """Write the curve of the fit with this state; None where it kept no history.

    Raises:
        CacheError: the folder cannot be written.
    """
    series = of(state, record.submission.name)
    if not series:
        return None
    told = {
        "schema_version": SCHEMA,
        "submission": record.submission.name,
        "codec": record.codec.name,
        "dataset": record.dataset.name,
        "suite": record.suite,
        "seed": record.seed,
        "code_digest": record.submission.code_digest,
        "weights_digest": record.submission.weights_digest,
        "thinning": RULE,
        "series": series,
    }
    path = folder / f"{Path(record.filename).stem}.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(told, allow_nan=False) + "\n", encoding="utf-8")
    return path


def of(state: Mapping[str, Tensor], who: str) -> list[dict[str, Any]]:
    """The thinned series of a state; a history that is not as the contract has it is none."""
    kept = {name.removeprefix(HISTORY): t.flatten().tolist() for name, t in state.items() if name.startswith(HISTORY)}
    if not kept:
        return []
    valid_step = [int(step) for step in kept.get("valid_step", ())]
    out = []
    for name, (title, unit) in SERIES.items():
        values = kept.get(name, [])
        steps = valid_step if name == "valid_loss" else list(range(1, len(values) + 1))
        if len(steps) != len(values):
            log.warning("%s: its history has %d validations at %d steps; no curve", who, len(values), len(steps))
            return []
        if values:
            shown, thinned_values = thinned(steps, values)
            out.append({"name": name, "title": title, "unit": unit, "steps": shown, "values": thinned_values})
    return out


def thinned(steps: Sequence[int], values: Sequence[float], most: int = MOST) -> tuple[list[int], list[float | None]]:
    """At most `most` values, by the rule of this module.

    >>> thinned([1, 2, 3, 4, 5], [1.0, 3.0, 5.0, 7.0, 10.0], most=3)
    ([2, 4, 5], [2.0, 6.0, 10.0])
    """
    size = max(1, math.ceil(len(values) / most))
    blocks = [values[i : i + size] for i in range(0, len(values), size)]
    ends = [steps[min(i + size, len(steps)) - 1] for i in range(0, len(values), size)]
    return ends, [_mean(block) for block in blocks]


def _mean(block: Sequence[float]) -> float | None:
    mean = math.fsum(block) / len(block) if all(map(math.isfinite, block)) else math.inf
    # float32 has no more digits
    return float(f"{mean:.7g}") if math.isfinite(mean) else None


def from_cache(records: Sequence[Record], cache: Path, folder: Path) -> dict[str, Path]:
    """Curves of records whose fits are still in the cache, which knows them by the digest of their weights.

    Returns:
        Record's file name → curve, of those that were found and kept a history.

    Raises:
        CacheError: the folder cannot be written.
    """
    from safetensors.torch import load_file

    wanted: dict[str, list[Record]] = {}
    for record in records:
        wanted.setdefault(record.submission.weights_digest, []).append(record)
    made = {}
    for path in sorted((cache / "fit").glob("*/*.safetensors")):
        for record in wanted.get(file_digest(path), []):
            written = write(record, load_file(path), folder)
            if written is not None:
                made[record.filename] = written
    return made
