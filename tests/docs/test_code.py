"""Python and TOML that the documentation shows run and parse; no block is passed over without being counted."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.contract import Utterance
from bench.store import StoreWriter
from bench.store.arrow import Row
from bench.store.manifest import Identity
from tests.docs.blocks import PAGES, ROOT, SHELLS, Block, blocks

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EVERY = [block for page in PAGES for block in blocks(page)]
WITH_PYTHON = [page for page in PAGES if any(b.language == "python" for b in blocks(page))]
SHOWN = {"", "text", "json", "yaml", "html", "latex", "bibtex", "diff", "xml", "csv"}
"""Languages that are only looked at."""


def names(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a page's code runs: a folder that is empty but for a latent store, as `bench encode --out` makes it."""
    info = {"name": "toy", "sample_rate": 16_000, "hop": 1280, "dim": 4, "codebooks": [], "weights_digest": "w"}
    stated = {"info": info, "argument": "", "code": "c", "dataset": "noise", "data": "d", "codes": False}
    identity = Identity(**stated, precision="float16")  # type: ignore[arg-type]
    ids = {"train": "84-121123-0001", "valid": "84-121123-0002", "test": "84-121123-0003"}
    counts: Any = dict.fromkeys(ids, 1)
    with StoreWriter(tmp_path / "latents", identity, counts, {"device": "cpu"}, "bench encode") as writer:
        for split, name in ids.items():
            one = Utterance(name, "84", split, "words")  # type: ignore[arg-type]
            writer.add(split, 0, [Row(one, 1280 * 5, torch.randn(5, 4), None)])  # type: ignore[arg-type]
        writer.settle()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", WITH_PYTHON, ids=names)
def test_every_python_block_of_a_page_runs_in_one_namespace(page: Path, folder: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "documentation"}
    for block in blocks(page):
        if block.language == "python" and not block.exempt:
            # line numbers of a traceback are the page's
            exec(compile("\n" * block.line + block.text, str(page), "exec"), namespace)


@pytest.mark.parametrize("block", [b for b in EVERY if b.language == "toml"], ids=str)
def test_every_toml_block_parses(block: Block) -> None:
    assert tomllib.loads(block.text) or block.exempt


def test_no_block_is_passed_over() -> None:
    languages = {block.language for block in EVERY}
    assert languages <= SHOWN | SHELLS | {"python", "toml"}, "a language that no test knows"
    # counted another way: every fence opens or closes a block
    fences = sum(len(re.findall(r"^ *(?:```|~~~)", page.read_text("utf-8"), re.MULTILINE)) for page in PAGES)
    assert fences == 2 * len(EVERY)
    ran = [b for b in EVERY if b.language == "python" and not b.exempt]
    exempt = [b for b in EVERY if b.exempt]
    python = sum(len(re.findall(r"^ *```python", page.read_text("utf-8"), re.MULTILINE)) for page in PAGES)
    assert python == len(ran) + sum(b.language == "python" for b in exempt)
    markers = sum(page.read_text("utf-8").count("<!-- not run: ") for page in PAGES)
    assert markers >= len(exempt)
    assert len(ran) >= 6


def test_a_block_is_exempt_only_with_a_reason(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: needs a GPU -->\n```python\n1\n```\n\n```python\n2\n```\n", encoding="utf-8")
    first, second = blocks(page)
    assert (first.exempt, first.text) == ("needs a GPU", "1\n")
    assert (second.exempt, second.text, second.line) == ("", "2\n", 6)
