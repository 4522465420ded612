"""The answers of `bench submit`: one line a rule, and what the pull request has to hold."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

from bench.conformance.rule import Result
from bench.record import Record
from bench.registry import submission_files

MARKS = {"passed": "[ok]    ", "failed": "[FAILED]", "not applicable": "[-]     "}
WIDTH, LONGEST = 80, 600
RECORDS, CARDS = "leaderboard/records", "submissions"


def terminal(results: Sequence[Result]) -> str:
    """What must hold, and under it the numbers or what to do."""
    lines = []
    for one in results:
        lines += textwrap.wrap(f"{MARKS[one.verdict]} {one.holds}", WIDTH, subsequent_indent=" " * 9)
        lines += textwrap.wrap(_plain(one.detail), WIDTH, initial_indent=" " * 9, subsequent_indent=" " * 9)
    return "\n".join(lines)


def _plain(text: str) -> str:
    """What a stranger wrote, without what a terminal would obey, and cut."""
    kept = "".join(c if c.isprintable() else " " for c in text)
    return kept if len(kept) <= LONGEST else kept[: LONGEST - 1] + "…"


def closing(record: Record, path: Path, results: Sequence[Result], ships: bool) -> str:
    """What is left to do: to mend, or, where nothing is, the files of the pull request."""
    broken = [one for one in results if one.verdict == "failed"]
    if broken:
        count = f"{len(broken)} of {len(results)} points" if len(broken) > 1 else f"1 of {len(results)} points"
        return f"{count} to mend; nothing to propose yet."
    steps = [shlex.join(["cp", str(path), f"{RECORDS}/{record.filename}"])]
    samples = path.parent / "samples" / path.stem
    if samples.is_dir():
        steps.append(shlex.join(["cp", "-r", str(samples), f"{RECORDS}/samples/"]))
    name = record.submission.name.partition("@")[0]
    if name in submission_files() and not (ships and submission_files()[name].parent.name == CARDS):
        steps.append(shlex.join(["cp", str(submission_files()[name]), f"{CARDS}/{name}.toml"]))
    steps.append("bench leaderboard --suite mini --brief --format md --write README.md")
    steps.append("bench leaderboard --format md --write docs/leaderboard.md")
    steps.append(f"git add {RECORDS} {CARDS} README.md docs/leaderboard.md")
    steps.append(shlex.join(["git", "commit", "-m", f"Add the row {_plain(record.submission.name)}"]))
    said = "Everything holds. In a checkout of LatentBench, on a new branch:\n\n" + "\n".join(f"    {s}" for s in steps)
    said += "\n\nPush it and open a pull request."
    if not ships:
        said += (
            f" The plug-in {_plain(record.submission.plugin)} is of another package: bring its module into baselines/"
            " with its entry point in pyproject.toml first, commit, and make the row again from that commit, so that"
            " whoever has the checkout can reproduce it. A digest of code covers the module's name."
        )
        head, _, tail = said.rpartition("\n\n")
        return f"{head}\n\n{textwrap.fill(tail, WIDTH)}"
    return said
