"""Everything that is measured of one trained variant on one corpus, step by step from the cache where it is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from bench import latents
from bench.cache import Cache
from bench.contract import Dataset
from bench.fingerprint import code_key
from bench.metrics import degenerate
from benchmarks.pressure.bottlenecks import FSQ
from benchmarks.pressure.channel import Listener, Moments, code_rates, matched_share
from benchmarks.pressure.codec import PressedCodec
from benchmarks.pressure.predict import predictability

DECIMALS = 4
ACTIVE_NATS = 0.05
"""A dimension whose own channel lets less through is called inactive."""


@dataclass(frozen=True)
class Settings:
    """What all variants are measured with.

    Attributes:
        share: σ of the fixed dither, as a share of the latents' root-mean-square standard deviation. With much
            less the levels of FSQ stand apart, and the probe's mixture does not follow them (docs/log.md).
        targets: corpus → log-mel L1 at which variants are compared. Every variant reaches it with noise of more
            than half that deviation and no more than all of it. Set from distortions, before any gain at it was read.
        probe: laid over the card's probe: half its steps, on crops of half the length.
    """

    share: float = 0.5
    targets: Mapping[str, float] = field(default_factory=lambda: {"synthspeech": 0.36, "librispeech": 0.34})
    probe: Mapping[str, Any] = field(default_factory=lambda: {"fit": {"steps": 200, "crop_frames": 32}})
    seed: int = 0


def distortions(
    codec: PressedCodec,
    dataset: Dataset,
    settings: Settings,
    cache: Cache,
    progress: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """Latents' degeneracy, distortion as used and at the own rate, and that rate by every estimator there is."""
    lat = latents.encode(dataset, codec, {}, cache, torch.device("cpu"), progress)

    def make() -> dict[str, Any]:
        test = lat.splits["test"]
        frames = torch.cat([u.x for u in lat.splits["train"]])
        listener = Listener(codec, dataset, test, settings.seed)
        progress(f"{codec.info.name}: distortion on {dataset.name}", 0, 2)
        mel = listener.clean()
        progress(f"{codec.info.name}: distortion on {dataset.name}", 1, 2)
        own, rates = listener.own_channel()
        values = {"mel": mel, "own_mel": own}
        found: dict[str, Any] = {"values": values, "latents": _degeneracy(frames)}
        if rates is not None:
            values["own_rate"] = {i: float(r.sum()) for i, r in rates.items()}
            weights = torch.tensor([listener.frames[i] for i in rates])
            by_dim = (torch.stack(list(rates.values())) * weights[:, None]).sum(0) / weights.sum()
            found["own_nats_by_dim"] = by_dim.tolist()
            found["active_dims"] = int((by_dim > ACTIVE_NATS).sum())
        if isinstance(codec.bottleneck, FSQ):
            values |= code_rates(codec.bottleneck, lat.splits["train"], test)
        return found

    key = {"latents": lat.key, "code": code_key("benchmarks.pressure.channel"), "seed": settings.seed}
    return cache.json("pressure_distortion", key, make)


def gains(
    codec: PressedCodec,
    dataset: Dataset,
    share: float,
    settings: Settings,
    cache: Cache,
    progress: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """What `benchmarks.pressure.predict` finds at one share of dither."""
    lat = latents.encode(dataset, codec, {}, cache, torch.device("cpu"), progress)
    named = lambda what, done, total: progress(f"{codec.info.name}, {dataset.name}: {what}", done, total)  # noqa: E731
    key = {
        "latents": lat.key,
        "code": code_key("benchmarks.pressure.predict"),
        "task": code_key("tasks.delta_nll"),
        "control": code_key("baselines.controls"),
        "share": share,
        "probe": dict(settings.probe),
        "seed": settings.seed,
    }
    return cache.json(
        "pressure_gains",
        key,
        lambda: predictability(lat.splits, codec, share, settings.probe, settings.seed, named),
    )


def matched(
    codec: PressedCodec,
    dataset: Dataset,
    settings: Settings,
    cache: Cache,
    progress: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """The share of noise at which the corpus' target is reached, and the distortions there; or why there is none."""
    lat = latents.encode(dataset, codec, {}, cache, torch.device("cpu"), progress)
    target = settings.targets[dataset.name]

    def make() -> dict[str, Any]:
        progress(f"{codec.info.name}: noise for {target:g} on {dataset.name}", 0, 1)
        listener = Listener(codec, dataset, lat.splits["test"], settings.seed)
        found = matched_share(listener, Moments.of(lat.splits["train"]), target)
        return {"reason": found} if isinstance(found, str) else {"share": found[0], "mel": found[1]}

    code = code_key("benchmarks.pressure.channel")
    return cache.json(
        "pressure_matched", {"latents": lat.key, "code": code, "target": target, "seed": settings.seed}, make
    )


def _degeneracy(frames: Tensor) -> dict[str, Any]:
    """Rank by `bench.metrics.degenerate`, and how many directions carry 99 % of the variance."""
    found = degenerate.report(frames)
    spectrum = torch.linalg.eigvalsh(torch.cov(frames.double().T)).flip(0).clamp(min=0)
    share = spectrum.cumsum(0) / spectrum.sum()
    kept = ("rank", "dim", "thin", "constant", "duplicated", "repeated_share", "finite_support")
    return {
        **{name: value for name, value in found.note().items() if name in kept},
        "directions_99": int((share < 0.99).sum()) + 1,
        "effective_rank": float(spectrum.sum() ** 2 / spectrum.square().sum()),
    }


def described(settings: Settings) -> dict[str, Any]:
    """As JSON."""
    return asdict(settings)


def columns(values: Mapping[str, Mapping[str, float]], order: Sequence[str]) -> dict[str, list[float | None]]:
    """Utterance values as lists in one order, rounded; None where an utterance has none."""
    return {name: [round(by_id[i], DECIMALS) if i in by_id else None for i in order] for name, by_id in values.items()}
