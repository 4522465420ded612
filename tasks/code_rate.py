"""How many nats a model needs for a codec's codes, and how much of what an order-free code needs that saves.

A model's rate is the cross-entropy of the test codes, −Σ_q ln p(q_t | codes before it) a frame; an arithmetic coder
reaches it to within two bits an utterance. Beside it stands what a code needs that knows nothing but each stage's
frequencies: those of the training codes with one count added to every entry, so that an entry which training lacks
is no infinity. The gain is the difference; it is 0 where there is nothing to predict.

These are probabilities of codes. What they say is not comparable with a density over x, and is ranked apart from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from bench.config import TaskCard, task_card
from bench.contract import Context, HasCodeLogProb, HasCodes, Score, Skipped, Submission
from bench.errors import PluginError

STAGED = ("rate_first", "rate_rest", "gain_first", "gain_rest")
CODED_AT_ONCE = 4096
"""Frames."""
CERTAIN = 1e-4
"""How far above 0 rounding may lift the logarithm of a probability."""


class CodeRate:
    """Task plug-in `code_rate`."""

    card: ClassVar[TaskCard] = task_card(__file__)

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """Needs `code_log_prob`.

        Raises:
            PluginError: probabilities of another number of stages than the codec's, or above one.
        """
        codec, sizes = context.codec, context.codec.info.codebooks
        if not isinstance(codec, HasCodes) or not sizes:
            return [Skipped(f"the codec {codec.info.name} has no codes")]
        assert isinstance(submission, HasCodeLogProb)
        baseline = unigram(counted(codec, context))
        test, rates, costs = context.latents("test"), {}, {}
        with context.track("codes", test) as utterances:
            for u in utterances:
                x = u.x[None].to(context.device)
                rates[u.id] = -_log_prob(submission, x, len(sizes), context.generator(u.id)).mean(0)
                costs[u.id] = -looked_up(baseline, codec.codes(x)[0].cpu()).mean(0)
        frames = {u.id: float(len(u.x)) for u in test}
        for name, found in (("rate", rates), ("unigram", costs)):
            total = sum(frames[i] * stages for i, stages in found.items()) / sum(frames.values())
            context.note(f"{name}_by_stage_nats", [round(float(v), 5) for v in total])
        context.note("fixed_length_nats", float(torch.tensor(sizes, dtype=torch.float64).log().sum()))
        gains = {i: costs[i] - rates[i] for i in rates}
        out: list[Score | Skipped] = []
        for what, found in (("rate", rates), ("unigram", costs), ("gain", gains)):
            for part, stages in (("", slice(None)), ("_first", slice(1)), ("_rest", slice(1, None))):
                if not part or what != "unigram":
                    values = {i: float(v[stages].sum()) for i, v in found.items()}
                    out.append(Score(what + part, values, frames))
        if len(sizes) > 1:
            return out
        whole = [score for score in out if score.column not in STAGED]
        return [*whole, *(Skipped("the codec has one codebook", name) for name in STAGED)]


def counted(codec: HasCodes, context: Context) -> list[Tensor]:
    """How often each entry (V_q,) of a stage occurs in the training codes."""
    sizes = context.codec.info.codebooks

    def make() -> dict[str, Tensor]:
        frames = torch.cat([u.x for u in context.latents("train")])
        counts = [torch.zeros(size, dtype=torch.int64) for size in sizes]
        for part in frames.split(CODED_AT_ONCE):
            codes = codec.codes(part[None].to(context.device))[0].cpu()
            for q, size in enumerate(sizes):
                counts[q] += torch.bincount(codes[:, q], minlength=size)
        return {str(q): count for q, count in enumerate(counts)}

    found = context.cached_tensors({"what": "counts of codes"}, make)
    return [found[str(q)] for q in range(len(sizes))]


def unigram(counts: Sequence[Tensor]) -> list[Tensor]:
    """Add-one smoothed log-frequencies (V_q,) of counts (V_q,)."""
    return [((count + 1.0) / (count.sum() + len(count))).log() for count in counts]


def looked_up(log_p: Sequence[Tensor], codes: Tensor) -> Tensor:
    """ln p of codes (T, Q) under tables (V_q,): (T, Q)."""
    return torch.stack([table[codes[:, q]] for q, table in enumerate(log_p)], -1)


def _log_prob(submission: HasCodeLogProb, x: Tensor, stages: int, generator: torch.Generator) -> Tensor:
    """Checked, (T, Q) on the CPU."""
    log_p = submission.code_log_prob(x, generator)[0].cpu()
    if log_p.shape[1] != stages:
        raise PluginError(f"code_log_prob must be of the codec's {stages} stages, got {log_p.shape[1]}")
    if float(log_p.max()) > CERTAIN:
        raise PluginError(f"code_log_prob must be at most 0, got {float(log_p.max()):.4g}")
    return log_p
