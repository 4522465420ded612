"""The samples of a board as pages, one an utterance: what is the same for all rows once, the rest row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leaderboard.board import Board, Row
from leaderboard.report.media import Clip, Samples, rank
from leaderboard.report.names import slug
from leaderboard.report.tables import row_page

COMMON = ("original", "codec")
"""Modes that no row makes: one clip for all, where all rows have the same."""


@dataclass(frozen=True)
class Heard:
    """One row's clips of an utterance."""

    row: Row
    page: str
    control: str
    clips: Sequence[Clip]


@dataclass(frozen=True)
class Listening:
    """One utterance of a board. `page` is from the site's root."""

    utterance: str
    page: str
    speaker: str
    text: str
    common: Sequence[Clip]
    rows: Sequence[Heard]


def pages(board: Board, order: Sequence[str], samples: Mapping[str, Samples]) -> list[Listening]:
    """Every utterance that some row lets hear, in order.

    Args:
        order: rows by name, as the tables have them.
        samples: row → its samples.
    """
    utterances = sorted({u for found in samples.values() for u in found.clips})
    return [_page(board, order, samples, u, number) for number, u in enumerate(utterances, start=1)]


def page_of(board: Board, number: int) -> str:
    """The page of a board's nth utterance, from 1."""
    return f"samples/{slug(board.suite, board.dataset, board.codec)}-{number}.html"


def _page(board: Board, order: Sequence[str], samples: Mapping[str, Samples], utterance: str, number: int) -> Listening:
    rows = {row.name: row for row in board.rows}
    of = {n: samples[n].clips.get(utterance, {}) for n in order if n in samples}
    common = _common(list(of.values()))
    heard = []
    for name, clips in of.items():
        own = [clip for mode, clip in clips.items() if mode not in common]
        if own:
            heard.append(Heard(rows[name], row_page(rows[name]), board.control(rows[name]), own))
    entry = board.newest.dataset.utterances.get(utterance)
    spoken = next((s.texts[utterance] for s in samples.values() if utterance in s.texts), "")
    kept = [common[mode] for mode in sorted(common, key=rank)]
    return Listening(utterance, page_of(board, number), entry.speaker if entry else "", spoken, kept, heard)


def _common(rows: Sequence[Mapping[str, Clip]]) -> dict[str, Clip]:
    """Mode → its clip, where every row that has one has the same. A copy that is missing does not differ."""
    found = {}
    for mode in COMMON:
        clips = [row[mode] for row in rows if mode in row]
        there = [clip for clip in clips if clip.audio]
        if len({clip.audio for clip in there}) == 1:
            found[mode] = next((clip for clip in there if clip.thumbnail), there[0])
    return found
