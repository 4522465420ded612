"""Cards: what is unknown, missing or of another type is named with its file and key."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from bench.config import (
    Card,
    SubmissionCard,
    SuiteCard,
    TaskCard,
    merged,
    overridden,
    parameters,
    read_card,
    task_card,
)
from bench.contract import CAPABILITIES
from bench.errors import CardError
from bench.fitting import FitConfig

SUITE = """
name = "s"
description = "d"
codec = "c"
dataset = "d"
tasks = ["a", "b"]
[minutes]
train = 1
[parameters.a.fit]
steps = 3
"""
TASK = """
name = "t"
version = 1
title = "T"
question = "Q?"
needs = ["represent"]
horizons_ms = [80, 160]
[parameters]
draws = 3
[[columns]]
name = "gain"
title = "gain"
unit = "nats/frame"
better = "higher"
"""
ROW = """
name = "r"
plugin = "p"
title = "R"
description = "d"
authors = "a"
[parameters.fit]
steps = 9
lr = 0.1
[suite_parameters.quick.fit]
steps = 2
"""
GOOD: dict[type[Card], str] = {SuiteCard: SUITE, TaskCard: TASK, SubmissionCard: ROW}


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return tmp_path / "card.toml"


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_card_is_read(card: Path, kind: type[Card]) -> None:
    card.write_text(GOOD[kind])
    read = read_card(card, kind)
    assert kind.model_validate_json(read.model_dump_json()) == read


def test_values_of_a_card(card: Path) -> None:
    card.write_text(TASK)
    read = read_card(card, TaskCard)
    assert read.horizons_ms == (80, 160)
    assert read.columns[0].better == "higher"
    assert read.columns[0].margin is None
    assert task_card(str(card.with_suffix(".py"))) == read


def edited(kind: type[Card], old: str, new: str) -> str:
    assert old in GOOD[kind]
    return GOOD[kind].replace(old, new, 1)


@pytest.mark.parametrize(
    ("kind", "old", "new", "expected"),
    [
        # unknown keys at every level
        (SuiteCard, 'codec = "c"', 'codec = "c"\ncodek = "c"', "codek: Extra inputs"),
        (SuiteCard, "train = 1", "trian = 1", r"minutes\.trian.*'train', 'valid' or 'test'"),
        (SuiteCard, "[parameters.a.fit]", "[parameters.c.fit]", "parameters.c is for no task of the suite; .* a, b"),
        (TaskCard, "version = 1", "version = 1\nverison = 1", "verison: Extra inputs"),
        (TaskCard, 'title = "gain"', 'title = "gain"\nworse = 1', r"columns\.0\.worse: Extra inputs"),
        (SubmissionCard, 'authors = "a"', 'authors = "a"\nauthor = "b"', "author: Extra inputs"),
        # missing keys
        (SuiteCard, 'dataset = "d"', "", "dataset: Field required"),
        (TaskCard, 'unit = "nats/frame"', "", r"columns\.0\.unit: Field required"),
        (SubmissionCard, 'plugin = "p"', "", "plugin: Field required"),
        # strict types: nothing is converted
        (SuiteCard, 'tasks = ["a", "b"]', 'tasks = "a"', "tasks: Input should be a valid array"),
        (SuiteCard, 'tasks = ["a", "b"]', "tasks = [1]", r"tasks\.0: Input should be a valid string"),
        (SuiteCard, "train = 1", 'train = "1"', r"minutes\.train: Input should be a valid number"),
        (SuiteCard, "train = 1", "train = 0", r"minutes\.train: Input should be greater than 0"),
        (SuiteCard, "train = 1", "train = nan", r"minutes\.train: expected a finite number"),
        (SuiteCard, "steps = 3", "steps = [1.0, inf]", r"parameters\.a\.fit\.steps\.1: expected a finite number"),
        (SuiteCard, 'codec = "c"', 'codec = "c"\nseed = 1.0', "seed: Input should be a valid integer"),
        (TaskCard, "version = 1", 'version = "1"', "version: Input should be a valid integer"),
        (TaskCard, "version = 1", "version = true", "version: Input should be a valid integer"),
        (TaskCard, "version = 1", "version = 0", "version: Input should be greater than or equal to 1"),
        (TaskCard, 'better = "higher"', 'better = "more"', r"columns\.0\.better: Input should be 'higher'"),
        (TaskCard, 'name = "t"', 'name = "T t"', "name: String should match"),
        (TaskCard, '["represent"]', '["telepathy"]', "needs: .*no capability 'telepathy'; there are: represent"),
        (SubmissionCard, "[parameters.fit]", "[[parameters.fit]]", None),
        (
            SubmissionCard,
            "[suite_parameters.quick.fit]",
            "[suite_parameters]\nquick = 3\n[x]",
            "suite_parameters.quick",
        ),
        # not TOML at all
        (SuiteCard, 'codec = "c"', "codec = c", r"not TOML: .*line 4"),
        (SuiteCard, 'codec = "c"', 'codec = "c"\ncodec = "d"', "not TOML: .*overwrite"),
    ],
)
def test_a_bad_card_names_file_and_key(card: Path, kind: type[Card], old: str, new: str, expected: str | None) -> None:
    card.write_text(edited(kind, old, new))
    if expected is None:
        # a plug-in's own parameters are any TOML; the plug-in checks them
        read_card(card, kind)
        return
    with pytest.raises(CardError, match=expected) as caught:
        read_card(card, kind)
    assert str(caught.value).startswith(f"{card}: ")
    assert "\n" not in str(caught.value)


def test_a_column_declared_twice(card: Path) -> None:
    column = TASK[TASK.index("[[columns]]") :]
    card.write_text(TASK + column)
    with pytest.raises(CardError, match="columns: .*gain is declared twice"):
        read_card(card, TaskCard)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "No such file"), ("folder", "Is a directory"), (b"\xff\xfe\x00", "not TOML")],
)
def test_a_card_that_cannot_be_read(card: Path, content: str | bytes | None, expected: str) -> None:
    if content == "folder":
        card.mkdir()
    elif isinstance(content, bytes):
        card.write_bytes(content)
    with pytest.raises(CardError, match=expected) as caught:
        read_card(card, SuiteCard)
    assert str(caught.value).startswith(f"{card}: ")


def test_what_decides_is_not_how_it_is_shown(card: Path) -> None:
    card.write_text(TASK)
    base = read_card(card, TaskCard).decisive()
    for old, new, moves in [
        ('question = "Q?"', 'question = "Why?"', False),
        ('title = "gain"', 'title = "Gain"\nhelp = "more"\nmargin = 0.5\ndecimals = 3\nheadline = true', False),
        ("version = 1", "version = 2", True),
        ("[80, 160]", "[80]", True),
        ('name = "gain"', 'name = "loss"', True),
        ('unit = "nats/frame"', 'unit = "bit"', True),
        ("draws = 3", "draws = 4", True),
    ]:
        card.write_text(edited(TaskCard, old, new))
        assert (read_card(card, TaskCard).decisive() != base) is moves, new


# --- parameters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "over", "expected"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"c": 3}}}, {"a": {"b": {"c": 3, "d": 2}}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
    ],
)
def test_merged(base: dict[str, object], over: dict[str, object], expected: dict[str, object]) -> None:
    before = repr(base)
    assert merged(base, over) == expected
    assert merged(merged(base, over), over) == expected
    assert repr(base) == before


def test_a_card_resolves_for_its_suite(card: Path) -> None:
    card.write_text(ROW)
    read = read_card(card, SubmissionCard)
    assert read.resolved("quick") == {"fit": {"steps": 2, "lr": 0.1}}
    assert read.resolved("mini") == {"fit": {"steps": 9, "lr": 0.1}}


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({"drawz": 1}, "who: parameter drawz is unknown; there are: draws, probe, share"),
        ({"probe": {"stepz": 1}}, "who.probe: parameter stepz is unknown; there are: steps"),
        ({"draws": "3"}, "who: parameter draws must be of type int, got '3'"),
        ({"draws": 3.5}, "who: parameter draws must be of type int, got 3.5"),
        ({"draws": True}, "who: parameter draws must be of type int, got True"),
        ({"probe": 3}, "who: parameter probe must be of type dict, got 3"),
        ({"draws": {"a": 1}}, "who: parameter draws must be of type int, got {'a': 1}"),
    ],
)
def test_a_suite_sets_only_what_a_task_declares(over: dict[str, object], expected: str) -> None:
    with pytest.raises(CardError) as caught:
        overridden({"draws": 2, "share": 0.5, "probe": {"steps": 4}}, over, "who")
    assert str(caught.value) == expected


def test_a_suite_may_give_a_whole_number_for_a_share() -> None:
    assert overridden({"share": 0.5, "n": 1}, {"share": 1}, "who") == {"share": 1, "n": 1}


@dataclass(frozen=True)
class Inner:
    steps: Annotated[int, Field(ge=1)] = 4
    rate: float = 0.5


@dataclass(frozen=True)
class Outer:
    mode: Literal["strict", "note"] = "strict"
    horizons: tuple[int, ...] = (1, 2)
    inner: Inner = field(default_factory=Inner)


def test_parameters_become_a_frozen_configuration() -> None:
    made = parameters(Outer, {"horizons": [3], "inner": {"rate": 1}}, "model")
    assert made == Outer(horizons=(3,), inner=Inner(rate=1.0))
    assert parameters(Outer, {}, "model") == Outer()
    assert parameters(Outer, {"inner": Inner(steps=7)}, "model").inner.steps == 7


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"mod": "note"}, "model: parameter mod is unknown; there are: horizons, inner, mode"),
        ({"inner": {"step": 3}}, "model: parameter inner.step is unknown; there are: rate, steps"),
        ({"mode": "loose"}, "model: parameter mode: input should be 'strict' or 'note', got 'loose'"),
        ({"inner": {"steps": "3"}}, "model: parameter inner.steps: input should be a valid integer, got '3'"),
        ({"inner": {"steps": 3.0}}, "model: parameter inner.steps: input should be a valid integer, got 3.0"),
        ({"inner": {"steps": True}}, "model: parameter inner.steps: input should be a valid integer, got True"),
        ({"inner": {"steps": 0}}, "model: parameter inner.steps: input should be greater than or equal to 1, got 0"),
        ({"inner": 5}, "model: parameter inner: input should be an object, got 5"),
        ({"horizons": [1, "2"]}, "model: parameter horizons.1: input should be a valid integer, got '2'"),
    ],
)
def test_bad_parameters_name_the_plugin_and_the_field(values: dict[str, object], expected: str) -> None:
    with pytest.raises(CardError) as caught:
        parameters(Outer, values, "model")
    assert str(caught.value) == expected


@pytest.mark.parametrize("name", ["steps", "batch", "warmup", "evaluate_every", "lr", "clip"])
def test_a_budget_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(CardError, match=re.escape(f"model: parameter {name}: input should be greater than")):
        parameters(FitConfig, {name: 0}, "model")


def test_the_capabilities_that_a_card_may_need_are_those_of_the_contract(card: Path) -> None:
    for name in CAPABILITIES:
        card.write_text(edited(TaskCard, '"represent"', f'"{name}"'))
        assert read_card(card, TaskCard).needs == (name,)
