"""Text that strangers wrote, made harmless for a terminal, Markdown or LaTeX, and fitted to a width."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable

from rich.cells import cell_len, set_cell_size

LONGEST_NAME = 26
LONGEST_REASON = 300
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\to$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "−": r"$-$",
    "×": r"$\times$",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "Δ": r"$\Delta$",
    **{c: "\\" + c for c in "&%$#_{}"},
}


def plain(text: str, longest: int = LONGEST_REASON) -> str:
    r"""One line without control, format or private characters, cut at `longest` characters.

    >>> plain("a\n\x1b[31mb")
    'a [31mb'
    """
    if not text.isprintable():
        text = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def markdown(text: str) -> str:
    """Escaped so that GitHub shows the characters and nothing else: no table cell, tag, link or emphasis.

    >>> markdown("rssm_v1 | <b> [a](b) *")
    'rssm_v1 \\\\| &lt;b&gt; [a]\\\\(b) \\\\*'
    """
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\|`*~#])", r"\\\1", text)
    text = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)
    return text.replace("](", "]\\(")


def latex(text: str) -> str:
    """Escaped for a LaTeX document that reads UTF-8."""
    return "".join(_LATEX.get(c, c) for c in text)


def shortened(names: Iterable[str], longest: int = LONGEST_NAME) -> dict[str, str]:
    """Name → a name of at most `longest` columns that stays unique: the middle gives way to an ellipsis."""
    out: dict[str, str] = {}
    for name in names:
        clean = plain(name, 10_000) or "?"
        label, count = _squeezed(clean, longest), 1
        while label in out.values():
            count += 1
            suffix = f"~{count}"
            label = _squeezed(clean, longest - len(suffix)) + suffix
        out[name] = label
    return out


def _squeezed(text: str, longest: int) -> str:
    if cell_len(text) <= longest:
        return text
    tail = (longest - 1) // 2
    end = text[-tail:]
    while cell_len(end) > tail:
        end = end[1:]
    return set_cell_size(text, longest - 1 - cell_len(end)).rstrip() + "…" + end


def wrapped(text: str, width: int, indent: str = "") -> str:
    """Lines of at most `width` columns; later lines are indented."""
    # wide characters take two columns, for which textwrap counts one
    narrow = width if cell_len(text) == len(text) else width // 2
    return textwrap.fill(text, narrow, subsequent_indent=indent) if text else ""


def widest(text: str) -> int:
    """Columns of the longest line."""
    return max((cell_len(line) for line in text.splitlines()), default=0)
