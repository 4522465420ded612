"""Dataset × codec → cached latents, whole utterance by whole utterance."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import torch

from bench.cache import Cache, digest
from bench.contract import Codec, Dataset, LatentUtterance, Split, Utterance
from bench.errors import DataError, PluginError
from bench.fingerprint import source_digest
from bench.registry import calling

SHARD = 64
"""Utterances a cache entry holds: what a killed run can lose."""


@dataclass
class Latents:
    """Latents of the splits, and the key under which anything that follows from them may be cached.

    `samples` counts audio samples by utterance id; `minutes` is what was used of each split.
    """

    key: str
    splits: dict[Split, list[LatentUtterance]] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    minutes: dict[str, float] = field(default_factory=dict)


def latents_key(dataset: Dataset, codec: Codec, minutes: dict[Any, float], device: torch.device) -> dict[str, Any]:
    """What decides the latents."""
    info = codec.info
    return {
        "dataset": dataset.digest,
        "codec": info.name,
        "weights": info.weights_digest,
        "code": source_digest(type(codec).__module__),
        "minutes": {str(split): value for split, value in minutes.items()},
        "torch": importlib.metadata.version("torch"),
        "threads": torch.get_num_threads(),
        "device": device.type,
        "dtype": "float32",
    }


def encode(
    dataset: Dataset,
    codec: Codec,
    minutes: dict[Any, float],
    cache: Cache,
    device: torch.device,
    progress: Callable[[str, int, int], None],
) -> Latents:
    """Encode every split of `dataset`, reading from the cache what is there.

    Args:
        minutes: split → at most this much of it, taken round-robin over speakers; others whole.
        progress: called with ("encode", utterances done, utterances in all).

    Raises:
        DataError: an empty split.
        PluginError: a codec that raises, or returns another shape than it states, or NaN.
    """
    key = latents_key(dataset, codec, minutes, device)
    out = Latents(digest(key))
    total = sum(len(dataset.utterances(split)) for split in ("train", "valid", "test"))
    done = 0
    for split in ("train", "valid", "test"):
        order = round_robin(dataset.utterances(split))
        if not order:
            raise DataError(f"dataset {dataset.name}: the {split} split is empty")
        limit = minutes.get(split, float("inf")) * 60 * codec.info.sample_rate
        used = 0
        taken: dict[str, LatentUtterance] = {}
        for start in range(0, len(order), SHARD):
            if used >= limit:
                break
            shard = order[start : start + SHARD]
            shard_key = {**key, "minutes": None, "ids": [u.id for u in shard]}
            tensors = cache.tensors("latents", shard_key, lambda s=shard: _encode_shard(s, dataset, codec, device))
            for utterance in shard:
                if used >= limit:
                    break
                x, samples = tensors[f"x:{utterance.id}"], int(tensors[f"samples:{utterance.id}"])
                taken[utterance.id] = LatentUtterance(utterance.id, utterance.speaker, x)
                out.samples[utterance.id] = samples
                used += samples
            done += len(shard)
            progress("encode", done, total)
        out.splits[split] = [taken[u.id] for u in dataset.utterances(split) if u.id in taken]
        out.minutes[split] = used / codec.info.sample_rate / 60
    progress("encode", total, total)
    return out


def round_robin(utterances: Sequence[Utterance]) -> list[Utterance]:
    """One utterance of each speaker, then the next of each: any head of it is balanced."""
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        by_speaker.setdefault(utterance.speaker, []).append(utterance)
    rounds = zip_longest(*by_speaker.values())
    return [u for one in rounds for u in one if u is not None]


def _encode_shard(
    shard: Sequence[Utterance], dataset: Dataset, codec: Codec, device: torch.device
) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    info = codec.info
    for utterance in shard:
        audio = torch.from_numpy(dataset.audio(utterance, info.sample_rate))
        batch = audio.reshape(1, 1, -1).to(device)
        x = calling(f"codec {info.name!r}", codec.encode, batch)
        expected = (1, -(-len(audio) // info.hop), info.dim)
        if not isinstance(x, torch.Tensor) or tuple(x.shape) != expected:
            got = tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
            raise PluginError(f"codec {info.name!r}: latents of {len(audio)} samples must be {expected}, got {got}")
        if not torch.isfinite(x).all():
            raise PluginError(f"codec {info.name!r}: latents of {utterance.id} are not finite")
        tensors[f"x:{utterance.id}"] = x[0].float().cpu().clone()
        tensors[f"samples:{utterance.id}"] = torch.tensor(len(audio))
    return tensors
