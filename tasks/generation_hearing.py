"""Waveforms of a plan, made or real, and what is measured on them: each from the cache where its samples were heard.

A metric of one waveform comes from a worker process; a speaker's similarity and the kernel distance, which need torch
or the whole set, are finished here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn, cast

import numpy as np
import torch
from torch import Tensor

from bench.contract import RowContext
from bench.fingerprint import source_digest
from bench.metrics import speaker
from bench.metrics.distortion import Unscorable
from bench.metrics.kad import SCALE
from bench.metrics.paired_mmd import bandwidth, contributions
from bench.outputs import Waveform, quantised, waveform_digest
from bench.workers import ordered, pool
from tasks.generation_modes import Mode, Plan, Route, generated, truth
from tasks.generation_scores import Heard, Job, at_metric_rate, fingerprint, measure

ALIGNED = ("kad", "mel", "mcd", "f0_error", "voicing_error")
"""Metrics that hold a waveform against its recording: the recording itself has none."""


class _Missing(Exception):
    """Not in the cache."""


class Hearing:
    """Of one row.

    Args:
        open_wer: how many utterances, the first of the plan, the general recogniser hears.
    """

    def __init__(self, plan: Plan, context: RowContext, open_wer: int = 0) -> None:
        self.plan, self.context, self.open_wer = plan, context, open_wer
        self.rate, self.grammar = context.codec.info.sample_rate, context.dataset.grammar
        self.code, self.metrics = source_digest("tasks.generation_modes"), fingerprint()
        self.texts = {u.id: u.text for u in plan.spoken}
        self.voices = self._voices()
        self._truths: dict[tuple[Mode, Route], dict[str, Waveform]] = {}
        self._reference: dict[str, list[float]] = {}

    # --- waveforms -----------------------------------------------------------------------------------------

    def made(self, mode: Mode, submission: Any, label: str = "") -> dict[str, Waveform]:
        """Utterance id → what the submission generates, kept for the row; `label` tells settings apart."""

        def make() -> dict[str, Tensor]:
            return _tensors(generated(mode, submission, self.plan, self.context))

        name = f"{mode} {label}" if label else mode
        return self._ordered(self.context.outputs(name, self._key(mode), make))

    def truth(self, mode: Mode, route: Route) -> dict[str, Waveform]:
        """Utterance id → what the mode is held against, shared by all rows."""
        if (mode, route) not in self._truths:
            key = {"route": route, **self._key(mode)}
            kept = self.context.cached_tensors(key, lambda: _tensors(truth(mode, route, self.plan, self.context)))
            self._truths[mode, route] = self._ordered(kept)
        return self._truths[mode, route]

    def _ordered(self, kept: Mapping[str, Tensor]) -> dict[str, Waveform]:
        return {name: kept[name].numpy() for name in self.plan.ids}

    def _key(self, mode: Mode) -> dict[str, Any]:
        """What decides waveforms beside the codec, the data and the submission."""
        plan = self.plan
        settings = {"text": dict(plan.capped), "continuation": [plan.prompt, plan.ahead], "resampled": []}[mode]
        return {"code": self.code, "mode": mode, "utterances": plan.ids, "settings": settings}

    def _voices(self) -> dict[str, Waveform]:
        """Utterance id → another recording of its voice."""
        recordings = {u.id: u for u in self.context.dataset.utterances("test")}
        info = self.context.codec.info
        return {
            one.id: quantised(self.context.dataset.audio(recordings[other], info.sample_rate), "dataset")
            for one, other in zip(self.plan.latents, self.plan.others, strict=True)
        }

    # --- measurements --------------------------------------------------------------------------------------

    def heard(
        self, what: str, mode: Mode, waveforms: Mapping[str, Waveform], metrics: Sequence[str], itself: bool = False
    ) -> dict[str, Heard]:
        """Utterance id → its measurements.

        Args:
            what: for the progress bar.
            metrics: names of `tasks.generation.METRICS`.
            itself: these are the recordings, which are not held against themselves; of continuations they become what
                the kernel distance of later sets is to.
        """
        jobs = {name: self._job(mode, name, waveforms[name], metrics, itself) for name in self.plan.ids}
        keys = {name: {"heard": job.key(), "metrics": self.metrics} for name, job in jobs.items()}
        found: dict[str, Heard] = {}
        for name, key in keys.items():
            with suppress(_Missing):
                found[name] = copy.deepcopy(self.context.cached_json(key, _missing))
        if waiting := [name for name in jobs if name not in found]:
            with pool() as executor:
                results = ordered(executor, measure, [jobs[name] for name in waiting])
                for done, (name, result) in enumerate(zip(waiting, results, strict=True)):
                    found[name] = copy.deepcopy(self.context.cached_json(keys[name], lambda result=result: result))
                    self.context.progress(f"hear {what}", done + 1, len(waiting))
        for name in self.plan.ids if "speaker" in metrics else []:
            self._same_voice(name, waveforms[name], found[name])
        if "kad" in metrics:
            if itself:
                self._reference = {name: one["embedding"] for name, one in found.items() if one["embedding"]}
            else:
                self._kernel(found)
        return {name: found[name] for name in self.plan.ids}

    def _job(self, mode: Mode, name: str, waveform: Waveform, metrics: Sequence[str], itself: bool) -> Job:
        # the recording's embedding is what others are held against
        wanted = tuple(m for m in metrics if not (itself and m in ALIGNED and m != "kad"))
        aligned = None if mode == "text" or itself else self.truth(mode, "original")[name]
        past = None if mode == "resampled" else self.voices[name]
        text = self.texts[name] if mode != "continuation" else None
        open_words = self.plan.ids.index(name) < self.open_wer
        return Job(waveform, self.rate, wanted, aligned, past, text, self.grammar, open_words)

    def _same_voice(self, name: str, waveform: Waveform, heard: Heard) -> None:
        if not len(waveform):
            return
        try:
            own, voice = self._voice(waveform), self._voice(self.voices[name])
            heard["values"]["speaker"] = float(np.dot(own, voice))
        except Unscorable as reason:
            heard["unscored"]["speaker"] = str(reason)

    def _voice(self, waveform: Waveform) -> list[float]:
        """The speaker embedding, of unit length."""
        key = {"speaker": waveform_digest(waveform), "rate": self.rate, "embedding": speaker.fingerprint()}

        def make() -> dict[str, Any]:
            try:
                return {"embedding": [float(v) for v in speaker.embed(at_metric_rate(waveform, self.rate))]}
            except Unscorable as reason:
                return {"unscorable": str(reason)}

        found = self.context.cached_json(key, make)
        if "unscorable" in found:
            raise Unscorable(found["unscorable"])
        return cast(list[float], found["embedding"])

    def _kernel(self, heard: Mapping[str, Heard]) -> None:
        """Fill in what each continuation contributes to the kernel distance."""
        pairs = [name for name in self.plan.ids if heard[name]["embedding"] and name in self._reference]
        if len(pairs) < 2:
            return
        y = [self._reference[name] for name in pairs]
        values = SCALE * contributions([heard[name]["embedding"] for name in pairs], y, bandwidth(y))
        for name, value in zip(pairs, values, strict=True):
            heard[name]["values"]["kad"] = float(value)


def _tensors(waveforms: Mapping[str, Waveform]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(waveform) for name, waveform in waveforms.items()}


def _missing() -> NoReturn:
    raise _Missing
