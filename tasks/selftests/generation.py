"""Generation: what is heard of the truth, of silence, of noise and of other words, on recordings of the corpus; planted
signals and kernel distances are in the modules beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.calibration.check import Check, Measured
from bench.calibration.lab import HOP, SAMPLE_RATE
from bench.contract import LatentUtterance, RowContext, Score, Skipped, Source
from bench.errors import BenchError
from bench.metrics.intelligibility import normalise
from bench.seeding import generator
from tasks.generation import METRICS, SHARED, Generation
from tasks.generation_hearing import Hearing
from tasks.generation_modes import Mode, plan
from tasks.selftests import generation_kernel, generation_signals
from tasks.selftests.rows import Framing, Recordings, RowLab, Truth, embedded_corpus, here

PROMPT_S, AHEAD_S, CAP = 1.2, 1.04, 1.5
SNR_DB = (30.0, 10.0, -10.0)
SIGNS = ("silence", "loop", "level_slope")


def checks() -> list[Check]:
    corpus = "recordings of synthspeech, a codec that loses nothing"
    return [
        Check("generation: kernel distance", "Gaussian embeddings", "fast", generation_kernel.gaussian),
        Check("generation: kernel distance of clips", "modulated noise", "full", generation_kernel.clips),
        Check("generation: signs of collapse", "random signs at known levels", "fast", generation_signals.collapse),
        Check("generation: distances", "noise and pulses, filtered", "fast", generation_signals.distances),
        Check("generation: pitch", "pulse trains", "fast", generation_signals.pitches, (0,)),  # type: ignore[arg-type]
        Check("generation: truth, silence, other words", corpus, "fast", _base, (0,)),
        Check("generation: noise", corpus, "full", _noise),
        Check("generation: every column of the truth", corpus, "full", _columns, (0,)),  # type: ignore[arg-type]
    ]


# --- submissions -------------------------------------------------------------------------------------------


class Mute(Truth):
    """Says nothing."""

    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        return torch.zeros(len(prompt), draws, frames, prompt.shape[2])

    def reconstruct(self, x: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        return torch.zeros_like(x)


class Noisy(Truth):
    """The recording with white noise at `snr_db`, the same noise at every level."""

    def __init__(self, latents: Sequence[LatentUtterance], snr_db: float, seed: int) -> None:
        super().__init__(latents)
        self.snr_db, self.seed = snr_db, seed

    def reconstruct(self, x: Tensor, source: Source, generator_: torch.Generator) -> Tensor:
        noise = torch.randn(x.shape, generator=generator(self.seed, "noise"))
        return x + noise * x.square().mean().sqrt() * 10 ** (-self.snr_db / 20)


class Reader(Truth):
    """Reads texts aloud, by the recordings: each text is answered with that of `says`, the first one without end."""

    def __init__(self, latents: Sequence[LatentUtterance], texts: Mapping[str, str], says: Mapping[str, str]) -> None:
        super().__init__(latents)
        self.texts, self.says = texts, says

    def speak(
        self, texts: Sequence[str], references: Sequence[Tensor], frames: int, generator: torch.Generator
    ) -> list[Tensor]:
        del references, generator
        (text,) = texts
        asked = next(name for name, one in self.texts.items() if one == text)
        x = next(u.x for u in self.latents if u.id == self.says[asked])[:frames]
        return [F.pad(x, (0, 0, 0, frames - len(x))) if asked == self.latents[0].id else x]


# --- on recordings -----------------------------------------------------------------------------------------


def _recordings(count: int) -> Recordings:
    """The first `count` test utterances of each of two voices, filled with zeros to whole frames: DNSMOS repeats what
    is short, so that it changes with a length."""
    corpus = embedded_corpus()
    every = list(corpus.utterances("test"))
    voices = list(dict.fromkeys(u.speaker for u in every))[:2]
    chosen = [u for voice in voices for u in [u for u in every if u.speaker == voice][:count]]
    audio = {u: corpus.audio(u, SAMPLE_RATE) for u in chosen}
    return Recordings({u: np.pad(x, (0, -len(x) % HOP)) for u, x in audio.items()}, corpus.grammar)


def _context(recordings: Recordings, seed: int = 0) -> RowLab:
    count = len(recordings.utterances("test"))
    given = {"utterances": count, "prompt_s": PROMPT_S, "continue_s": AHEAD_S, "text_cap": CAP, "open_wer": 0}
    return RowLab(Generation.card, recordings.latents(), Framing(), given, recordings, seed=seed)


class _Heard:
    """Values by metric and utterance of what submissions generate, and of the recordings."""

    def __init__(self, context: RowLab) -> None:
        row = cast(RowContext, context)
        self.hearing = Hearing(plan(row, len(row.latents("test")), PROMPT_S, AHEAD_S, CAP), row)

    def of(self, mode: Mode, submission: Any, *metrics: str) -> dict[str, dict[str, float]]:
        """`submission`: None for the recordings."""
        itself = submission is None
        made = self.hearing.truth(mode, "original") if itself else self.hearing.made(mode, submission)
        found = self.hearing.heard("", mode, made, metrics, itself)
        return {m: {i: h["values"][m] for i, h in found.items() if m in h["values"]} for m in metrics}

    def errors(self, mode: Mode, submission: Any) -> float:
        """Σ errors / Σ words under the corpus's grammar, as a table computes it from values and weights."""
        made = self.hearing.truth(mode, "original") if submission is None else self.hearing.made(mode, submission)
        found = self.hearing.heard("", mode, made, ("wer_closed",), submission is None).values()
        weights = [h["weights"]["wer_closed"] for h in found]
        return sum(w * h["values"]["wer_closed"] for w, h in zip(weights, found, strict=True)) / sum(weights)


