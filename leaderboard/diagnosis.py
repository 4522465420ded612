"""One page about one codec: the note's decisive experiment, and what it says for either branch.

What is run is declared here, `ROWS`; the page is made of the records alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tabulate import tabulate

from bench.errors import RecordError
from bench.record import Record, TaskEntry
from bench.stats import interval
from leaderboard.across import TASK, looks_ahead_ms, unmatched
from leaderboard.bets import PER_DIMENSION, Outcome, outcome, read_bets
from leaderboard.shown import bounds, factor, number, unit
from leaderboard.text import plain, wrapped

ROWS: Mapping[str, tuple[str, ...]] = {
    "codec_itself": (TASK,),
    "raw_ar_v1": ("delta_nll", "rollout_gap"),
    "rssm_v1": ("delta_nll",),
}
"""Submission → tasks that the page is made of."""
SUITE = "diagnose"
WIDTH = 80
HORIZONS = (80, 160, 320, 640)


def page(records: Iterable[Record]) -> str:
    """Markdown that reads well in 80 columns.

    Raises:
        RecordError: records of several codecs or datasets, or none of the codec itself.
    """
    by_name = {record.submission.name: record for record in records}
    grounds = {(r.codec.name, r.dataset.name, r.dataset.digest) for r in by_name.values()}
    if len(grounds) != 1 or "codec_itself" not in by_name:
        raise RecordError(f"a diagnosis needs codec_itself, on one codec and dataset; got {sorted(by_name)}")
    codec = by_name["codec_itself"]
    entry = codec.tasks[TASK]
    parts = [_head(codec)]
    if entry.status != "scored":
        parts.append(f"{TASK} {entry.status}: {plain(entry.reason)}")
    parts += [
        _section("Predictability of x, bit/s", _horizons(by_name)),
        _section("Rollout gap of raw_ar_v1", _columns(by_name.get("raw_ar_v1"), "rollout_gap", _ROLLOUT)),
        _section("Direction and magnitude of Δx", _columns(codec, TASK, _DIRECTION)),
        _section("Capacity ladder", _columns(codec, TASK, _LADDER)),
        _section("Clusters of contexts, 64 cells", _columns(codec, TASK, _CLUSTERS)),
        _section("What the codec keeps", _columns(codec, TASK, _FIDELITY)),
    ]
    found = [outcome(bet, by_name) for bet in read_bets()]
    parts += [_section("Two readings", _readings(by_name)), _section("Bets", _bets(found, codec)), _again(by_name)]
    return "\n\n".join(parts) + "\n"


_ROLLOUT = ("gap_sampled_160ms", "gap_sampled_640ms", "gap_sampled_1280ms", "movement_sampled", "predictive_horizon",
            "collapsed")  # fmt: skip
_DIRECTION = ("direction_gain_80ms", "direction_gain_null", "magnitude_gain_80ms", "magnitude_gain_null",
              "direction_cosine_80ms", "direction_cosine_null")  # fmt: skip
_LADDER = tuple(f"{rung}_{what}_80ms" for rung in ("linear", "mlp", "transformer") for what in ("gain", "r2"))
_CLUSTERS = ("pooled_next_64", "learned_next_64", "null_64", "reference_64", "recurrence", "recurrence_null")
_FIDELITY = ("mel", "pesq", "stoi", "wer_open", "wer_closed", "effective_rank")


def _head(record: Record) -> str:
    codec, data = record.codec, record.dataset
    seconds = sum(u.seconds for u in data.utterances.values())
    lines = [
        f"# {plain(codec.name)} on {plain(data.name)}",
        "",
        f"- latents: {codec.dim} dimensions at {codec.frame_rate:.4g} Hz; look-ahead {looks_ahead_ms(record):g} ms",
        f"- test split: {len(data.utterances)} utterances, {len({u.speaker for u in data.utterances.values()})} "
        f"speakers, {seconds / 60:.1f} min; [low, high] is a 95 % bootstrap",
    ]
    if not codec.trained:
        lines.append("- UNTRAINED: random weights; no number says anything of the codec")
    if unmatched(record):
        lines.append("- its frame rate is no multiple of 12.5 Hz: horizons are the nearest number of frames")
    return "\n".join(wrapped(line, WIDTH, indent="  ") if line.startswith("- ") else line for line in lines)


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}"


def _cell(record: Record | None, task: str, column: str, decimals: int | None = None) -> str:
    """Value and interval in the table's unit, or why there is none."""
    entry = record.tasks.get(task) if record else None
    if record is None or entry is None:
        return "not run"
    if entry.status != "scored":
        return entry.status
    found = entry.columns.get(column)
    if found is None or not found.values:
        return "skipped"
    speakers = {u: e.speaker for u, e in record.dataset.utterances.items()}
    value = interval(found.values, speakers, found.weights, found.column.aggregate)
    times = factor(found.column, record.codec.frame_rate)
    low, high, middle = value.low * times, value.high * times, value.value * times
    places = found.column.decimals if decimals is None else decimals
    if value.n < 2:
        return number(middle, places)
    return f"{number(middle, places)} [{number(low, places)}, {number(high, places)}]"


def _horizons(records: Mapping[str, Record]) -> str:
    codec, raw, rssm = (records.get(name) for name in ("codec_itself", "raw_ar_v1", "rssm_v1"))
    # whole bit/s: four intervals side by side fill the width
    body = [
        [
            f"{ms} ms",
            _cell(codec, TASK, f"gain_{ms}ms", 0),
            _cell(codec, TASK, f"order_{ms}ms", 0),
            _cell(raw, "delta_nll", f"own_gain_{ms}ms", 0),
            _cell(rssm, "delta_nll", f"gain_{ms}ms", 0),
        ]
        for ms in HORIZONS
    ]
    heads = ["", "x, by the probe", "of order", "raw_ar_v1's own", "rssm_v1's state"]
    notes = _notes(codec.tasks.get(TASK) if codec else None)
    return _table(body, heads) + ("\n\n" + notes if notes else "")


