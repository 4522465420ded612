"""Dataset × codec → cached latents, whole utterance by whole utterance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import zip_longest
from typing import Any, cast

import numpy as np
import torch

from bench.cache import Cache, digest
from bench.contract import Codec, Dataset, LatentUtterance, Split, Utterance
from bench.environment import arithmetic
from bench.errors import DataError, PluginError
from bench.fingerprint import code_key, source_digest
from bench.registry import calling

SPLITS: tuple[Split, ...] = ("train", "valid", "test")
SHARD = 16
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


def latents_key(
    dataset: Dataset, codec: Codec, argument: str, minutes: Mapping[Any, float], device: torch.device
) -> dict[str, Any]:
    """What decides the latents, and with them all that follows."""
    return {
        "dataset": {"digest": dataset.digest, "code": code_key(type(dataset).__module__)},
        "codec": {**asdict(codec.info), "argument": argument, "code": code_key(type(codec).__module__)},
        "minutes": {str(split): value for split, value in minutes.items()},
        "code": source_digest(__name__),
        "arithmetic": arithmetic(device),
    }


def encode(
    dataset: Dataset,
    codec: Codec,
    minutes: Mapping[Any, float],
    cache: Cache,
    device: torch.device,
    progress: Callable[[str, int, int], None],
    argument: str = "",
) -> Latents:
    """Encode every split of `dataset`, reading from the cache what is there.

    Args:
        minutes: split → at most this much of it, taken round-robin over speakers; others whole.
        progress: called with ("encode", utterances done, utterances in all).
        argument: what the codec was built with beside its name.

    Raises:
        DataError: an empty split, or one whose limit holds no utterance.
        PluginError: a codec or dataset that raises; a codec that returns another shape than it states, or NaN.
    """
    key = latents_key(dataset, codec, argument, minutes, device)
    out = Latents(digest(key))
    listed = {split: _listed(dataset, split) for split in SPLITS}
    names = [u.id for utterances in listed.values() for u in utterances]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise PluginError(f"dataset {dataset.name}: two utterances are called {twice!r}")
    done = 0
    for split, utterances in listed.items():
        limit = minutes.get(split, math.inf)
        order, left = round_robin(utterances), limit * 60 * codec.info.sample_rate
        taken: dict[str, LatentUtterance] = {}
        for start in range(0, len(order), SHARD):
            shard = order[start : start + SHARD]
            shard_key = {**key, "minutes": None, "ids": [u.id for u in shard]}
            tensors = cache.tensors("latents", shard_key, partial(_encode_shard, shard, dataset, codec, device))
            for u in shard:
                samples = int(tensors[f"samples:{u.id}"])
                left -= samples
                if left < 0:
                    break
                out.samples[u.id] = samples
                taken[u.id] = LatentUtterance(u.id, u.speaker, tensors[f"x:{u.id}"])
            done += len(shard)
            progress("encode", done, len(names))
            if left < 0:
                break
        if not taken:
            raise DataError(f"dataset {dataset.name}: {limit:g} minutes of {split} hold no whole utterance")
        out.splits[split] = [taken[u.id] for u in utterances if u.id in taken]
        out.minutes[split] = sum(out.samples[i] for i in taken) / codec.info.sample_rate / 60
    progress("encode", len(names), len(names))
    return out


def _listed(dataset: Dataset, split: Split) -> Sequence[Utterance]:
    utterances = cast(Sequence[Utterance], calling(f"dataset {dataset.name}", dataset.utterances, split))
    if not utterances:
        raise DataError(f"dataset {dataset.name}: the {split} split is empty")
    return utterances


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
        audio = _audio(dataset, utterance, info.sample_rate)
        with torch.no_grad():
            x = calling(f"codec {info.name!r}", codec.encode, audio.reshape(1, 1, -1).to(device))
        expected = (1, -(-len(audio) // info.hop), info.dim)
        if not isinstance(x, torch.Tensor) or tuple(x.shape) != expected:
            got = tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
            raise PluginError(f"codec {info.name!r}: latents of {len(audio)} samples must be {expected}, got {got}")
        if not torch.isfinite(x).all():
            raise PluginError(f"codec {info.name!r}: latents of {utterance.id} are not finite")
        tensors[f"x:{utterance.id}"] = x[0].float().cpu().clone()
        tensors[f"samples:{utterance.id}"] = torch.tensor(len(audio))
    return tensors


def _audio(dataset: Dataset, utterance: Utterance, sample_rate: int) -> torch.Tensor:
    samples = calling(f"dataset {dataset.name}", dataset.audio, utterance, sample_rate)
    what = f"dataset {dataset.name}: audio of {utterance.id}"
    if not isinstance(samples, np.ndarray) or samples.ndim != 1 or not len(samples):
        got = samples.shape if isinstance(samples, np.ndarray) else type(samples).__name__
        raise PluginError(f"{what} must be an array (N,), got {got}")
    if not np.isfinite(samples).all():
        raise PluginError(f"{what} is not finite")
    return torch.from_numpy(np.array(samples, dtype=np.float32))
