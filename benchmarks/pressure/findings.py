"""What the comparisons say, in sentences whose every figure and verdict come from the JSON."""

from __future__ import annotations

from collections.abc import Sequence

from bench.stats import Interval
from benchmarks.pressure.summary import BITS, Results, pairs

MS = 80


def findings(results: Results) -> str:
    """The verdict by its rule, then each corpus.

    The rule: supported where every pressed variant has, on every corpus, a larger predictable share of its rate than
    the autoencoder, by an interval that leaves out 0; contradicted where every one has a smaller share.
    """
    lines = [f"**In this experiment the prediction is {_verdict(results)}.**", ""]
    for corpus in results.corpora:
        if _against(results, corpus, "share"):
            lines += [f"*{corpus}*, at log-mel L1 {results.target(corpus):g} and {MS} ms:", ""]
            lines += [f"- {line}" for line in _corpus(results, corpus)] + [""]
    return "\n".join(lines)


def _verdict(results: Results) -> str:
    found = [_against(results, corpus, "share") for corpus in results.corpora]
    # a variant that did not reach a target is no evidence for either
    if not all(len(part) == max(1, len(results.variants) - 1) for part in found):
        return "not tested: a variant is missing or did not reach a target"
    if all(f.low > 0 for part in found for f in part):
        return "supported"
    if all(f.high < 0 for part in found for f in part):
        return "contradicted"
    return "neither supported nor contradicted throughout"


def _corpus(results: Results, corpus: str) -> list[str]:
    own = results.share("ae", corpus, "matched", MS)
    gain = results.mean("ae", corpus, f"matched_gain_{MS}ms", BITS)
    assert own is not None and gain is not None
    shares, gains, orders = (_against(results, corpus, what) for what in ("share", "gain", "order"))
    out = [
        f"the autoencoder's past tells {100 * own.value:.1f} % of its rate; of the pressed variants' {_tally(shares)}, "
        f"by {_span(shares, 100, 'points')}",
        f"in bit/s it tells {gain.value:.1f}; {_tally(gains)}, by {_span(gains, 1, 'bit/s')}; of order alone "
        f"{_tally(orders)}, by {_span(orders, 1, 'bit/s')}",
    ]
    for question, start in (("more pressure", "most pressure − least"), ("rounding against noise of its variance", "")):
        told = []
        for q, a, b in pairs(results):
            if q != question:
                continue
            share = results.difference(a, b, corpus, "matched", "share", MS)
            bits = results.difference(a, b, corpus, "matched", "gain", MS)
            if share is not None and bits is not None:
                told.append(f"{b} − {a} {_one(share, 100)} points and {_one(bits, 1)} bit/s")
        out.append(f"{start or 'rounding − noise of its variance'}: {'; '.join(told)}")
    if several := [v for v in results.variants if len(results.seeds(v)) > 1]:
        told = []
        for v in several:
            values = results.share_by_seed(v, corpus, "matched", MS)
            told.append(f"{v} {' and '.join(f'{100 * x:.1f}' for x in values)} %")
        out.append(f"by training seed, ΔNLL / rate: {'; '.join(told)}")
    return out


def _against(results: Results, corpus: str, what: str) -> list[Interval]:
    found = [results.difference("ae", v, corpus, "matched", what, MS) for v in results.variants if v != "ae"]
    return [f for f in found if f is not None]


def _tally(found: Sequence[Interval]) -> str:
    more, less = sum(f.low > 0 for f in found), sum(f.high < 0 for f in found)
    return f"{more} are larger, {less} smaller and {len(found) - more - less} not told apart"


def _span(found: Sequence[Interval], scale: float, unit: str) -> str:
    values = [scale * f.value for f in found]
    return f"{min(values):.1f} to {max(values):.1f} {unit}".replace("-", "−")


def _one(found: Interval, scale: float) -> str:
    value, low, high = (f"{scale * x:.1f}" for x in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]".replace("-", "−")
