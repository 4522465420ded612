"""CITATION.cff keeps the rules of the Citation File Format 1.2.0, and says what the package says."""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from bench import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
# all that the schema allows, at the top and of an author that is no person; it takes no others
ROOT_KEYS = re.findall(
    r"\S+",
    """abstract authors cff-version commit contact date-released doi identifiers keywords license license-url message
    preferred-citation references repository repository-artifact repository-code title type url version""",
)
ENTITY_KEYS = re.findall(
    r"\S+",
    """address alias city country date-end date-start email fax location name orcid post-code region tel website""",
)
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_it_has_what_the_schema_requires_and_nothing_it_forbids() -> None:
    assert {"authors", "cff-version", "message", "title"} <= CITATION.keys() <= set(ROOT_KEYS)
    assert CITATION["cff-version"] == "1.2.0" and CITATION.get("type", "software") in ("software", "dataset")
    assert all(isinstance(CITATION[key], str) and CITATION[key] for key in ("message", "title", "version", "license"))
    assert CITATION["authors"] and len({str(a) for a in CITATION["authors"]}) == len(CITATION["authors"])
    for author in CITATION["authors"]:
        assert {"name"} <= author.keys() <= set(ENTITY_KEYS)
    assert len(set(CITATION["keywords"])) == len(CITATION["keywords"]) > 0


def test_it_says_what_the_package_says() -> None:
    assert CITATION["version"] == __version__
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["keywords"] == sorted(PROJECT["keywords"])


def test_a_release_has_its_date() -> None:
    done = subprocess.run(["git", "tag", "--list", f"v{__version__}"], cwd=ROOT, capture_output=True, text=True)
    if done.stdout.strip():
        assert isinstance(CITATION["date-released"], datetime.date)
    elif "date-released" in CITATION:
        # a clone may be without tags, the changelog is not
        assert f"## {__version__} - {CITATION['date-released']}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_it_names_no_address_that_nobody_gave() -> None:
    given = " ".join(PROJECT.get("urls", {}).values())
    for address in re.findall(r"https?://\S+", (ROOT / "CITATION.cff").read_text("utf-8")):
        assert address in given
