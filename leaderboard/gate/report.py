"""One outcome in every format, with what each needs beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.record import Record
from leaderboard.board import board_key, boards
from leaderboard.formats import CheckFormat, TableFormat
from leaderboard.gate.annotations import as_annotations
from leaderboard.gate.change import Outcome
from leaderboard.gate.comment import as_comment
from leaderboard.gate.diff import as_text
from leaderboard.gate.document import as_json
from leaderboard.gate.junit import as_junit
from leaderboard.show import tables_of

LONG = 30_000
"""Characters of tables that leave room for the rest of a comment."""


@dataclass(frozen=True)
class Report:
    """What a check found and the records it read. `folder`: of the fresh ones, as it was given."""

    found: Outcome
    committed: Sequence[Record]
    fresh: Sequence[Record]
    folder: Path
    wide: bool = False

    def text(self, form: CheckFormat) -> str:
        """The outcome in one format."""
        if form is CheckFormat.json:
            return as_json(self.found)
        if form is CheckFormat.junit:
            return as_junit(self.found)
        if form is CheckFormat.github:
            return as_annotations(self.found, {r.key: (self.folder / r.filename).as_posix() for r in self.fresh})
        if form is CheckFormat.md:
            return as_comment(self.found, {r.key: r.command for r in self.fresh}, self._beside())
        return as_text(self.found, self.wide)

    def _beside(self) -> str:
        """The boards that a fresh row is new to or changed in, it among the committed ones; briefly, where long."""
        known = {record.digest for record in self.committed}
        keys = {board_key(record) for record in self.fresh if record.digest not in known}
        found = [b for b in boards(self.committed, self.fresh) if (b.suite, b.dataset, b.codec) in keys]
        if not found:
            return ""
        whole = tables_of(found, TableFormat.md, False)
        return whole if len(whole) <= LONG else tables_of(found, TableFormat.md, False, brief=True)
