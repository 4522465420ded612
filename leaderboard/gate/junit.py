"""What a check found, as JUnit XML: a suite a row, a case a column, a failure where it regressed.

What was refused is an error in a suite of its own; what was not run is skipped.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from leaderboard.gate.change import Change, Key, Outcome
from leaderboard.gate.diff import headline
from leaderboard.gate.words import column_name, row_name, sentence
from leaderboard.text import plain

HEADER = '<?xml version="1.0" encoding="utf-8"?>'
Case = tuple[str, str, str, str]
"""Class, name, what the case is ("", "failure", "error" or "skipped"), and what is said of it."""


def as_junit(found: Outcome) -> str:
    """The document, indented, with its declaration."""
    suites: dict[str, list[Case]] = {}
    if found.refused:
        suites["records"] = [
            ("records", f"refusal {i}", "error", plain(line)) for i, line in enumerate(found.refused, 1)
        ]
    for change in found.changes:
        suites.setdefault(row_name(change.key), []).append(_case(change))
    for key, task in [*((key, "") for key in found.not_run), *found.tasks_not_run]:
        suites.setdefault(row_name(key), []).append(_not_run(key, task))
    root = ElementTree.Element(
        "testsuites",
        {"name": f"bench check: {headline(found)}", **_counts([case for cases in suites.values() for case in cases])},
    )
    for name, cases in suites.items():
        suite = ElementTree.SubElement(root, "testsuite", {"name": name, **_counts(cases)})
        for of, case, kind, said in cases:
            element = ElementTree.SubElement(suite, "testcase", {"classname": of, "name": case, "time": "0"})
            if kind == "":
                ElementTree.SubElement(element, "system-out").text = said
            else:
                ElementTree.SubElement(element, kind, {"message": said, "type": kind}).text = said
    ElementTree.indent(root)
    return f"{HEADER}\n{ElementTree.tostring(root, encoding='unicode')}\n"


def _case(change: Change) -> Case:
    kind = "failure" if change.verdict == "regressed" else ""
    return row_name(change.key), column_name(change), kind, sentence(change)


def _not_run(key: Key, task: str) -> Case:
    return row_name(key), plain(task, 60) or "row", "skipped", "not run"


def _counts(cases: list[Case]) -> dict[str, str]:
    def count(kind: str) -> str:
        return str(sum(case[2] == kind for case in cases))

    return {
        "tests": str(len(cases)),
        "failures": count("failure"),
        "errors": count("error"),
        "skipped": count("skipped"),
        "time": "0",
    }
