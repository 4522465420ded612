"""Codecs side by side: records that answer for a codec and for no model, and what must be said of each."""

from __future__ import annotations

from bench.record import Record

TASK = "codec_predictability"
FRAME_RATE = 12.5
"""Hz that codecs are brought to by stacking."""


def compares_codecs(record: Record) -> bool:
    """Whether a record is a row of a table of codecs."""
    return set(record.tasks) == {TASK}


def looks_ahead_ms(record: Record) -> float:
    """Audio beyond its own frame that moves a latent, as measured; as stated where it was not."""
    noted = record.tasks[TASK].notes.get("lookahead_frames")
    frames = noted["measured"] if isinstance(noted, dict) and "measured" in noted else record.codec.lookahead
    return 1000 * float(frames) / record.codec.frame_rate


def unmatched(record: Record) -> bool:
    """Whether its frames could not be stacked to 12.5 Hz."""
    return abs(record.codec.frame_rate - FRAME_RATE) > 1e-6


def place(record: Record) -> tuple[bool, bool, bool]:
    """What sorts causal codecs at 12.5 Hz first, and those that do not compare with them last."""
    return not record.codec.trained, unmatched(record), looks_ahead_ms(record) > 0


def remarks(records: dict[str, Record]) -> list[str]:
    """What a reader must know before two rows are compared; records by row."""
    ahead = [f"{name} ({looks_ahead_ms(r):g} ms)" for name, r in records.items() if looks_ahead_ms(r) > 0]
    other = [f"{name} ({r.codec.frame_rate:.4g} Hz)" for name, r in records.items() if unmatched(r)]
    starved = [name for name, r in records.items() if _starved(r)]
    lines = ["no column ranks: a codec that keeps more has more to predict; read gains beside fidelity"]
    if ahead:
        lines.append(f"not causal, so not comparable with the rows above: {', '.join(ahead)}")
    if other:
        lines.append(f"not at {FRAME_RATE} Hz: {', '.join(other)}")
    if starved:
        lines.append(f"half the training data gives under 90 % of the gain at the first horizon: {', '.join(starved)}")
    return lines


def _starved(record: Record) -> bool:
    entry = record.tasks[TASK]
    halves = entry.notes.get("half_data_nats")
    column = entry.columns.get(first := "gain_80ms")
    if not isinstance(halves, dict) or column is None or not column.values:
        return False
    weights = column.weights or dict.fromkeys(column.values, 1.0)
    whole = sum(v * weights[u] for u, v in column.values.items()) / sum(weights[u] for u in column.values)
    return bool(halves[first.removeprefix("gain_").removesuffix("ms")] < 0.9 * whole)
