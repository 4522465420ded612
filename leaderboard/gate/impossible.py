"""Values that no measurement gives: a record that holds one is wrong, whatever it is compared with.

The rules are data. A stranger's task under another name is held to none of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from bench.record import ColumnValues, Record
from bench.stats import aggregate, arrays, interval, student
from leaderboard.gate.change import where

Bound = float | Callable[[Record], float | None] | None
CHANCE = 1e-4
"""How seldom a column whose truth lies on a bound may be called beyond it, where sampling can carry it there."""
ROUNDING = 1e-3
"""What floating-point arithmetic may add to a bound, in the column's unit."""


@dataclass(frozen=True)
class Rule:
    """Bounds of the columns of `task` whose names match `column` (both may hold `*`), in the record's unit.

    Attributes:
        of: "each" utterance, the "aggregate" of the column, or whether the truth lies "surely" beyond: by more than
            sampling explains.
        low, high: the bounds, or functions of the record that give them or None where there is none.
    """

    task: str
    column: str
    low: Bound
    high: Bound
    why: str
    of: Literal["each", "aggregate", "surely"] = "each"


def _raw(first: int, last: int | None) -> Callable[[Record], float | None]:
    """Nats a frame that a code of fixed length needs for these codebooks; None of a codec without codes."""

    def bound(record: Record) -> float | None:
        sizes = record.codec.codebooks[first:last]
        return math.fsum(math.log(size) for size in sizes) if sizes else None

    return bound


SHARE = "a share lies in [0, 1]"
PROPORTION = "a count over another lies at or above 0"
PMF = "a trained pmf needs no more than the raw bit rate of the codec's codebooks: a code of fixed length does as well"
NOT_NEGATIVE = "a rate, a divergence or a code length is not negative"

RULES: Sequence[Rule] = (
    Rule("*", "*pesq", -0.5, 4.65, "PESQ lies in [-0.5, 4.64], ITU-T P.862 and P.862.2"),
    Rule("*", "*stoi", -1.0, 1.0, "STOI is a mean of correlations"),
    Rule("*", "*_speaker", -1.0, 1.0, "a cosine lies in [-1, 1]"),
    Rule("*", "*si_sdr", -100.0, 100.0, "SI-SDR is limited to ±100 dB"),
    Rule("*", "*wer_*", 0.0, None, PROPORTION),
    Rule("*", "*cer_*", 0.0, None, PROPORTION),
    Rule("*", "*voicing_error", 0.0, 1.0, SHARE),
    Rule("generation", "*_silence", 0.0, 1.0, SHARE),
    Rule("generation", "text_capped", 0.0, 1.0, SHARE),
    Rule("delta_nll", "catastrophic_*", 0.0, 1.0, SHARE),
    Rule("rollout_gap", "catastrophic", 0.0, 1.0, SHARE),
    Rule("rollout_gap", "collapsed", 0.0, 1.0, SHARE),
    Rule("codec_predictability", "recurrence*", 0.0, 1.0, SHARE),
    Rule("codec_predictability", "nce_accuracy_*", 0.0, 1.0, SHARE),
    Rule("*", "*mel", 0.0, None, "a distance is not negative", of="aggregate"),
    Rule("code_rate", "rate*", 0.0, None, NOT_NEGATIVE),
    Rule("code_rate", "unigram", 0.0, None, NOT_NEGATIVE),
    Rule("code_rate", "rate", None, _raw(0, None), PMF, of="aggregate"),
    Rule("code_rate", "rate_first", None, _raw(0, 1), PMF, of="aggregate"),
    Rule("code_rate", "rate_rest", None, _raw(1, None), PMF, of="aggregate"),
    Rule("matched_rate", "codec_rate*", None, _raw(0, None), PMF, of="aggregate"),
    Rule("matched_rate", "codec_code_length", None, _raw(0, None), PMF, of="aggregate"),
    Rule("matched_rate", "*rate*", 0.0, None, NOT_NEGATIVE, of="aggregate"),
    Rule("matched_rate", "codec_code_length", 0.0, None, NOT_NEGATIVE, of="aggregate"),
    Rule("innovation_rate", "rate*", 0.0, None, NOT_NEGATIVE, of="aggregate"),
    Rule(
        *("rollout_gap", "gap_sampled_*", 0.0, None),
        "the true frame cannot be likelier after a rolled-out prefix than after the true one",
        of="surely",
    ),
    Rule(
        *("rollout_gap", "gap_mean_*", 0.0, None),
        "the true frame cannot be likelier after a rolled-out prefix than after the true one",
        of="surely",
    ),
)


def broken(record: Record, rules: Sequence[Rule] = RULES) -> list[str]:
    """Every rule that a record breaks, a line each."""
    speakers = {u: entry.speaker for u, entry in record.dataset.utterances.items()}
    return [
        f"{where(record.key, task, name)}: impossible value: {said}; {rule.why}"
        for task, entry in record.tasks.items()
        for name, values in entry.columns.items()
        for rule in rules
        if values.values and fnmatchcase(task, rule.task) and fnmatchcase(name, rule.column)
        for said in _beyond(rule, record, values, speakers)
    ]


def _beyond(rule: Rule, record: Record, values: ColumnValues, speakers: Mapping[str, str]) -> Iterator[str]:
    low, high = _bound(rule.low, record), _bound(rule.high, record)
    if rule.of == "each":
        numbers, slack = values.values, 1e-6
    else:
        v, w = arrays(sorted(values.values), values.values, values.weights)
        numbers, slack = {"": aggregate(v, w, values.column.aggregate)}, ROUNDING
        if rule.of == "surely":
            found = interval(values.values, speakers, values.weights, values.column.aggregate)
            if found.n < 2:
                return
            slack += student(found.n, 1 - CHANCE) * found.error
    for sign, bound, word in ((1.0, high, "at most"), (-1.0, low, "at least")):
        if bound is None:
            continue
        beyond = {i: x for i, x in numbers.items() if sign * (x - bound) > slack}
        if beyond:
            first = min(beyond)
            of = f"{len(beyond)} utterances, first {first!r}" if rule.of == "each" else f"the {values.column.aggregate}"
            yield f"{of}: {beyond[first]:.4g}, expected {word} {bound:.4g}"


def _bound(bound: Bound, record: Record) -> float | None:
    return bound(record) if callable(bound) else bound