def _base(seed: int) -> Sequence[Measured]:
    """What needs no extra."""
    recordings = _recordings(2)
    context = _context(recordings, seed)
    latents = context.latents("test")
    with here():
        heard = _Heard(context)
        truth, mute = Truth(latents), Mute(latents)
        own = heard.of("continuation", None, "kad", *SIGNS)
        same = heard.of("continuation", truth, "kad", *SIGNS)
        rows = [
            Measured(f"{m} of the truth less the recording's", "1", _apart(same[m], own[m]), 0.0, 1e-9) for m in SIGNS
        ]
        rows.append(Measured("kernel distance of the truth", "1", _largest(same["kad"]), 0.0, 0.0))
        again = heard.of("resampled", truth, "mel", "mcd")
        rows += [Measured(f"{m} of the truth", "1", _largest(again[m]), 0.0, 1e-9) for m in ("mel", "mcd")]
        silent = heard.of("continuation", mute, "silence", "kad")
        rows += [
            Measured("silence of silence", "share", min(silent["silence"].values()), 1.0, 0.0),
            Measured("kernel distances that silence has", "1", float(len(silent["kad"])), 0.0, 0.0),
            Measured("WER of the recordings", "share", heard.errors("resampled", None), 0.0, 0.0),
            Measured("WER of the truth", "share", heard.errors("resampled", truth), 0.0, 0.0),
            Measured("WER of silence", "share", heard.errors("resampled", mute), 1.0, 0.0),
        ]
        texts = {u.id: u.text or "" for u in recordings.utterances("test")}
        ids = list(texts)
        says = dict(zip(ids, [*ids[1:], ids[0]], strict=True))
        words = {i: normalise(text).split() for i, text in texts.items()}
        errors = sum(_edits(words[i], words[says[i]]) for i in ids)
        expected = errors / sum(map(len, words.values()))
        wrong = heard.errors("text", Reader(latents, texts, says))
        right = heard.errors("text", Reader(latents, texts, {i: i for i in ids}))
    rows.append(Measured("WER of the texts spoken", "share", right, 0.0, 0.0))
    return [*rows, Measured("WER of the next one's text spoken", "share", wrong, expected, 1e-9)]


def _apart(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """Largest difference; infinite where they are not of the same utterances."""
    return max(abs(a[i] - b[i]) for i in a) if a and a.keys() == b.keys() else float("inf")


def _largest(values: Mapping[str, float]) -> float:
    return max(map(abs, values.values()), default=float("inf"))


def _edits(reference: Sequence[str], said: Sequence[str]) -> int:
    """Levenshtein's distance in words."""
    row = list(range(len(said) + 1))
    for i, word in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(said, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def _noise(seed: int) -> Sequence[Measured]:
    """Every step of noise moves every utterance further away, and words go from none lost to all."""
    context = _context(_recordings(2), seed)
    latents = context.latents("test")
    with here():
        heard = _Heard(context)
        models = [Truth(latents), *(Noisy(latents, snr, seed) for snr in SNR_DB)]
        found = [heard.of("resampled", model, "mel", "mcd") for model in models]
        errors = [heard.errors("resampled", model) for model in models]
    rows = []
    for metric in ("mel", "mcd"):
        ladder = np.array([list(one[metric].values()) for one in found])
        falls = float((np.diff(ladder, axis=0) <= 0).sum())
        rows.append(Measured(f"{metric}: utterances that a step of noise does not move away", "1", falls, 0.0, 0.0))
    falls = float((np.diff(errors) < 0).sum())
    return [
        *rows,
        Measured("WER: steps of noise by which it falls", "1", falls, 0.0, 0.0),
        Measured("WER without noise", "share", errors[0], 0.0, 0.0),
        Measured(f"WER at {SNR_DB[-1]:g} dB", "share", errors[-1], 1.0, 0.0),
    ]


def _columns(seed: int) -> Sequence[Measured] | Skipped:
    """The task as a whole: what the truth scores in each column, whichever there are, and where silence has none."""
    recordings = _recordings(1)
    context = _context(recordings, seed)
    latents, texts = context.latents("test"), {u.id: u.text or "" for u in recordings.utterances("test")}
    truth = Reader(latents, texts, {i: i for i in texts})
    try:
        with here():
            found = _scores(truth, context)
            mute = _scores(Mute(latents), context)
    except BenchError as error:
        return Skipped(str(error))
    rows = []
    for mode, held in SHARED.items():
        for metric in METRICS[mode]:
            values, own = found.get(f"{mode}_{metric}"), found.get(f"{held}_original_{metric}")
            if values is None:
                continue
            # what has no value for the recording is held against it, and 0
            what, far = (" less the recording's", _apart(values, own)) if own else ("", _largest(values))
            rows.append(Measured(f"{mode} {metric}{what}", "1", far, 0.0, 1e-6))
    if capped := found.get("text_capped"):
        rows.append(Measured("text_capped, one of two without end", "share", sum(capped.values()) / 2, 0.5, 0.0))
    scored = sum(bool(mute.get(f"continuation_{m}")) for m in ("dnsmos", "p808", "kad", "speaker", "f0_shift", "loop"))
    return [*rows, Measured("columns that silence has and should not", "1", float(scored), 0.0, 0.0)]


def _scores(submission: Any, context: RowLab) -> dict[str, Mapping[str, float]]:
    """Column → values, of columns that are no answer in words."""
    found = Generation().score(submission, context)  # type: ignore[arg-type]
    return {s.column: s.values for s in found if isinstance(s, Score)}
