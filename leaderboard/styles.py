"""How each text format writes: a terminal of 80 columns, Markdown or LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from leaderboard.text import latex, markdown, widest, wrapped

WIDTH = 80
"""Columns of a terminal."""


@dataclass(frozen=True)
class Style:
    """How one text format writes. `width`: columns to stay within, or None."""

    tablefmt: str
    width: int | None
    line_break: str
    escape: Callable[[str], str]
    best: Callable[[str], str]
    best_mark: str
    heading: Callable[[int, str], str]
    item: Callable[[str], str]


def _terminal_heading(level: int, text: str) -> str:
    text = wrapped(text, WIDTH)
    return f"{text}\n{'=' * widest(text)}" if level == 1 else text


STYLES: Mapping[str, Style] = {
    "terminal": Style(
        tablefmt="simple",
        width=WIDTH,
        line_break="\n",
        escape=str,
        best="* {}".format,
        best_mark="*",
        heading=_terminal_heading,
        item=lambda text: wrapped(text, WIDTH, indent="  "),
    ),
    "md": Style(
        tablefmt="pipe",
        width=None,
        line_break="<br>",
        escape=markdown,
        best="**{}**".format,
        best_mark="bold:",
        heading=lambda level, text: f"{'#' * (level + 2)} {text}",
        item="- {}".format,
    ),
    "latex": Style(
        tablefmt="latex_raw",
        width=None,
        line_break=" ",
        escape=latex,
        best=r"\textbf{{{}}}".format,
        best_mark="bold:",
        heading=lambda level, text: rf"\{'sub' * (level - 1)}section*{{{text}}}",
        item=lambda text: text + r"\\",
    ),
}
