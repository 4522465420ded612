"""The tables of docs/rate_distortion.md, from the JSON alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tabulate import tabulate

from bench.markers import replace_block
from bench.stats import Interval
from benchmarks.pressure.findings import findings
from benchmarks.pressure.summary import BITS, Results, pairs

HORIZONS_MS = (80, 160, 320, 640)
NONE = "–"


def write(results: Results, path: Path) -> None:
    """Replace every generated block of the document; its prose stays.

    Raises:
        BenchError: no such file, or a marker is missing.
    """
    for name, text in blocks(results).items():
        replace_block(path, name, text)


def blocks(results: Results) -> dict[str, str]:
    """Marker → Markdown."""
    each = {"as-used": as_used, "fixed": fixed, "matched": matched, "comparisons": comparisons}
    out = {name: _by_corpus(results, make) for name, make in each.items()}
    return {"protocol": protocol(results), **out, "findings": findings(results)}


def protocol(results: Results) -> str:
    """What was run."""
    given = results.content["protocol"]
    measured = given["measured_with"]
    seeds = sorted({s for v in results.variants for s in results.seeds(v)})
    lines = [
        f"- {len(results.variants)} variants of {given['trained_with']['parameters']:,} parameters, "
        f"training seeds {', '.join(map(str, seeds))}; weights by the least validation loss",
        f"- torch {given['environment']['torch']}, on the {given['environment']['device'].upper()}",
    ]
    for corpus in results.corpora:
        entry = results.content["corpora"][corpus]
        count, voices = len(entry["utterances"]), len(set(entry["speakers"]))
        minutes = sum(entry["frames"]) / 12.5 / 60
        lines.append(
            f"- {corpus} test: {count} utterances, {voices} speakers, {minutes:.1f} min; "
            f"target distortion {measured['targets'][corpus]:g}"
        )
    lines.append(f"- fixed dither: {measured['share']:g} of the latents' root-mean-square standard deviation")
    return "\n".join(lines)


def as_used(results: Results, corpus: str) -> str:
    """Distortions, own rates and how many directions the latents use."""
    rows = []
    for v in results.variants:
        runs = [r["corpora"][corpus] for r in results.runs(v)]
        directions = "/".join(str(r["latents"]["directions_99"]) for r in runs)
        ranks = "/".join(str(r["latents"]["rank"]) for r in runs)
        active = "/".join(str(r["active_dims"]) if "active_dims" in r else NONE for r in runs)
        rows.append(
            [
                v,
                results.content["variants"][v]["bottleneck"],
                _found(results.mean(v, corpus, "own_rate", BITS), 0),
                _found(results.mean(v, corpus, "unigram", BITS), 0),
                _found(results.mean(v, corpus, "bigram", BITS), 0),
                _found(results.mean(v, corpus, "mel"), 3),
                _found(results.mean(v, corpus, "own_mel"), 3),
                ranks,
                directions,
                active,
            ]
        )
    header = ["", "bottleneck", "own rate<br>bit/s", "unigram<br>bit/s", "bigram<br>bit/s", "log-mel L1<br>as used"]
    return _table([*header, "log-mel L1<br>at own rate", "rank", "99 % of<br>variance", "active"], rows)


def fixed(results: Results, corpus: str) -> str:
    """Gains with the same dither."""
    return _gains(results, corpus, "fixed")


def matched(results: Results, corpus: str) -> str:
    """Gains at the same distortion."""
    return _gains(results, corpus, "matched")


def _gains(results: Results, corpus: str, at: str) -> str:
    rows = []
    for v in results.variants:
        runs = [r["corpora"][corpus] for r in results.runs(v)]
        shares = "/".join(f"{r[at]['share']:.2f}" if at in r else NONE for r in runs)
        gains = [_found(results.mean(v, corpus, f"{at}_gain_{ms}ms", BITS), 1) for ms in HORIZONS_MS]
        seeds = "/".join(f"{g:.1f}" for g in results.by_seed(v, corpus, f"{at}_gain_80ms", BITS)) or NONE
        rows.append(
            [
                v,
                shares,
                _found(results.mean(v, corpus, f"{at}_rate", BITS), 0),
                *gains,
                _found(results.order(v, corpus, at, 80), 1),
                _found(results.order(v, corpus, at, 640), 1),
                _found(results.share(v, corpus, at, 80), 1, 100),
                _found(results.share(v, corpus, at, 80, "order"), 1, 100),
                seeds,
            ]
        )
    header = ["", "noise<br>share", "rate<br>bit/s", *(f"ΔNLL {ms} ms<br>bit/s" for ms in HORIZONS_MS)]
    order = ["order, 80 ms<br>bit/s", "order, 640 ms<br>bit/s"]
    return _table([*header, *order, "ΔNLL / rate<br>80 ms, %", "order / rate<br>80 ms, %", "by seed<br>80 ms"], rows)


def comparisons(results: Results, corpus: str) -> str:
    """Paired differences at one distortion; bold where the interval leaves out 0."""
    rows = []
    for question, a, b in pairs(results):
        cells = []
        for what, ms, decimals, scale in (
            ("gain", 80, 1, 1),
            ("gain", 640, 1, 1),
            ("order", 80, 1, 1),
            ("share", 80, 1, 100),
            ("order_share", 80, 1, 100),
        ):
            found = results.difference(a, b, corpus, "matched", what, ms)
            text = _found(found, decimals, scale)
            cells.append(f"**{text}**" if found is not None and not found.low <= 0 <= found.high else text)
        rows.append([question, f"{b} − {a}", *cells])
    header = ["question", "difference", "ΔNLL 80 ms<br>bit/s", "ΔNLL 640 ms<br>bit/s", "order 80 ms<br>bit/s"]
    return _table([*header, "ΔNLL / rate<br>points of %", "order / rate<br>points of %"], rows)


def _by_corpus(results: Results, make: Callable[[Results, str], str]) -> str:
    return "\n\n".join(f"**{corpus}**\n\n{make(results, corpus)}" for corpus in results.corpora)


def _found(found: Interval | None, decimals: int, scale: float = 1.0) -> str:
    if found is None:
        return NONE
    value, low, high = (f"{scale * x:.{decimals}f}".replace("-", "−") for x in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def _table(header: list[str], rows: list[list[str]]) -> str:
    align = ("left", *("right" for _ in header[1:]))
    return str(tabulate(rows, header, tablefmt="pipe", disable_numparse=True, colalign=align))
