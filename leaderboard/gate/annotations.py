"""What a check found, as GitHub's workflow commands: an error for what regressed or was refused, on the record's file.

References:
    GitHub Actions, "Workflow commands": data escape %, CR and LF; properties also : and ,.
"""

from __future__ import annotations

from collections.abc import Mapping

from leaderboard.gate.change import Key, Outcome
from leaderboard.gate.diff import headline
from leaderboard.gate.words import column_name, row_name, sentence
from leaderboard.text import plain

MOST = 10
"""GitHub shows ten errors a step."""


def as_annotations(found: Outcome, files: Mapping[Key, str]) -> str:
    """One line a regression or refusal, and a notice with the counts.

    Args:
        files: row → its record's file, relative to the repository.
    """
    lines = [command("error", "refused", plain(line), "") for line in found.refused]
    for change in found.regressed:
        title = f"{row_name(change.key)}: {column_name(change)} regressed"
        lines.append(command("error", title, sentence(change), files.get(change.key, "")))
    if len(lines) > MOST:
        rest = f"{len(lines) - MOST + 1} more regressions or refusals; the whole list is in the other outputs"
        lines = [*lines[: MOST - 1], command("error", "bench check", rest, "")]
    return "\n".join([*lines, command("notice", "bench check", headline(found), "")])


def command(level: str, title: str, message: str, file: str) -> str:
    r"""A workflow command.

    >>> command("error", "a,b", "50 % worse\nthan before", "x:y.json")
    '::error file=x%3Ay.json,title=a%2Cb::50 %25 worse%0Athan before'
    """
    named = [f"{name}={_property(value)}" for name, value in (("file", file), ("title", title)) if value]
    return f"::{level} {','.join(named)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
