"""What a listener hears of a model: continuations, resampled innovations, spoken texts, and what they are held against.

Modes: `tasks.generation_modes`. A column `<mode>_<metric>` is the submission's. `<mode>_<route>_<metric>` is
what it is held against, the same for every row: `original`, the recording; `codec`, its resynthesis, which no model
beats but by saying something else; `marginal`, training frames without order, which every model should beat. Routes of
whole utterances begin with `whole`, and are for `resampled` and `text` alike.

Each metric's unit and direction is in the card, its definition in `bench.metrics`:

* `kad`: 1000 × the unbiased squared maximum mean discrepancy (`bench.metrics.paired_mmd`) between embeddings of the
  continuations and of what was really said; an utterance's value is its contribution, and the mean of these is the
  estimate. It is 0 in the mean for one law and may be below.
* `wer_open`, `wer_closed`: Σ errors / Σ words by the general recogniser and by the dataset's closed grammar;
  `wer_whisper`, where weights of Whisper are named; `cer_open`: Σ errors / Σ characters of the general recogniser.
* `speaker`: cosine of speaker embeddings with another recording of the voice. Short utterances lower it for everybody.
* `f0_shift`: how far the mean pitch is from that of the voice, semitones.
* `silence`, `loop`, `level_slope`, `pace`, `pace_slope`: signs of collapse (`bench.metrics.audio_collapse`,
  `bench.metrics.pace`); natural speech is not at 0 either, so read them beside `codec`.
* `spread`: 10 log10 of the variance over time of the latents of what is heard over that of the recording's, both
  encoded without what came before; far below 0 is a model that has settled, far above one that has come apart.
* `capped`: a spoken text that was stopped because it did not end.

What has no value per utterance is noted: for every set of whole utterances the self-overlap of the transcripts that the
general recogniser heard (VERT), to be read beside that of the recordings, since transcripts of one grammar overlap;
for every set of continuations the Fréchet distance to the recordings (`bench.metrics.frechet`), and its limit in 1/n.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast

import torch
from pydantic import Field

from bench.config import TaskCard, parameters, task_card
from bench.contract import Context, RowContext, Score, Skipped, Submission, missing_capability
from bench.errors import DataError
from bench.metrics import diversity
from bench.metrics.diversity import vert
from bench.metrics.intelligibility import normalise
from bench.outputs import Waveform
from bench.workers import pool
from tasks.generation_hearing import ALIGNED, Hearing
from tasks.generation_modes import MODES, Mode, Plan, Route, plan
from tasks.generation_scores import Heard

METRICS: dict[Mode, tuple[str, ...]] = {
    "continuation": ("kad", "dnsmos", "p808", "speaker", "f0_shift", "silence", "loop", "level_slope", "pace",
                     "pace_slope", "spread"),
    "resampled": ("wer_open", "wer_closed", "cer_open", "wer_whisper", "dnsmos", "speaker", "mel", "mcd", "f0_error",
                  "voicing_error"),
    "text": ("wer_open", "wer_closed", "cer_open", "wer_whisper", "dnsmos", "speaker", "f0_shift", "silence", "capped"),
}  # fmt: skip
ROUTES: tuple[Route, ...] = ("original", "codec", "marginal")
SHARED: dict[Mode, str] = {"continuation": "continuation", "resampled": "whole"}
"""Modes whose routes are measured, and how their columns begin."""


@dataclass(frozen=True)
class Config:
    """`utterances`: how many are continued. `listened`: of these so many are resampled, spoken, and given to the slow
    metrics of continuations. `prompt_s`, `continue_s`: of a continuation. `text_cap`: how many times as long as its
    recording a spoken text may be. `open_wer`: how many the general recogniser hears. `whisper`: weights of Whisper, a
    name or a path, which then hears as many; "": it does not. `kept`: how many of each mode lie beside the record."""

    utterances: Annotated[int, Field(ge=2)] = 160
    listened: Annotated[int, Field(ge=2)] = 48
    prompt_s: Annotated[float, Field(gt=0)] = 3.0
    continue_s: Annotated[float, Field(gt=0)] = 3.0
    text_cap: Annotated[float, Field(ge=1)] = 2.0
    open_wer: Annotated[int, Field(ge=0)] = 32
    whisper: str = ""
    kept: Annotated[int, Field(ge=0)] = 4


class Generation:
    """Task plug-in `generation`."""

    card: ClassVar[TaskCard] = task_card(__file__)

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """Columns of every mode that the submission offers; the others are skipped with the capability's name, and
        those of a metric whose package or weights are not here with what to install.

        Raises:
            DataError: no utterance is long enough.
            PluginError: a mode of which nothing finite came.
        """
        config = parameters(Config, context.parameters, self.card.name)
        row = cast(RowContext, context)
        chosen = plan(row, config.utterances, config.prompt_s, config.continue_s, config.text_cap)
        if len(chosen.ids) < 2:
            needed = config.prompt_s + config.continue_s
            raise DataError(f"generation: expected at least 2 test utterances of {needed:g} s, got {len(chosen.ids)}")
        context.note("utterances", chosen.ids)
        with pool() as executor:
            return _Scoring(config, chosen, row, executor).columns(submission)


def overlap(transcripts: Sequence[str]) -> dict[str, Any]:
    """VERT of the transcripts that are long enough for it: `texts` of them, `left_out`, and `vert` of two or more."""
    long = [text for text in transcripts if len(normalise(text).split()) >= diversity.ORDER]
    said: dict[str, Any] = {"texts": len(long), "left_out": len(transcripts) - len(long)}
    return said | ({"vert": vert(long)} if len(long) > 1 else {})


class _Scoring:
    """Generates, scores, and turns both into columns."""

    def __init__(self, config: Config, chosen: Plan, context: RowContext, executor: Executor | None) -> None:
        self.config, self.context = config, context
        self.whole = chosen.first(config.listened)
        whole = Hearing(self.whole, context, None, config.open_wer, config.whisper, executor)
        self.hearings: dict[Mode, Hearing] = {
            "continuation": Hearing(chosen, context, config.listened, executor=executor),
            "resampled": whole,
            "text": whole,
        }

    def columns(self, submission: Any) -> list[Score | Skipped]:
        out = list[Score | Skipped]()
        self.context.note("metrics", self.hearings["resampled"].fingerprint() | {"vert": diversity.fingerprint()})
        for mode, name in SHARED.items():
            hearing = self.hearings[mode]
            for route in ROUTES:
                what, itself = f"{name}_{route}", route == "original"
                heard = hearing.heard(what, mode, hearing.truth(mode, route), METRICS[mode], itself)
                out += self._scores(what, mode, heard, itself)
        kept: dict[str, Mapping[str, Waveform]] = {}
        for mode, need in MODES.items():
            if missing_capability(submission, [need]):
                reason = f"needs {need}, which the submission does not offer"
                out += [Skipped(reason, f"{mode}_{metric}") for metric in METRICS[mode]]
                continue
            hearing = self.hearings[mode]
            kept[mode] = hearing.made(mode, submission)
            heard = hearing.heard(mode, mode, kept[mode], METRICS[mode])
            if mode == "text":
                self._count_capped(kept[mode], heard)
            out += self._scores(mode, mode, heard)
        kept |= {route: self.hearings["resampled"].truth("resampled", route) for route in ("original", "codec")}
        few = self.whole.ids[: self.config.kept]
        self.context.keep({mode: {i: torch.from_numpy(made[i]) for i in few} for mode, made in kept.items()})
        return out

    def _count_capped(self, waveforms: Mapping[str, Waveform], heard: Mapping[str, Heard]) -> None:
        for name, waveform in waveforms.items():
            cap = self.whole.capped[name] * self.context.codec.info.hop
            heard[name]["values"]["capped"] = float(len(waveform) >= cap)

    def _scores(
        self, prefix: str, mode: Mode, heard: Mapping[str, Heard], itself: bool = False
    ) -> list[Score | Skipped]:
        self._note(prefix, heard)
        ids, out = list(heard), list[Score | Skipped]()
        for metric in METRICS[mode]:
            column = f"{prefix}_{metric}"
            values = {i: heard[i]["values"][metric] for i in ids if metric in heard[i]["values"]}
            unscored = {i: heard[i]["unscored"][metric] for i in ids if metric in heard[i]["unscored"]}
            weights = {i: heard[i]["weights"][metric] for i in values if metric in heard[i]["weights"]}
            if not values and not unscored:
                out.append(Skipped(self._why_not(metric, itself), column))
            else:
                out.append(Score(column, values, weights or None, unscored))
        return out

    def _note(self, prefix: str, heard: Mapping[str, Heard]) -> None:
        """How much the transcripts of a set overlap, where the general recogniser heard any, and how far continuations
        are from recordings as a Gaussian."""
        if prefix.startswith("continuation") and prefix != "continuation_original":
            self.context.note(f"frechet_{prefix}", self.hearings["continuation"].frechet(heard))
        if any(one["transcript"] for one in heard.values()):
            self.context.note(f"vert_{prefix}", overlap([one["transcript"] for one in heard.values()]))

    def _why_not(self, metric: str, itself: bool) -> str:
        """Why no utterance has a metric."""
        if itself and metric in ALIGNED:
            return "the recording against itself"
        if metric == "wer_closed" and self.context.dataset.grammar is None:
            return "the dataset has no grammar"
        if metric in (missing := self.hearings["resampled"].missing):
            return missing[metric]
        if metric in ("wer_open", "cer_open", "wer_whisper") and not self.config.open_wer:
            return "open_wer is 0"
        return "the dataset has no transcripts" if metric.startswith(("wer", "cer")) else "too few that could be scored"
