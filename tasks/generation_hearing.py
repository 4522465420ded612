"""Waveforms of a plan, made or real, and what is measured on them: each from the cache where its samples were heard.

A metric of one waveform comes from a worker process; what needs torch or the whole set is finished here: a speaker's
similarity, the spread of latents, Whisper's words, the kernel distance.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, NoReturn, cast

import numpy as np
import torch
from torch import Tensor

from bench.contract import RowContext
from bench.fingerprint import source_digest
from bench.metrics import speaker
from bench.metrics.distortion import Unscorable
from bench.metrics.frechet import extrapolated, frechet
from bench.metrics.kad import SCALE
from bench.metrics.paired_mmd import bandwidth, contributions
from bench.metrics.whisper_words import Whisper
from bench.outputs import Waveform, as_float, quantised, waveform_digest
from bench.workers import ordered
from tasks.generation_modes import Mode, Plan, Route, generated, truth
from tasks.generation_scores import (
    QUICK,
    Heard,
    Job,
    at_metric_rate,
    count_errors,
    fingerprint,
    measure,
    unavailable,
)

ALIGNED = ("kad", "mel", "mcd", "f0_error", "voicing_error", "spread")
"""Metrics that hold a waveform against its recording: the recording itself has none."""
SLOW = ("dnsmos", "p808", "speaker", "f0_shift", "spread")
"""Metrics of continuations that only the first `listened` of them are asked for."""


class _Missing(Exception):
    """Not in the cache."""


class Hearing:
    """Of one row.

    Args:
        listened: how many utterances, the first of the plan, `SLOW` metrics are for; None: all.
        open_wer: how many of them the general recogniser hears.
        whisper: weights of Whisper, which then hears as many; "": it does not.
        executor: where slow metrics of one waveform are measured; None: here.

    Attributes:
        missing: metric → why it cannot be measured here; nobody is asked for these.
    """

    def __init__(
        self,
        plan: Plan,
        context: RowContext,
        listened: int | None = None,
        open_wer: int = 0,
        whisper: str = "",
        executor: Executor | None = None,
    ) -> None:
        self.executor = executor
        self.missing = unavailable(whisper)
        self.plan, self.context, self.open_wer = plan, context, open_wer
        self.listened = set(plan.ids[:listened])
        self.whisper = None if "wer_whisper" in self.missing else Whisper(whisper)
        self.rate, self.grammar = context.codec.info.sample_rate, context.dataset.grammar
        self.code, self.metrics = source_digest("tasks.generation_modes"), fingerprint(self.missing)
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
        return self._ordered(mode, self.context.outputs(name, self._key(mode), make))

    def truth(self, mode: Mode, route: Route) -> dict[str, Waveform]:
        """Utterance id → what the mode is held against, shared by all rows."""
        if (mode, route) not in self._truths:
            key = {"route": route, **self._key(mode)}
            kept = self.context.cached_tensors(key, lambda: _tensors(truth(mode, route, self.plan, self.context)))
            self._truths[mode, route] = self._ordered(mode, kept, route == "original")
        return self._truths[mode, route]

    def _ordered(self, mode: Mode, kept: Mapping[str, Tensor], itself: bool = False) -> dict[str, Waveform]:
        found = {name: kept[name].numpy() for name in self.plan.ids}
        if mode != "resampled" or itself:
            return found
        # a codec fills the last frame, and what has another length has another opinion score
        true = self.truth(mode, "original")
        return {name: waveform[: len(true[name])] for name, waveform in found.items()}

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
        waiting = [name for name in jobs if name not in found]
        for done, (name, result) in enumerate(zip(waiting, self._measured([jobs[n] for n in waiting]), strict=True)):
            found[name] = copy.deepcopy(self.context.cached_json(keys[name], lambda result=result: result))
            self.context.progress(f"hear {what}", done + 1, len(waiting))
        for name in self.plan.ids:
            wanted = jobs[name].wanted
            if "speaker" in wanted:
                self._same_voice(name, waveforms[name], found[name])
            if "spread" in wanted:
                self._compare_spread(mode, name, waveforms[name], found[name])
            if "wer_whisper" in wanted and self.whisper and name in self.plan.ids[: self.open_wer]:
                self._whispered(self.whisper, name, waveforms[name], found[name])
        if "kad" in metrics:
            if itself:
                self._reference = {name: one["embedding"] for name, one in found.items() if one["embedding"]}
            else:
                self._kernel(found)
        return {name: found[name] for name in self.plan.ids}

    def _measured(self, jobs: Sequence[Job]) -> Iterator[Heard]:
        if self.executor is None or all(QUICK.issuperset(job.wanted) for job in jobs):
            return map(measure, jobs)
        return ordered(self.executor, measure, jobs)

    def fingerprint(self) -> dict[str, Any]:
        """What decides the measurements beside audio and texts."""
        voices = {} if "speaker" in self.missing else {"speaker": speaker.fingerprint()}
        return self.metrics | voices | ({"whisper": self.whisper.fingerprint()} if self.whisper else {})

    def frechet(self, heard: Mapping[str, Heard]) -> dict[str, float]:
        """Fréchet distance of continuations to the recordings, which were heard before: `biased`, as it is usually
        given, and `extrapolated` to infinitely many continuations; nothing of too few for either."""
        reference = np.array(list(self._reference.values()))
        made = np.array([one["embedding"] for one in heard.values() if one["embedding"]])
        if not len(reference) or len(made) <= reference.shape[1]:
            return {}
        found = {"biased": frechet(made, reference)}
        if len(made) >= 2 * (reference.shape[1] + 1):
            seed = int(torch.randint(2**31, (), generator=self.context.generator("frechet")))
            found["extrapolated"] = extrapolated(made, reference, np.random.default_rng(seed))
        return found

    def _job(self, mode: Mode, name: str, waveform: Waveform, metrics: Sequence[str], itself: bool) -> Job:
        # the recording's embedding is what others are held against
        left_out = {m for m in ALIGNED if itself and m != "kad"} | {m for m in SLOW if name not in self.listened}
        wanted = tuple(m for m in metrics if m not in left_out and m not in self.missing)
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

    def _compare_spread(self, mode: Mode, name: str, waveform: Waveform, heard: Heard) -> None:
        """How much more its latents move than those of the recording, both encoded from what is heard."""
        if not len(waveform):
            return
        own, true = self._spread(waveform), self._spread(self.truth(mode, "original")[name])
        if own > 0 and true > 0:
            heard["values"]["spread"] = 10.0 * math.log10(own / true)
        else:
            heard["unscored"]["spread"] = "spread: latents that do not change"

    def _spread(self, waveform: Waveform) -> float:
        """Trace of the latents' covariance over time."""

        @torch.no_grad()
        def make() -> float:
            audio = torch.from_numpy(as_float(waveform)).float()[None, None].to(self.context.device)
            return float(self.context.codec.encode(audio)[0].double().var(0, correction=0).sum())

        return float(self.context.cached_json({"spread": waveform_digest(waveform)}, make))

    def _whispered(self, whisper: Whisper, name: str, waveform: Waveform, heard: Heard) -> None:
        text = self.texts[name]
        if text is None or not len(waveform):
            return
        key = {"whisper": waveform_digest(waveform), "rate": self.rate, "metric": whisper.fingerprint()}
        said = self.context.cached_json(key, lambda: whisper.transcribe(at_metric_rate(waveform, self.rate)))
        count_errors(heard, "wer_whisper", text, said)

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
