"""Renders the templates of a kind into a folder: a package that pip installs and whose plug-in works."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import jinja2

from bench import __version__
from bench.errors import BenchError
from bench.new import names

KINDS = ("submission", "codec", "dataset", "task")
TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".jinja"
NAME = "NAME"
"""What stands for the package's name in the paths of templates."""


def write(kind: str, name: str, into: Path) -> list[Path]:
    """Write the package `name` as a new folder below `into`; all of it or nothing.

    Args:
        kind: one of KINDS.

    Returns:
        the files, sorted; the first component below `into` is `name`.

    Raises:
        BenchError: a kind or name that cannot be, a folder that exists, or one that cannot be written.
    """
    if kind not in KINDS:
        raise BenchError(f"new: expected one of {', '.join(KINDS)}, got {kind!r}")
    names.check(kind, name)
    target = into / name
    if target.exists() or target.is_symlink():
        raise BenchError(f"new {kind}: {target} exists already; expected a folder that does not")
    rendered = render(kind, name)
    try:
        into.mkdir(parents=True, exist_ok=True)
        # beside the target, so that the last step is a rename: a package is there whole or not at all
        temporary = Path(tempfile.mkdtemp(prefix=".bench-new-", dir=into))
        try:
            for path, text in rendered.items():
                file = temporary / "package" / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            os.replace(temporary / "package", target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise BenchError(f"new {kind}: {target} cannot be written: {error.strerror or error}") from error
    return sorted(target / path for path in rendered)


def render(kind: str, name: str) -> dict[str, str]:
    """Path below the package's folder → text, of the templates common to all kinds and of this one."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    words = {
        "name": name,
        "kind": kind,
        "camel": "".join(part.capitalize() for part in name.split("_")),
        "title": name.replace("_", " ").capitalize(),
        "version": __version__,
    }
    found = {}
    for root in (TEMPLATES / "common", TEMPLATES / kind):
        for template in sorted(root.rglob(f"*{SUFFIX}")):
            path = template.relative_to(root).as_posix().removesuffix(SUFFIX).replace(NAME, name)
            found[path] = environment.from_string(template.read_text(encoding="utf-8")).render(words)
    return found
