"""Every codec has its row or its reason: the codecs of `pending.toml` that a set of records has no row for.

To stand under the cross-codec table:

    lines = as_text(pending(records)), or as_markdown(pending(records))

A row with random weights fills nothing, since it says nothing of the codec.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from bench.config import Card, read_card
from bench.record import Record
from leaderboard.references import plugin_of
from leaderboard.text import markdown, wrapped

FILE = Path(__file__).with_name("pending.toml")
WIDTH = 80


class Wanted(Card):
    """A codec that the table is to hold.

    `spec` is NAME[@TAP][+stackF]. `weights`: the files that are not shipped, "" where all are; `argument` stands for
    them on the command line where nothing fetches them.
    """

    spec: str = Field(min_length=1)
    weights: str = ""
    argument: str = ""


class PendingCard(Card):
    """The file: the codecs of one task on one dataset under one suite."""

    task: str
    suite: str
    dataset: str
    codecs: tuple[Wanted, ...]


@dataclass(frozen=True)
class Pending:
    """A codec without a row, why, and the command that gives it one."""

    codec: str
    reason: str
    command: str


def pending(records: Iterable[Record], path: Path = FILE) -> list[Pending]:
    """The codecs of the file that no record has a row for, in the file's order.

    Args:
        records: those of one table; a codec has its row where a record of that plug-in, with trained weights and
            at any tap or stacking, scored the file's task.

    Raises:
        CardError: a file that is malformed.
    """
    card = read_card(path, PendingCard)
    filled = {plugin_of(record.codec.name) for record in records if record.codec.trained and _scored(record, card.task)}
    return [_pending(wanted, card) for wanted in card.codecs if plugin_of(wanted.spec) not in filled]


def _scored(record: Record, task: str) -> bool:
    entry = record.tasks.get(task)
    return entry is not None and any(column.values for column in entry.columns.values())


def _pending(wanted: Wanted, card: PendingCard) -> Pending:
    reason = f"pending weights: {wanted.weights}" if wanted.weights else "pending run: its weights are here"
    codec = f"{wanted.spec}:{wanted.argument}" if wanted.argument else wanted.spec
    options = {"suite": card.suite, "task": card.task, "codecs": codec, "dataset": card.dataset}
    parts = [part for name, value in options.items() for part in (f"--{name}", value)]
    return Pending(wanted.spec, reason, shlex.join(["bench", "run", *parts]))


def as_text(found: Sequence[Pending]) -> str:
    """For a terminal of 80 columns: two lines a codec; "" where nothing is pending. A command is never broken."""
    return "\n".join(f"{wrapped(f'– {p.codec}: {p.reason}', WIDTH, indent='  ')}\n    {p.command}" for p in found)


def as_markdown(found: Sequence[Pending]) -> str:
    """A list, one item a codec; "" where nothing is pending."""
    return "\n".join(f"- {markdown(p.codec)}: {markdown(p.reason)}: `{p.command}`" for p in found)
