"""What the documentation shows as code: fenced blocks, lines of commands, and commands named in a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)(`{3,}|~{3,})([\w+-]*).*$")
EXEMPT = re.compile(r"<!-- not run: (.+) -->")
LINE = re.compile(r"^(?: {4,}|\s*\$ |\s*)(?:\$ )?(?:\.venv/bin/)?(bench [a-z].*)$")
INLINE = re.compile(r"(?<!`)`(bench [a-z][^`]*)`(?!`)")
SHELLS = {"console", "bash", "sh", "shell"}
STEP = re.compile(r"^\s*(?:-\s+)?(?:run:\s*)?(?:\.venv/bin/)?(bench [a-z].*)$")
"""A command in a workflow."""


@dataclass(frozen=True)
class Block:
    """A fenced block. `exempt`: why it is not run, "" where it is."""

    page: Path
    line: int
    language: str
    text: str
    exempt: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command line of `bench`, from a block or from a sentence."""

    page: Path
    line: int
    text: str
    exempt: str = ""
    inline: bool = False

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}: {self.text}"


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order.

    Raises:
        ValueError: a fence that is not closed.
    """
    lines, out, at = page.read_text("utf-8").splitlines(), list[Block](), 0
    while at < len(lines):
        found = FENCE.match(lines[at])
        if found is None:
            at += 1
            continue
        indent, fence, language = len(found[1]), found[2], found[3]
        end = next((i for i in range(at + 1, len(lines)) if lines[i].strip() == fence), None)
        if end is None:
            raise ValueError(f"{page}:{at + 1}: a block is not closed")
        text = "\n".join(line[indent:] if not line[:indent].strip() else line for line in lines[at + 1 : end])
        out.append(Block(page, at + 1, language, text + "\n", _exempt(lines, at)))
        at = end + 1
    return out


def commands(page: Path) -> list[Command]:
    """Every command line of `bench` on a page: in shell blocks, in indented blocks and in sentences."""
    fenced = blocks(page)
    out = [c for block in fenced if block.language in {*SHELLS, "", "text", "yaml"} for c in _typed(block)]
    inside = {n for block in fenced for n in range(block.line, block.line + block.text.count("\n") + 2)}
    lines = page.read_text("utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if number in inside:
            continue
        indented = LINE.match(line) if line.startswith("    ") else None
        if indented:
            out.append(Command(page, number, _cut(indented[1]), _exempt(lines, _start(lines, number - 1))))
        else:
            out += [Command(page, number, _cut(text), inline=True) for text in INLINE.findall(line)]
    return out


def _typed(block: Block) -> Iterator[Command]:
    """Lines of a shell, of a workflow, or of a block without a language that begin with the command."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if any(line.lstrip().startswith("$ ") for line in lines):
        # beside a prompt the other lines are what was answered
        lines = [line for line in lines if line.lstrip().startswith("$ ")]
    for line in lines:
        if found := (STEP if block.language == "yaml" else LINE).match(line):
            yield Command(block.page, block.line, _cut(found[1]), block.exempt)


def _start(lines: list[str], at: int) -> int:
    """The first line of the indented block that line `at` is in."""
    while at and (lines[at - 1].startswith("    ") and lines[at - 1].strip()):
        at -= 1
    return at


def _exempt(lines: list[str], at: int) -> str:
    """The reason that stands before the block that begins at line `at`."""
    before = next((line for line in reversed(lines[:at]) if line.strip()), "")
    found = EXEMPT.fullmatch(before.strip())
    return found[1] if found else ""


def _cut(text: str) -> str:
    """The command alone, without comment, pipe, redirection or what follows it."""
    return re.split(r"\s(?:#|\||&&|;|>|2>)\s?", text)[0].strip()
