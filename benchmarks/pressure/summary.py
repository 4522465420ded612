"""From the values in the JSON to estimates with intervals. Nothing is trained or measured here, and no torch loaded.

A value of an utterance is its mean over seeds; intervals are `bench.stats`'s, over speakers where there are 20 and
otherwise over utterances. They know nothing of the seeds of training, so that the values of the seeds stand beside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import BenchError
from bench.stats import Interval, interval

SCHEMA = 1
BITS = 12.5 / math.log(2)
"""bit/s for one nat per frame."""
Values = dict[str, float]


@dataclass(frozen=True)
class Results:
    """The JSON."""

    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Results:
        """Raises BenchError: no file, not JSON, or another schema."""
        import json

        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BenchError(f"{path}: expected the JSON of benchmarks.pressure: {error}") from error
        if content.get("schema") != SCHEMA:
            raise BenchError(f"{path}: expected schema {SCHEMA}, got {content.get('schema')}")
        return cls(content)

    @property
    def corpora(self) -> list[str]:
        return list(self.content["corpora"])

    @property
    def variants(self) -> list[str]:
        """In the order of the protocol, those that were run."""
        run = {r["variant"] for r in self.content["runs"]}
        return [v for v in self.content["variants"] if v in run]

    def family(self, variant: str) -> str:
        return str(self.content["variants"][variant]["family"])

    def target(self, corpus: str) -> float:
        """The distortion at which variants are compared."""
        return float(self.content["protocol"]["measured_with"]["targets"][corpus])

    def runs(self, variant: str) -> list[Mapping[str, Any]]:
        """One a seed."""
        return [r for r in self.content["runs"] if r["variant"] == variant]

    def seeds(self, variant: str) -> list[int]:
        return [int(r["seed"]) for r in self.runs(variant)]

    def of_seeds(self, variant: str, corpus: str, column: str) -> list[Values]:
        """Utterance → value, a seed at a time; empty where a seed has no such column."""
        names = self.content["corpora"][corpus]["utterances"]
        found = []
        for run in self.runs(variant):
            values = run["corpora"][corpus]["values"].get(column)
            if values is None:
                return []
            found.append({n: float(v) for n, v in zip(names, values, strict=True) if v is not None})
        return found

    def values(self, variant: str, corpus: str, column: str) -> Values | None:
        """Means over seeds of the utterances that all seeds have; None where there is no such column."""
        found = self.of_seeds(variant, corpus, column)
        if not found:
            return None
        return {i: float(np.mean([v[i] for v in found])) for i in found[0] if all(i in v for v in found)}

    def speakers(self, corpus: str) -> dict[str, str]:
        entry = self.content["corpora"][corpus]
        return dict(zip(entry["utterances"], entry["speakers"], strict=True))

    def weights(self, corpus: str, column: str) -> dict[str, float]:
        """Frames that have a value of the column."""
        entry = self.content["corpora"][corpus]
        lost = int(column.rpartition("_")[2].removesuffix("ms")) // 80 if column.endswith("ms") else 0
        return {i: float(n - lost) for i, n in zip(entry["utterances"], entry["frames"], strict=True)}

    # --- estimates -----------------------------------------------------------------------------------------

    def mean(self, variant: str, corpus: str, column: str, scale: float = 1.0) -> Interval | None:
        """Of one column, times `scale`."""
        values = self.values(variant, corpus, column)
        return None if values is None else self._interval(values, corpus, column, scale)

    def order(self, variant: str, corpus: str, at: str, ms: int) -> Interval | None:
        """Gain above that of frames of the same utterance at the wrong time, bit/s."""
        values = self._order(variant, corpus, at, ms)
        return None if values is None else self._interval(values, corpus, f"{at}_gain_{ms}ms", BITS)

    def share(self, variant: str, corpus: str, at: str, ms: int, of: str = "gain") -> Interval | None:
        """Gain, or what of it is order, as a share of the rate: a ratio of means, its sampling error linearised."""
        linear = self._share(variant, corpus, at, ms, of)
        return None if linear is None else self._interval(linear, corpus, f"{at}_gain_{ms}ms", 1.0)

    def difference(self, a: str, b: str, corpus: str, at: str, what: str, ms: int) -> Interval | None:
        """b − a, paired on utterances; `what` is gain, order (bit/s), share or order_share."""
        get = {
            "gain": lambda v: self.values(v, corpus, f"{at}_gain_{ms}ms"),
            "order": lambda v: self._order(v, corpus, at, ms),
            "share": lambda v: self._share(v, corpus, at, ms, "gain"),
            "order_share": lambda v: self._share(v, corpus, at, ms, "order"),
        }[what]
        first, second = get(a), get(b)
        if first is None or second is None:
            return None
        scale = 1.0 if what.endswith("share") else BITS
        both = {i: second[i] - first[i] for i in first if i in second}
        return self._interval(both, corpus, f"{at}_gain_{ms}ms", scale)

    def by_seed(self, variant: str, corpus: str, column: str, scale: float = 1.0) -> list[float]:
        """The mean of each seed."""
        weights = self.weights(corpus, column)
        return [
            scale * float(np.average(list(v.values()), weights=[weights[i] for i in v]))
            for v in self.of_seeds(variant, corpus, column)
        ]

    def share_by_seed(self, variant: str, corpus: str, at: str, ms: int) -> list[float]:
        """Mean gain over mean rate of each seed, on the frames that have a target."""
        column = f"{at}_gain_{ms}ms"
        weights = self.weights(corpus, column)
        out = []
        for gain, rate in zip(
            self.of_seeds(variant, corpus, column), self.of_seeds(variant, corpus, f"{at}_rate"), strict=True
        ):
            total = [weights[i] for i in gain]
            top = np.average(list(gain.values()), weights=total)
            out.append(float(top / np.average([rate[i] for i in gain], weights=total)))
        return out

    def _order(self, variant: str, corpus: str, at: str, ms: int) -> Values | None:
        gain = self.values(variant, corpus, f"{at}_gain_{ms}ms")
        wrong = self.values(variant, corpus, f"{at}_shuffled_{ms}ms")
        return None if gain is None or wrong is None else {i: gain[i] - wrong[i] for i in gain}

    def _share(self, variant: str, corpus: str, at: str, ms: int, of: str) -> Values | None:
        column = f"{at}_gain_{ms}ms"
        top = self.values(variant, corpus, column) if of == "gain" else self._order(variant, corpus, at, ms)
        rate = self.values(variant, corpus, f"{at}_rate")
        if top is None or rate is None:
            return None
        weights = self.weights(corpus, column)
        total = [weights[i] for i in top]
        mean_top = float(np.average(list(top.values()), weights=total))
        mean_rate = float(np.average([rate[i] for i in top], weights=total))
        share = mean_top / mean_rate
        return {i: share + (top[i] - share * rate[i]) / mean_rate for i in top}

    def _interval(self, values: Mapping[str, float], corpus: str, column: str, scale: float) -> Interval:
        weights = self.weights(corpus, column)
        scaled = {i: scale * v for i, v in values.items()}
        return interval(scaled, self.speakers(corpus), {i: weights[i] for i in values})


def pairs(results: Results) -> Sequence[tuple[str, str, str]]:
    """What is compared: (question, from, to), of the variants that were run."""
    wanted = [
        *(("against the autoencoder", "ae", v) for v in results.variants if v != "ae"),
        *(("rounding against noise of its variance", f"noise{n}", f"fsq{n}") for n in (9, 5, 3)),
        ("more pressure", "kl_low", "kl_high"),
        ("more pressure", "fsq9", "fsq3"),
        ("more pressure", "noise9", "noise3"),
    ]
    return [(q, a, b) for q, a, b in wanted if {a, b} <= set(results.variants)]
