"""All variants × seeds × corpora → one JSON of raw values and what they were made with."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.cache import Cache, file_digest, replacing
from bench.contract import Dataset
from bench.errors import UnknownName
from bench.progress import Bar
from benchmarks.pressure.codec import PressedCodec
from benchmarks.pressure.measure import Settings, columns, described, distortions, gains, matched
from benchmarks.pressure.summary import SCHEMA
from benchmarks.pressure.train import VARIANTS, Budget, trained

Read = Callable[[], Mapping[str, dict[str, list[Tensor]]]]
"""→ "train" and "valid" → source → recordings."""


def run(
    datasets: Mapping[str, Dataset],
    read: Read,
    data_digest: str,
    which: Sequence[tuple[str, int]],
    budget: Budget,
    settings: Settings,
    cache: Cache,
    out: Path,
    bar: Bar,
) -> None:
    """Train, measure and write `out`.

    Args:
        datasets: name → what to measure on.
        read: gives the recordings to train on, and `data_digest` what decides them.
        which: variant and training seed of each run.

    Raises:
        BenchError: a variant that there is not, data that cannot be used, or a loss that is not finite.
    """
    if unknown := sorted({name for name, _ in which} - set(VARIANTS)):
        raise UnknownName("variant", unknown[0], list(VARIANTS))
    runs = []
    for name, seed in which:
        bar.row(f"{name}, seed {seed}")
        path, weights = trained(name, seed, read, data_digest, budget, cache, bar.update)
        codec = PressedCodec(f"pressure-{name}-seed{seed}", VARIANTS[name], budget.config, weights, path)
        runs.append(
            {
                "variant": name,
                "seed": seed,
                "weights_digest": file_digest(path),
                "curve": [[round(float(v), 4) for v in row] for row in weights["curve"]],
                "corpora": {n: _corpus(codec, dataset, settings, cache, bar) for n, dataset in datasets.items()},
            }
        )
    content = {
        "schema": SCHEMA,
        "protocol": {
            "measured_with": described(settings),
            "trained_with": {"budget": repr(budget), "parameters": _parameters(codec)},
            "environment": {"torch": torch.__version__, "python": platform.python_version(), "device": "cpu"},
            "training_data": data_digest,
        },
        "variants": {
            n: {"family": b.family, "estimator": b.estimator, "bottleneck": repr(b)} for n, b in VARIANTS.items()
        },
        "corpora": {n: _entry(codec, dataset) for n, dataset in datasets.items()},
        "runs": runs,
    }
    with replacing(out) as temporary:
        temporary.write_text(_text(content), encoding="utf-8")


def _corpus(codec: PressedCodec, dataset: Dataset, settings: Settings, cache: Cache, bar: Bar) -> dict[str, Any]:
    order = [u.id for u in dataset.utterances("test")]
    out = distortions(codec, dataset, settings, cache, bar.update)
    values = dict(out.pop("values"))
    at = {"fixed": settings.share}
    match = matched(codec, dataset, settings, cache, bar.update)
    if "share" in match:
        at["matched"] = match["share"]
        values["matched_mel"] = match["mel"]
    else:
        out["matched_reason"] = match["reason"]
    for what, share in at.items():
        found = gains(codec, dataset, share, settings, cache, bar.update)
        out[what] = {"share": share, "sigma": found["sigma"], "probe": found["gain_probe"]}
        values |= {f"{what}_{name}": v for name, v in found.items() if isinstance(v, dict) and "probe" not in name}
    return {**out, "values": columns(values, order)}


def _entry(codec: PressedCodec, dataset: Dataset) -> dict[str, Any]:
    test = dataset.utterances("test")
    hop, rate = codec.info.hop, codec.info.sample_rate
    return {
        "digest": dataset.digest,
        "utterances": [u.id for u in test],
        "speakers": [u.speaker for u in test],
        "frames": [-(-len(dataset.audio(u, rate)) // hop) for u in test],
    }


def _parameters(codec: PressedCodec) -> int:
    return sum(p.numel() for part in (codec.model.encoder, codec.model.decoder) for p in part.parameters())


def _text(content: dict[str, Any]) -> str:
    """One line an entry and a run, so that a diff shows what moved."""
    dumped = lambda value: json.dumps(value, allow_nan=False, ensure_ascii=False)  # noqa: E731
    runs = ",\n  ".join(dumped(run) for run in content["runs"])
    parts = [f" {dumped(name)}: {dumped(value)}" for name, value in content.items() if name != "runs"]
    return "{\n" + ",\n".join([*parts, f' "runs": [\n  {runs}\n ]']) + "\n}\n"
