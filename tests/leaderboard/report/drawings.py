"""Records to draw, and what a drawing says: its points, ids and paints, read back from the SVG."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from bench.record import Record
from leaderboard.board import Board, boards
from leaderboard.report.curves import Curve
from leaderboard.report.figure import Figure
from leaderboard.report.figures import figures
from leaderboard.view import task_views

SVG = "{http://www.w3.org/2000/svg}"
BITS = 12.5 / math.log(2)
"""From nats per frame to bit/s, for the records of these tests."""


def board_of(records: Sequence[Record]) -> Board:
    (board,) = boards(records)
    return board


def drawn(records: Sequence[Record], curves: Mapping[str, Curve] | None = None) -> dict[str, Figure]:
    """Name → figure, of one board."""
    board = board_of(records)
    return {figure.name: figure for figure in figures(board, task_views(board, wide=True), curves)}


def tree(figure: Figure) -> ElementTree.Element:
    return ElementTree.fromstring(figure.svg)


def points(figure: Figure) -> dict[str, list[tuple[float, float]]]:
    """Series → the places of its markers on the page; of several panels one after the other."""
    out: dict[str, list[tuple[float, float]]] = {}
    for group in tree(figure).iter(f"{SVG}g"):
        if (name := group.get("data-series")) is not None:
            places = [(float(use.attrib["x"]), float(use.attrib["y"])) for use in group.iter(f"{SVG}use")]
            out.setdefault(name, []).extend(places)
    return out


def path_through(figure: Figure, wanted: Sequence[tuple[float, float]]) -> bool:
    """Whether some line of the drawing goes through exactly these places."""
    for path in tree(figure).iter(f"{SVG}path"):
        found = [tuple(map(float, pair)) for pair in re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path.get("d", ""))]
        if len(found) == len(wanted) and all(math.dist(a, b) < 0.02 for a, b in zip(found, wanted, strict=True)):
            return True
    return False


class Affine:
    """The map from a value to a place that two known points tell."""

    def __init__(self, values: Sequence[float], places: Sequence[float]) -> None:
        self.slope = (places[1] - places[0]) / (values[1] - values[0])
        self.offset = places[0] - self.slope * values[0]

    def __call__(self, value: float) -> float:
        return self.offset + self.slope * value


def number(text: str) -> float:
    """A number of a table."""
    return float(text.split()[0].replace("−", "-"))


def constant(value: float, n: int = 40) -> dict[str, float]:
    """Every utterance with one value: an aggregate without an error."""
    return {f"u{i:03d}": value for i in range(n)}


def curve(loss: Sequence[float], weights: str = "w1", valid: Sequence[tuple[int, float]] = ()) -> dict[str, Any]:
    """What a file of a curve holds; the loss of every step from 1 on."""
    series = [{"name": "loss", "title": "t", "unit": "", "steps": [*range(1, len(loss) + 1)], "values": [*loss]}]
    steps, values = [s for s, _ in valid], [v for _, v in valid]
    series += [{"name": "valid_loss", "title": "v", "unit": "", "steps": steps, "values": values}] if valid else []
    return {"schema_version": 1, "seed": 0, "code_digest": "c1", "weights_digest": weights, "series": series}