def _notes(entry: TaskEntry | None) -> str:
    halves = entry.notes.get("half_data_nats") if entry else None
    if not isinstance(halves, dict) or entry is None:
        return ""
    flags = [plain(flag) for flag in entry.notes.get("flags", [])]
    told = ", ".join(f"{ms} ms {value:.3f}" for ms, value in halves.items())
    lines = [f"- with half the training data, nats per frame: {told}", *(f"- {flag}" for flag in flags)]
    return "\n".join(wrapped(line, WIDTH, indent="  ") for line in lines)


def _columns(record: Record | None, task: str, names: Sequence[str]) -> str:
    entry = record.tasks.get(task) if record else None
    if record is None or entry is None:
        return f"{task} was not run."
    if entry.status != "scored":
        return wrapped(f"{task} {entry.status}: {plain(entry.reason)}", WIDTH)
    body, why = [], []
    for name in names:
        found = entry.columns.get(name)
        if found is None:
            why.append(f"- {name}: {plain(entry.skipped_columns.get(name, 'no such column'))}")
            continue
        body.append([plain(found.column.title), unit(found.column), _cell(record, task, name)])
    text = _table(body, ["", "unit", "measured"]) if body else ""
    return "\n\n".join(part for part in (text, "\n".join(wrapped(w, WIDTH, indent="  ") for w in why)) if part)


def _table(body: Sequence[Sequence[str]], heads: Sequence[str]) -> str:
    return tabulate(body, headers=heads, tablefmt="simple", disable_numparse=True,
                    colalign=["left"] + ["right"] * (len(heads) - 1))  # fmt: skip


# --- what it says ------------------------------------------------------------------------------------------


def _readings(records: Mapping[str, Record]) -> str:
    """The note's two branches, each with what speaks for it here; both may have something."""
    codec = records["codec_itself"]
    innovation: list[str] = []
    structure: list[str] = []
    for ms in HORIZONS:
        low, high, known = _bits(codec, f"order_{ms}ms")
        if known:
            told = f"order at {ms} ms is [{number(low, 1)}, {number(high, 1)}] bit/s"
            (structure if low > 0 else innovation).append(told if low > 0 else f"{told}: it may be nothing")
    for what, at, null in (
        ("direction", "direction_gain_80ms", "direction_gain_null"),
        ("magnitude", "magnitude_gain_80ms", "magnitude_gain_null"),
    ):
        (a_low, _, a), (_, n_high, n) = _bits(codec, at), _bits(codec, null)
        if a and n:
            above = a_low > n_high
            side = structure if above else innovation
            side.append(f"the {what} of Δx is {'more' if above else 'no more'} predictable than on permuted frames")
    (_, weak, w), (strong, _, s) = _bits(codec, "linear_gain_80ms"), _bits(codec, "transformer_gain_80ms")
    if w and s:
        grows = strong > weak
        (structure if grows else innovation).append(
            f"the ladder {'rises' if grows else 'is flat'} from the linear rung to the transformer: "
            + ("a weak model misses what is there" if grows else "a stronger reader finds no more")
        )
    (_, cells, c), (null_low, _, n) = _bits(codec, "learned_next_64"), _bits(codec, "null_64")
    if c and n:
        repeats = cells < null_low
        (structure if repeats else innovation).append(
            f"next frames {'are' if repeats else 'are not'} closer within learned cells than permuted ones"
        )
    lines = ["Genuinely innovation-heavy (ΔNLL ≈ 0):", *_listed(innovation), ""]
    return "\n".join([*lines, "Structure that a model can use (ΔNLL >> 0):", *_listed(structure)])


def _listed(evidence: Sequence[str]) -> list[str]:
    return [wrapped(f"- {line}", WIDTH, indent="  ") for line in evidence] or ["- nothing here speaks for it"]


def _bits(record: Record, column: str) -> tuple[float, float, bool]:
    """Interval in the table's unit, and whether there is one."""
    found = record.tasks[TASK].columns.get(column)
    if found is None or not found.values:
        return 0.0, 0.0, False
    speakers = {u: e.speaker for u, e in record.dataset.utterances.items()}
    value = interval(found.values, speakers, found.weights, found.column.aggregate)
    times = factor(found.column, record.codec.frame_rate)
    return value.low * times, value.high * times, value.n > 1


def _bets(outcomes: Sequence[Outcome], record: Record) -> str:
    lines = []
    for one in outcomes:
        bet = one.bet
        lines.append(f"- {bet.claim} (bet at {bet.probability:.2f}): {one.verdict.upper()}")
        if one.measured is None:
            lines.append(f"  - {one.reason}")
            continue
        per_dim = bet.unit == PER_DIMENSION
        bar = bet.threshold * (record.codec.dim if per_dim else 1)
        what = f"{bet.column} of {bet.submission}" + (f" − {bet.against}" if bet.against else "")
        held = f"{number(one.measured.value, 3)} {bounds(one.measured, 3)} nats/frame against {number(bar, 3)}"
        lines += [f"  - {what}: {held}", f"  - {bet.why}"]
    return "\n".join(wrapped(line, WIDTH, indent="    " if line.startswith("  ") else "  ") for line in lines)


def _again(records: Mapping[str, Record]) -> str:
    made = max(record.created for record in records.values())[:10]
    commits = sorted({(r.environment.commit or "unknown")[:10] for r in records.values()})
    return _section("Made", f"{made}, commit {', '.join(commits)}; each number is in the records beside this page.")
