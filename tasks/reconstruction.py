"""Reconstruction: what the decoder makes of latents that a submission gives back.

Three paths to a waveform, each held against the dataset's audio:

    codec       decode(encode(audio)): the ceiling, the same for all submissions
    posterior   decode(reconstruct(x, "posterior")): what the submission's own variables keep
    prior       decode(reconstruct(x, "prior")): what it predicts, given the true past

Utterances go through the submission one by one, so that no padding is near them; the metrics run in worker
processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from bench.config import TaskCard, parameters, task_card
from bench.contract import Context, LatentUtterance, Reconstructs, Score, Skipped, Submission, Utterance
from bench.errors import DataError, PluginError
from bench.metrics.fidelity import METRICS, RECOGNISERS, Fidelity, Pair, fingerprint, measure
from bench.workers import ordered, pool

Route = Literal["codec", "posterior", "prior"]
ROUTES: tuple[Route, ...] = ("codec", "posterior", "prior")
CHUNK = 64
"""Utterances decoded, and held in memory, at a time."""


@dataclass(frozen=True)
class Config:
    """`open_wer_minutes`: audio that the general-language recogniser hears on each path; 0 for none."""

    open_wer_minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0


@dataclass(frozen=True)
class Item:
    """An utterance and what is asked about its words."""

    utterance: Utterance
    x: Tensor
    grammar: Path | None
    open_words: bool


class Reconstruction:
    """Task plug-in `reconstruction`."""

    card: ClassVar[TaskCard] = task_card(__file__)

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """All columns `<path>_<metric>`.

        Raises:
            DataError: the test split is empty.
            PluginError: decoded audio of the wrong shape, or not finite.
        """
        config = parameters(Config, context.parameters, self.card.name)
        items = _items(context, config)
        key = {
            "codec": [item.utterance.id for item in items],
            "open": [item.utterance.id for item in items if item.open_words],
            "metrics": fingerprint(),
        }
        context.note("metrics", fingerprint())
        context.note("open_wer_utterances", len(key["open"]))
        scores: list[Score | Skipped] = []
        with pool() as executor:
            for route in ROUTES:

                def run(route: Route = route) -> dict[str, Fidelity]:
                    return _measured(route, items, submission, context, executor)

                found = context.cached_json(key, run) if route == "codec" else run()
                scores += _columns(route, found, _skips(context, config, items))
        return scores


def round_robin(items: Sequence[LatentUtterance], most_s: float, frame_rate: float) -> list[str]:
    """Ids of utterances that last at most `most_s` seconds together, one of each speaker in turn.

    Speakers come in the order of their first utterance. The first utterance is always taken, unless `most_s`
    is 0; the list ends before the first one that would not fit.
    """
    by_speaker: dict[str, list[LatentUtterance]] = {}
    for item in items:
        by_speaker.setdefault(item.speaker, []).append(item)
    turns = [
        queue[turn]
        for turn in range(max(map(len, by_speaker.values()), default=0))
        for queue in by_speaker.values()
        if turn < len(queue)
    ]
    taken: list[str] = []
    total = 0.0
    for item in turns:
        total += len(item.x) / frame_rate
        if most_s <= 0 or (taken and total > most_s):
            break
        taken.append(item.id)
    return taken


def _items(context: Context, config: Config) -> list[Item]:
    latents = context.latents("test")
    if not latents:
        raise DataError("reconstruction: the test split is empty")
    utterances = {u.id: u for u in context.dataset.utterances("test")}
    spoken = [found for found in latents if utterances[found.id].text]
    heard = set(round_robin(spoken, 60.0 * config.open_wer_minutes, context.codec.info.frame_rate))
    return [Item(utterances[u.id], u.x, context.dataset.grammar, u.id in heard) for u in latents]


def _skips(context: Context, config: Config, items: Sequence[Item]) -> dict[str, str]:
    """Metric → why no utterance has it."""
    if not any(item.utterance.text for item in items):
        return dict.fromkeys(RECOGNISERS, "the dataset has no transcripts")
    skips = {}
    if context.dataset.grammar is None:
        skips["wer_closed"] = "the dataset has no grammar"
    if not config.open_wer_minutes:
        skips["wer_open"] = "open_wer_minutes is 0"
    return skips


def _measured(
    route: Route, items: Sequence[Item], submission: Submission, context: Context, executor: Executor
) -> dict[str, Fidelity]:
    """Utterance id → its metrics."""
    found: dict[str, Fidelity] = {}
    for start in range(0, len(items), CHUNK):
        part = items[start : start + CHUNK]
        # decoded first, then scored: torch's threads and the scoring processes want the same cores, and
        # threads that wait for each other by spinning make decoding twenty times slower
        pairs = [_pair(route, item, submission, context) for item in part]
        for item, result in zip(part, ordered(executor, measure, pairs), strict=True):
            found[item.utterance.id] = result
            context.progress(route, len(found), len(items))
    return found


@torch.no_grad()
def _pair(route: Route, item: Item, submission: Submission, context: Context) -> Pair:
    x = item.x.unsqueeze(0).to(context.device)
    if route != "codec":
        generator = context.generator(route, item.utterance.id)
        x = cast(Reconstructs, submission).reconstruct(x, route, generator).to(x)
    info = context.codec.info
    audio = context.codec.decode(x)
    expected = (1, 1, x.shape[1] * info.hop)
    if tuple(audio.shape) != expected or not audio.isfinite().all():
        raise PluginError(f"{info.name}: decode must return finite audio {expected}, got {tuple(audio.shape)}")
    reference = context.dataset.audio(item.utterance, info.sample_rate)
    return Pair(
        reference,
        audio[0, 0].cpu().numpy().astype(np.float32),
        info.sample_rate,
        item.utterance.text,
        item.grammar,
        item.open_words,
    )


def _columns(route: Route, found: Mapping[str, Fidelity], skips: Mapping[str, str]) -> Iterator[Score | Skipped]:
    for metric in METRICS:
        column = f"{route}_{metric}"
        if metric in skips:
            yield Skipped(skips[metric], column)
            continue
        values = {name: one["values"][metric] for name, one in found.items() if metric in one["values"]}
        unscored = {name: one["unscored"][metric] for name, one in found.items() if metric in one["unscored"]}
        weights = {name: float(found[name]["words"][metric]) for name in values} if metric in RECOGNISERS else None
        yield Score(column, values, weights, unscored)
