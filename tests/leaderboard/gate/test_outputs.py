"""One outcome in every format: the same facts, hostile names inert, and within what each reader takes."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from leaderboard.gate.annotations import MOST, as_annotations, command
from leaderboard.gate.change import Change, Outcome
from leaderboard.gate.comment import LONGEST, MARK, as_comment
from leaderboard.gate.diff import as_text
from leaderboard.gate.document import as_json
from leaderboard.gate.judge import compare
from leaderboard.gate.junit import as_junit

HOSTILE = (
    "<script>alert(1)</script>\x1b[31m\u202e |`]]>\r\n::error::x @all https://evil.example www.evil.example &amp; **b**"
)


def outcome(made: Any, name: str = "raw_ar", columns: int = 2) -> Outcome:
    """The first column regressed, the last was lost, one row is refused and one was not run."""
    cards = [made.column(f"c{i}", f"c{i}", unit="dB", margin=0.05) for i in range(columns)]
    values = made.spread(1.0, 0.0)
    worse = {u: v - 0.5 for u, v in values.items()}
    old = made.make(name, {"t": made.entry(dict.fromkeys(cards, values)), "late": made.entry({cards[0]: values})})
    given = {card: worse if i == 0 else values for i, card in enumerate(cards[:-1])}
    new = made.make(name, {"t": made.entry(given, skipped_columns={cards[-1].name: HOSTILE})}, weights_digest="w2")
    # a row of another dataset is refused, and one is not run
    others = [made.make("z"), made.make("absent")]
    return compare([old, *others], [new, made.make("z", dataset_digest="b2")])


def test_they_all_say_the_same(made: Any) -> None:
    found = outcome(made)
    assert (len(found.regressed), len(found.refused), found.code) == (2, 1, 2)
    document = json.loads(as_json(found))
    assert (document["exit_code"], document["regressed"], len(document["refused"])) == (2, 2, 1)
    root = ElementTree.fromstring(as_junit(found))
    assert (root.get("failures"), root.get("errors"), root.get("skipped")) == ("2", "1", "2")
    for text in (as_text(found), as_comment(found, {}), as_annotations(found, {}), as_junit(found)):
        assert "dataset content differs" in text
        assert "c0" in text and "model drift" in text
        assert "2 regressed, 0 improved, 0 unchanged, 1 refused, in 1 rows" in text


# --- JUnit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["raw_ar", HOSTILE])
def test_junit_has_what_its_schema_asks_for(made: Any, name: str) -> None:
    text = as_junit(outcome(made, name, columns=5))
    assert text.startswith('<?xml version="1.0" encoding="utf-8"?>\n<testsuites ')
    root = ElementTree.fromstring(text)
    assert root.tag == "testsuites" and {suite.tag for suite in root} == {"testsuite"}
    kinds = {"tests": None, "failures": "failure", "errors": "error", "skipped": "skipped"}
    for node in (root, *root):
        cases = list(node.iter("testcase"))
        for attribute, tag in kinds.items():
            count = len(cases) if tag is None else sum(case.find(tag) is not None for case in cases)
            assert int(str(node.get(attribute))) == count > -1, attribute
    for case in root.iter("testcase"):
        assert case.get("name") and case.get("classname")
        assert len(case) <= 1 and {child.tag for child in case} <= {"failure", "error", "skipped", "system-out"}
    for failure in [*root.iter("failure"), *root.iter("error")]:
        assert failure.get("message") and failure.get("type") and failure.text
    names = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(set(names)) == len(names)


# --- GitHub ---------------------------------------------------------------------------------------------------


def test_annotations_name_the_file_and_are_one_line_each(made: Any) -> None:
    found = outcome(made, HOSTILE)
    (key,) = {change.key for change in found.changes}
    lines = as_annotations(found, {key: "leaderboard/records/a,b:c.json"}).split("\n")
    levels = [re.match(r"::(error|notice) ", line) for line in lines]
    assert [level and level[1] for level in levels] == ["error"] * 3 + ["notice"]
    regressed = [line for line in lines if "regressed" in line and line.startswith("::error")]
    assert all(line.startswith("::error file=leaderboard/records/a%2Cb%3Ac.json,title=") for line in regressed)
    for line in lines:
        title = line.split("title=")[1].split("::")[0]
        assert not re.search(r"[:,\r\n]|%(?!25|0A|0D|3A|2C)", title)
        assert line.count("::", len("::error ")) >= 1


def test_annotations_escape_what_github_asks_for() -> None:
    assert command("error", "", "100 %\r\n::stop::", "") == "::error ::100 %25%0D%0A::stop::"
    assert command("error", "a%b:c,d\n", "m", "f") == "::error file=f,title=a%25b%3Ac%2Cd%0A::m"


def test_no_more_annotations_than_github_shows(made: Any) -> None:
    found = Outcome([Change(("s", "d", "c", "n"), "t", f"c{i}", "regressed", reason="gone") for i in range(99)])
    lines = as_annotations(found, {}).split("\n")
    assert sum(line.startswith("::error") for line in lines) == MOST
    assert "90 more regressions" in lines[MOST - 1]


# --- the comment ----------------------------------------------------------------------------------------------


def test_the_comment_says_what_regressed_first_and_how_to_make_it_again(made: Any) -> None:
    found = outcome(made)
    (key,) = {change.key for change in found.changes}
    said = as_comment(found, {key: "bench run --submission raw_ar"}, "| a |\n|---|\n| raw_ar (new) |")
    assert said.startswith(f"{MARK}\n### `bench check`: cannot be compared\n")
    order = [said.index(part) for part in ("#### Refused", "#### Regressed", "#### Make them again", "<details>")]
    assert order == sorted(order)
    assert "<code>bench run --submission raw_ar</code>" in said
    assert (
        "| <code>raw_ar</code> | <code>t.c0</code> | 1.00 | 0.50 | −0.50 [−0.50, −0.50] <code>dB</code> | 0.05 |"
        in said
    )
    assert "raw_ar (new)" in said


def test_hostile_text_is_inert_in_the_comment(made: Any) -> None:
    found = outcome(made, HOSTILE)
    (key,) = {change.key for change in found.changes}
    said = as_comment(found, {key: HOSTILE})
    assert "<script" not in said and "\x1b" not in said and "\u202e" not in said
    assert "https://evil" not in said and "www.evil" not in said
    outside = re.sub(r"<code>.*?</code>", "", said)
    assert "@all" not in outside and "alert" not in outside and "evil" not in outside
    # every row of a table has as many cells as its header
    tables = [line for line in said.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {10}


def test_a_comment_of_any_length_is_short_enough_and_says_what_it_lacks() -> None:
    key = ("s", "d", "c", "n" * 5000)
    changes = [Change(key, "t" * 500, f"c{i}" * 50, "regressed", reason="r" * 9000) for i in range(3000)]
    found = Outcome(changes, refused=["x" * 5000] * 500)
    said = as_comment(found, {key: "c" * 99999}, beside="b" * 70000)
    assert len(said) < LONGEST
    assert "Left out, since a comment may not be longer: the tables." in said
    assert "… and 2940 more." in said
