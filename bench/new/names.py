"""Which names a new package may have: one that Python, pip and the registry all take, and that nobody has yet."""

from __future__ import annotations

import importlib.util
import keyword
import re

from bench import registry
from bench.errors import BenchError

LONGEST = 40
OWN = ("src", "tests")
"""Folders of the package that is written."""


def check(kind: str, name: str) -> None:
    """Whether a package, a plug-in and, for a submission, a card may be called `name`.

    Args:
        kind: "submission", "codec", "dataset" or "task".

    Raises:
        BenchError: what is wrong with it, in one line.
    """
    if not re.fullmatch(rf"[a-z][a-z0-9_]{{0,{LONGEST - 1}}}", name) or name.endswith("_"):
        raise BenchError(
            f"new {kind}: expected a name of lower-case letters, digits and underscores that begins with a letter, "
            f"of at most {LONGEST}, got {name[: 2 * LONGEST]!r}"
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise BenchError(f"new {kind}: {name!r} is a word of Python; expected another name")
    if name in registry.names(f"{kind}s") or (kind == "submission" and name in registry.submission_files()):
        raise BenchError(f"new {kind}: a {kind} {name!r} is installed already; expected another name")
    if name in OWN or importlib.util.find_spec(name) is not None:
        raise BenchError(f"new {kind}: a Python package {name!r} is installed already; expected another name")
