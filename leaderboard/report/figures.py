"""The figures that a board's records allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from leaderboard.board import Board
from leaderboard.report.curves import Curve
from leaderboard.report.drawn import clusters, codecs, fits, pareto, predictability, rate_distortion, rollout
from leaderboard.report.drawn.canvas import available
from leaderboard.report.drawn.ground import Ground
from leaderboard.report.figure import Figure
from leaderboard.view import TaskView

DRAWINGS: tuple[Callable[[Ground], list[Figure]], ...] = (
    predictability.gain,
    codecs.fidelity,
    rollout.gap,
    rollout.skill,
    rate_distortion.tradeoff,
    pareto.frontier,
    predictability.direction,
    clusters.ratio,
)


def figures(board: Board, views: Sequence[TaskView], curves: Mapping[str, Curve] | None = None) -> list[Figure]:
    """What can be drawn of a board, in the order of its questions; nothing where nothing was measured.

    The same board gives the same bytes. Ids inside the drawings are unique over boards.

    Args:
        views: of all columns (`task_views(board, wide=True)`).
        curves: row → what its fit went through (`leaderboard.report.curves.of_board`).

    Raises:
        BenchError: matplotlib is not installed.
    """
    available()
    key = "\n".join((board.suite, board.dataset, board.codec))
    ground = Ground.of(board, views, f"f{sha256(key.encode()).hexdigest()[:8]}")
    drawn = [figure for draw in DRAWINGS for figure in draw(ground)]
    return drawn + fits.histories(ground, curves or {})
