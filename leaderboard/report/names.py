"""Names that strangers chose, as file names, anchors and text of a page."""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from typing import Any

from markupsafe import Markup, escape

from leaderboard.text import plain

LONGEST_FILE = 80
LONGEST_NAME = 44
LONGEST_WHOLE = 20_000
"""Of a text in full; what is longer than this is cut even there."""


def slug(*parts: str) -> str:
    """A name for a file or an anchor that is safe anywhere and differs where the parts differ.

    >>> slug("mini", "synthspeech", "minicodec")
    'mini--synthspeech--minicodec'
    >>> slug("a/b") == slug("a_b")
    False
    """
    given = "--".join(parts)
    safe = re.sub(r"[^a-z0-9_.-]", "_", given.lower())[:LONGEST_FILE].lstrip(".-")
    if safe == given:
        return safe
    # the parts and not their joint name, so that ("a--b", "c") and ("a", "b--c") differ
    return f"{safe}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]}"


def whole(text: str) -> str:
    """One line without control and format characters, uncut up to 20,000 characters."""
    return plain(text, LONGEST_WHOLE)


@lru_cache(maxsize=2048)
def short(text: str, longest: int = LONGEST_NAME) -> Markup:
    """Text on its own for direction and escaped; where it is cut, the whole is its title.

    >>> str(short("<b>"))
    '<bdi>&lt;b&gt;</bdi>'
    """
    line = plain(text, longest) or "?"
    full = whole(text)
    # names are of words joined by underscores, after which a narrow column may break
    shown = escape(line).replace("_", Markup("_<wbr>"))
    if full and line != full:
        return Markup('<bdi title="{}">{}</bdi>').format(full, shown)
    return Markup("<bdi>{}</bdi>").format(shown)


def pretty(value: Any) -> str:
    """JSON for people. Whatever is not ASCII is escaped, so that nothing in it can turn the text around."""
    return json.dumps(value, indent=1, ensure_ascii=True, sort_keys=True)
