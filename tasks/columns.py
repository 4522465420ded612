"""Per-utterance values → a column: weights by frames, and a reason for every utterance or column without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.contract import LatentUtterance, Score, Skipped

Values = dict[str, float]


def scored(
    column: str, values: Mapping[str, float], utterances: Sequence[LatentUtterance], lost: int, weighted: bool = True
) -> Score | Skipped:
    """Means over the T − `lost` frames of each utterance that have a target.

    Args:
        values: utterance id → value, for those that have one.
        utterances: of the split, scored or not.
        weighted: by frames; False where the aggregate is a median.
    """
    weights = {u.id: float(len(u.x) - lost) for u in utterances if u.id in values} if weighted else None
    unscored = {u.id: f"{len(u.x)} frames; needs {lost + 1}" for u in utterances if u.id not in values}
    return filled(Score(column, values, weights, unscored))


def filled(score: Score) -> Score | Skipped:
    """The score, or why its column has none where every utterance is unscored."""
    if score.values:
        return score
    return Skipped(next(iter(score.unscored.values()), "no utterances"), score.column)
