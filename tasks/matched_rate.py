"""Bits a second of x at one distortion, for codes and for innovation channels on one axis.

Distortion is the log-mel L1 of what the codec decodes from a reconstruction against what it decodes from x
itself, so that the codec's own error is in neither; `*_mse` is the squared error of x per dimension in training
variances. Targets are fixed by the suite. A curve needs four budgets around the target; nothing is extrapolated.

* codes (support: pmf): the first Q' = 0, 1, 2, … stages of the codec's quantiser, the training mean of x where
  nothing is sent. `codec_rate` counts the symbols that are emitted at the logarithm of their alphabet;
  `codec_code_length` is their ideal code length under the frequencies of the training split
  (Krichevsky–Trofimov), which does not flatter as the entropy of few symbols does.
* innovation (support: density): the KL of the posterior from the submission's own prior, one point a fitted
  model. A submission that holds several gives them by `budgets()`, each with `innovation` and `reconstruct`.

A KL is what an ideal coder with shared randomness needs, symbols are what is sent: no conversion is declared
here, and no column is ranked. `codec_rate_here` puts the codec at the distortion of the submission's own point,
where the two can be read side by side. A state that is computed from the true past counts as known to the
decoder at no cost, which holds for a coder that decodes every x exactly, and flatters any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from bench.config import TaskCard, parameters, task_card
from bench.contract import Context, HasCodes, LatentUtterance, Score, Skipped, Submission, missing_capability
from bench.metrics.distortion import Array
from bench.metrics.rate_distortion import Matched, Support, gaussian_rate, rate_at, same_support
from tasks.decoded import heard, mel_distance

SUPPORTS: dict[str, Support] = {
    "codec_rate": "pmf",
    "codec_code_length": "pmf",
    "codec_rate_here": "pmf",
    "rate": "density",
    "rate_mse": "density",
    "point_rate": "density",
}
OWN = ("rate", "rate_mse", "point_rate", "point_mel", "codec_rate_here")
CODEC = ("codec_rate", "codec_code_length", "codec_rate_here")


@dataclass(frozen=True)
class Config:
    """Targets, and how many minutes of the test split are decoded at every budget."""

    target_mel: Annotated[float, Field(gt=0)] = 0.2
    target_mse: Annotated[float, Field(gt=0)] = 0.25
    minutes: Annotated[float, Field(gt=0)] = 2.0


@dataclass(frozen=True)
class Budgets:
    """What a curve is made of: `rates` in nats per frame, `mel` and `mse`, each (n, Q) over utterances."""

    rates: np.ndarray
    mel: np.ndarray
    mse: np.ndarray


class MatchedRate:
    """Task plug-in `matched_rate`."""

    card: ClassVar[TaskCard] = task_card(__file__)

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """The codec's columns where it has codes, the submission's where it has an innovation channel.

        Raises:
            ValueError: the card ranks a density against a pmf.
        """
        config = parameters(Config, context.parameters, self.card.name)
        same_support(SUPPORTS[c.name] for c in self.card.columns if c.ranked and c.name in SUPPORTS)
        self.context, self.config = context, config
        self.test = spaced(context.latents("test"), 60 * config.minutes * context.codec.info.frame_rate)
        self.weights = np.array([float(len(u.x)) for u in self.test])
        frames = torch.cat([u.x for u in context.latents("train")])
        self.mean, self.spread = frames.mean(0), frames.std(0).clamp(min=1e-6)
        correlation = torch.cov(frames.double().T / self.spread[:, None]).reshape(len(self.spread), -1)
        self.spectrum = torch.linalg.eigvalsh(correlation).clamp(min=0).numpy()[None]
        context.note("support", {**SUPPORTS, "conversion": "none declared: nothing is ranked"})
        context.note("utterances", len(self.test))
        codec = self._codec()
        return [*self._codec_columns(codec), *self._own_columns(submission, codec)]

    # --- codes ---------------------------------------------------------------------------------------------

    def _codec(self) -> tuple[Budgets, np.ndarray] | None:
        """The curve of the codec's stages, and its code lengths (n, Q); one for all submissions."""
        codec = self.context.codec
        if not isinstance(codec, HasCodes) or not codec.info.codebooks:
            return None
        key = {"what": "stages", "utterances": [u.id for u in self.test]}
        found = self.context.cached_json(key, lambda: self._stages(codec, codec.info.codebooks))
        mel, mse, lengths = (np.array([found[u.id][name] for u in self.test]) for name in ("mel", "mse", "nats"))
        sent = np.cumsum(np.log(np.array([1, *codec.info.codebooks], dtype=np.float64)))
        return Budgets(np.tile(sent, (len(mel), 1)), mel, mse), lengths

    def _stages(self, codec: Any, sizes: tuple[int, ...]) -> dict[str, dict[str, list[float]]]:
        device = self.context.device
        counts = [torch.full((size,), 0.5, dtype=torch.float64) for size in sizes]
        for u in self.context.latents("train"):
            codes = codec.codes(u.x[None].to(device))[0].cpu()
            for q, size in enumerate(sizes):
                counts[q] += torch.bincount(codes[:, q], minlength=size)
        nats = [-(count / count.sum()).log() for count in counts]
        out = {}
        with self.context.track("stages of the codec", self.test) as each:
            for u in each:
                x = u.x[None].to(device)
                codes = codec.codes(x)
                original = heard(self.context.codec, x)
                kept = [codec.from_codes(codes[..., : q + 1]) for q in range(len(sizes))]
                pairs = [self._errors(x, y, original) for y in (self.mean.to(x).expand_as(x), *kept)]
                symbols = codes[0].cpu()
                lengths = torch.stack([nats[q][symbols[:, q]].mean() for q in range(len(sizes))]).cumsum(0)
                mel, mse = ([pair[i] for pair in pairs] for i in (0, 1))
                out[u.id] = {"mel": mel, "mse": mse, "nats": [0.0, *lengths.tolist()]}
        return out

    def _codec_columns(self, codec: tuple[Budgets, np.ndarray] | None) -> list[Score | Skipped]:
        if codec is None:
            return [Skipped("the codec has no codes", name) for name in CODEC if name not in OWN]
        curve, lengths = codec
        self._note_curve("codec_curve", curve, lengths)
        at = self.config.target_mel
        return [
            self._matched("codec_rate", curve.rates, curve.mel, at),
            self._matched("codec_code_length", lengths, curve.mel, at),
        ]

    # --- the submission's innovation channel ---------------------------------------------------------------

    def _own_columns(self, submission: Any, codec: tuple[Budgets, np.ndarray] | None) -> list[Score | Skipped]:
        if missing := missing_capability(submission, ["innovation", "reconstruct"]):
            return [Skipped(f"needs {missing}", name) for name in OWN]
        models = list(submission.budgets()) if hasattr(submission, "budgets") else [submission]
        curve = self._budgets(models)
        self._note_curve("own_curve", curve, None)
        point = curve if len(models) == 1 else self._budgets([submission])
        return [
            self._matched("rate", curve.rates, curve.mel, self.config.target_mel),
            self._matched("rate_mse", curve.rates, curve.mse, self.config.target_mse),
            self._score("point_rate", point.rates[:, 0]),
            self._score("point_mel", point.mel[:, 0]),
            self._codec_here(codec, point.mel[:, 0]),
        ]

    def _budgets(self, models: Sequence[Any]) -> Budgets:
        rows = []
        with self.context.track("own reconstructions", self.test) as each:
            for u in each:
                x = u.x[None].to(self.context.device)
                original = heard(self.context.codec, x)
                row = []
                for model in models:
                    rate = model.innovation(x, self.context.generator("innovation", u.id))
                    y = model.reconstruct(x, "posterior", self.context.generator("posterior", u.id))
                    row.append((float((rate.kl_rec + rate.kl_dyn).mean()), *self._errors(x, y, original)))
                rows.append(row)
        rates, mel, mse = np.moveaxis(np.array(rows), -1, 0)
        return Budgets(rates, mel, mse)

    def _codec_here(self, codec: tuple[Budgets, np.ndarray] | None, mel: np.ndarray) -> Score | Skipped:
        """The codec's emitted rate at the submission's mean distortion, with the sampling error of both."""
        if codec is None:
            return Skipped("the codec has no codes", "codec_rate_here")
        here = float(np.average(mel, weights=self.weights))
        found = rate_at(codec[0].rates, codec[0].mel, self.weights, here)
        if not isinstance(found, Matched):
            return Skipped(found.reason, "codec_rate_here")
        return self._score("codec_rate_here", found.values + found.slope * (mel - here))

    # --- both ----------------------------------------------------------------------------------------------

    def _matched(self, column: str, rates: np.ndarray, distortions: np.ndarray, target: float) -> Score | Skipped:
        found = rate_at(rates, distortions, self.weights, target)
        return self._score(column, found.values) if isinstance(found, Matched) else Skipped(found.reason, column)

    def _score(self, column: str, values: np.ndarray) -> Score:
        ids = [u.id for u in self.test]
        as_given = {i: float(v) for i, v in zip(ids, values, strict=True)}
        return Score(column, as_given, {i: float(w) for i, w in zip(ids, self.weights, strict=True)})

    def _errors(self, x: Tensor, y: Tensor, original: Array) -> tuple[float, float]:
        """Log-mel L1 and squared error."""
        return mel_distance(original, heard(self.context.codec, y)), float((((y - x).cpu() / self.spread) ** 2).mean())

    def _note_curve(self, name: str, curve: Budgets, lengths: np.ndarray | None) -> None:
        """The mean curve, in nats per frame, and beside it R(D) of a memoryless Gaussian of the same covariance:
        a reference for how much of the rate the shape and the past of x could save, not a bound from below."""
        mean: Mapping[str, np.ndarray] = {
            n: np.average(v, axis=0, weights=self.weights)
            for n, v in {"rate": curve.rates, "mel": curve.mel, "mse": curve.mse}.items()
        }
        rows = [{n: round(float(v[q]), 5) for n, v in mean.items()} for q in range(curve.rates.shape[1])]
        for q, row in enumerate(rows):
            if lengths is not None:
                row["code_length"] = round(float(np.average(lengths[:, q], weights=self.weights)), 5)
            if row["mse"] > 0:
                row["gaussian_rate"] = round(gaussian_rate(self.spectrum, row["mse"]), 5)
        self.context.note(name, rows)


def spaced(utterances: Sequence[LatentUtterance], frames: float) -> list[LatentUtterance]:
    """Every s-th utterance, with the least s at which they have at most `frames` frames; at least the first."""
    for every in range(1, len(utterances)):
        chosen = list(utterances[::every])
        if sum(len(u.x) for u in chosen) <= frames:
            return chosen
    return list(utterances[:1])
