"""What the documentation's site does to a page before it is rendered; a page by itself reads well on a forge, too.

* A link to a file of the repository outside `docs/` leads to `extra.repository` where that is set, and is the file's
  name otherwise: the site has no such file. A link to a file that is not there stays, and fails a strict build.
* `<!-- include: FILE NAME -->` becomes what stands between the markers NAME of the repository's FILE, so that a table
  is generated in one place and shown in two.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.markers import block

LINK = re.compile(r"(?<!!)\[([^\]\n]+)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
INCLUDE = re.compile(r"^<!-- include: (\S+) (\S+) -->$", re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Called by mkdocs for every page."""
    del files
    docs = Path(config["docs_dir"]).resolve()
    source = docs / page.file.src_uri
    return outward(included(markdown, docs.parent), source, docs, str(config["extra"].get("repository") or ""))


def on_post_build(config: Any) -> None:
    """Called by mkdocs at the end: the index of the search as a script too, which pages opened from a folder read."""
    found = Path(config["site_dir"]) / "search" / "search_index.json"
    if found.is_file():
        found.with_suffix(".js").write_text(f"var __index = {found.read_text('utf-8')}", encoding="utf-8")


def included(markdown: str, root: Path) -> str:
    """`markdown` with every include replaced.

    Raises:
        BenchError: the file has no such block.
    """

    def found(match: re.Match[str]) -> str:
        text = block(root / match[1], match[2])
        if not text:
            raise BenchError(f"include: expected a block {match[2]} in {match[1]}")
        return text

    return INCLUDE.sub(found, markdown)


def outward(markdown: str, source: Path, docs: Path, repository: str) -> str:
    """`markdown` with its links out of `docs` replaced; code blocks stay as they are.

    Args:
        source: the page's file.
        repository: what a path within the repository is appended to; "": there is none.
    """

    def leads(match: re.Match[str]) -> str:
        text, target, anchor = match[1], (source.parent / match[2]).resolve(), match[3] or ""
        if docs in target.parents or not target.exists() or docs.parent not in target.parents:
            return match[0]
        path = target.relative_to(docs.parent).as_posix()
        if repository:
            return f"[{text}]({repository.rstrip('/')}/{path}{anchor})"
        return f"`{path}`" if path.endswith(text.strip("`")) else f"{text} (`{path}`)"

    return _outside_fences(markdown, lambda part: LINK.sub(leads, part))


def _outside_fences(markdown: str, change: Callable[[str], str]) -> str:
    out, at = [], 0
    for fence in FENCE.finditer(markdown):
        out += [change(markdown[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*out, change(markdown[at:])])
