"""What a figure of the report is: a drawing, what it says in words, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One figure of a board.

    Attributes:
        name: of its anchor, unique in the board.
        alt: what it shows, for those who do not see it.
        svg: an inline SVG element, whose colours are the variables --fg, --grid and --c0 to --c9 with fallbacks.
        headers: of the data table.
        rows: of the data table, as text.
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
