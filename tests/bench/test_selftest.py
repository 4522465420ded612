"""The self-test: tolerances and sides, resuming, and what a record may say of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench import environment, selftest, selftest_report
from bench.cache import Cache
from bench.calibration.check import Measured
from bench.errors import PluginError, UnknownName
from bench.progress import Bar
from tests.conftest import Done
from tests.plugins import Lab

CHECKS = """
from pathlib import Path

from bench.calibration.check import Check, Measured
from bench.contract import Skipped

COUNT = Path(__file__).with_name("count")
VALUE = 1.0


def counted(seed):
    with COUNT.open("a") as file:
        file.write("x")
    return [Measured("mean", "1", VALUE + 0.01 * seed, 1.0, 0.02)]


def checks():
    return [
        Check("density: mean", "F0", "fast", counted),
        Check("density: slow", "F1", "full", lambda seed: [Measured("slow", "1", 2.0, 2.0, 0.0)]),
    ]
"""


def measured(value: float, side: str = "both", error: float = 0.0) -> Measured:
    return Measured("m", "1", value, 1.0, 0.1, error, side)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "passed"),
    [
        (measured(1.1 - 1e-9), True),
        (measured(1.11), False),
        (measured(0.89), False),
        (measured(1.25, error=0.1), True),
        (measured(1.31, error=0.1), False),
        (measured(0.5, "at most"), True),
        (measured(1.2, "at most"), False),
        (measured(1.5, "at least"), True),
        (measured(0.8, "at least"), False),
        (measured(math.nan), False),
        (measured(math.inf, "at least"), False),
        (measured(-math.inf, "at most"), False),
    ],
)
def test_tolerance_is_three_standard_errors_or_the_stated_one(one: Measured, passed: bool) -> None:
    assert one.passed is passed


@pytest.fixture
def group(lab: Lab) -> Lab:
    lab.write("known.py", CHECKS)
    lab.install("selftests", density="tinylab.known:checks")
    return lab


def run(cache: Path, preset: str = "fast") -> selftest.Group:
    (made,) = selftest.run(preset, ["density"], Cache(cache), Bar(quiet=True))  # type: ignore[arg-type]
    return made


def test_runs_at_two_seeds_and_full_holds_fast(group: Lab, tmp_path: Path) -> None:
    fast, full = run(tmp_path / "c"), run(tmp_path / "c", "full")
    assert [o.check for o in fast.outcomes] == ["density: mean"]
    assert [o.check for o in full.outcomes] == ["density: mean", "density: slow"]
    assert [row.measured for seed in (0, 1) for row in fast.outcomes[0].rows[seed]] == [1.0, 1.01]
    assert fast.passed and full.passed
    # what is known is not measured again
    assert group.path("count").read_text() == "xx"


def test_a_change_of_code_makes_it_unknown(group: Lab, tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert selftest.passed_by(["density"], cache) is None
    run(tmp_path)
    entry = selftest.passed_by(["density"], cache)
    assert entry is not None and entry.passed and entry.preset == "fast"
    run(tmp_path, "full")
    full = selftest.passed_by(["density"], cache)
    assert full is not None and full.preset == "full" and full.digest != entry.digest
    assert selftest.passed_by(["density", "moves"], cache) is None, "moves declares no self-test"
    group.change("known.py", "VALUE = 1.0", "VALUE = 1.001")
    assert selftest.passed_by(["density"], cache) is None


def test_a_row_outside_fails_the_command_and_is_named(group: Lab, tmp_path: Path, bench: Callable[..., Done]) -> None:
    group.change("known.py", "VALUE = 1.0", "VALUE = 1.5")
    done = bench("selftest", "--only", "density", "--cache", tmp_path, "--quiet")
    assert done.code == 1
    assert "seed 1: mean: measured 1.51, truth 1, tolerance ±0.02" in done.out
    assert "0 checks passed, 1 failed" in done.out
    entry = selftest.passed_by(["density"], Cache(tmp_path))
    assert entry is not None and not entry.passed


def test_what_raises_is_a_failure_and_the_others_go_on(group: Lab, tmp_path: Path, bench: Callable[..., Done]) -> None:
    group.change("known.py", '[Measured("slow", "1", 2.0, 2.0, 0.0)]', "1 / 0")
    done = bench("selftest", "--preset", "full", "--only", "density", "--cache", tmp_path, "--quiet")
    assert done.code == 1
    assert (
        "density: slow on F1: FAILED: self-test 'density: slow' raised ZeroDivisionError" in done.out
        and "1 checks passed, 1 failed" in done.out
    )


def test_a_check_that_measures_nothing_has_failed(group: Lab, tmp_path: Path) -> None:
    group.change("known.py", '[Measured("mean", "1", VALUE + 0.01 * seed, 1.0, 0.02)]', "[]")
    made = run(tmp_path)
    assert not made.passed and made.outcomes[0].failed == "it measured nothing"


def test_a_skipped_check_neither_fails_nor_vouches(group: Lab, tmp_path: Path, bench: Callable[..., Done]) -> None:
    group.change("known.py", '[Measured("mean", "1", VALUE + 0.01 * seed, 1.0, 0.02)]', "Skipped('no file')")
    done = bench("selftest", "--preset", "full", "--only", "density", "--cache", tmp_path, "--quiet")
    assert done.code == 0 and "density: mean on F0: skipped: no file" in done.out
    assert selftest.passed_by(["density"], Cache(tmp_path)) is None


def test_what_was_missing_is_looked_for_again(group: Lab, tmp_path: Path) -> None:
    group.change("known.py", "def counted(seed):", "def counted(seed):\n    if not (COUNT.parent / 'file').exists():"
                 "\n        return Skipped('no file')")  # fmt: skip
    assert run(tmp_path).outcomes[0].skipped == "no file"
    group.write("file", "")
    made = run(tmp_path)
    assert not made.outcomes[0].skipped and made.passed


def test_a_value_that_is_not_finite_has_failed_and_can_be_written(group: Lab, tmp_path: Path) -> None:
    group.change("known.py", "VALUE = 1.0", "VALUE = float('nan')")
    made = run(tmp_path)
    assert not made.passed and made.outcomes[0].rows[0][0].measured is None
    assert "not finite" in selftest_report.terminal([made])


def test_unknown_names_and_things_that_are_no_checks(group: Lab, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no self-test 'nonesuch'"):
        selftest.groups(["nonesuch"])
    group.change("known.py", "def checks():\n    return [", "def checks():\n    return [1,")
    with pytest.raises(PluginError, match="self-test 'density': expected a list of checks"):
        run(tmp_path)


def test_the_report_and_the_outcome_that_ships(group: Lab, tmp_path: Path, bench: Callable[..., Done]) -> None:
    page, outcome = tmp_path / "page.md", tmp_path / "passed.json"
    blocks = "".join(f"<!-- {name}:start -->\n<!-- {name}:end -->\n" for name in ("selftest", "overview"))
    page.write_text(f"# Report\n{blocks}")
    done = bench(
        "selftest", "--preset", "full", "--only", "density", "--cache", tmp_path / "c", "--quiet",
        "--write", page, "--overview", page, "--outcome", outcome,
    )  # fmt: skip
    assert done.code == 0, done.err
    text = page.read_text()
    assert "### density (full)" in text and "| mean" in text and "1.01" in text and "within" in text
    # the worst row is off by 0.01 of 0.02
    assert re.search(r"`density` *\| F0, F1 *\| full *\| *2 *\| *4 of 4 *\| *0\.50", text)
    shipped = json.loads(outcome.read_text())["density"]
    entry = selftest.passed_by(["density"], Cache(tmp_path / "c"))
    assert entry is not None and shipped["passed"] and shipped["preset"] == "full"
    assert shipped["code"] == run(tmp_path / "c", "full").entry["code"]


def test_the_shipped_outcome_counts_while_the_code_is_the_same(
    group: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run(tmp_path / "c", "full")
    monkeypatch.setattr(selftest, "_shipped", lambda: {"density": made.entry})
    entry = selftest.passed_by(["density"], Cache(tmp_path / "empty"))
    assert entry is not None and entry.preset == "full"
    for other in ({"source": "other"}, {"packages": {**made.entry["packages"], "torch": "0"}}, {"packages": {}}):
        monkeypatch.setattr(selftest, "_shipped", lambda other=other: {"density": {**made.entry, **other}})
        assert selftest.passed_by(["density"], Cache(tmp_path / "empty")) is None, other


def test_the_shipped_outcome_counts_where_an_optional_package_of_it_is_not_installed(
    group: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not there decides no number: a plain install has no normalising flows."""
    made = run(tmp_path / "c", "full")
    entry = {**made.entry, "code": "with it", "packages": {**made.entry["packages"], "no-such-package": "1.0"}}
    monkeypatch.setattr(selftest, "_shipped", lambda: {"density": entry})
    assert selftest.passed_by(["density"], Cache(tmp_path / "empty")) is not None


def test_what_is_still_known_of_other_groups_stays(group: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that was not run keeps its entry, section and line while its code is what it was, and loses all else."""
    own = run(tmp_path / "c", "full")
    other = replace(own, name="other")
    monkeypatch.setattr(selftest, "groups", lambda: {"density": own.point, "other": own.point})
    both = {"density": own.entry, "other": other.entry}
    monkeypatch.setattr(selftest, "_shipped", lambda: both)
    page = selftest_report.markdown([own, other], environment.capture(torch.device("cpu")))
    line = selftest_report.overview([own, other])
    assert set(selftest.still_known([own])) == {"other"}

    again = selftest_report.markdown([own], environment.capture(torch.device("cpu")), page, {"other"})
    assert again == page and again.startswith("4 checks passed, 0 failed, 0 skipped; ")
    assert selftest_report.overview([own], line, {"other"}) == line
    assert line.endswith("4 checks; 8 of 8 rows within tolerance")
    selftest.write_outcome([own], tmp_path / "passed.json")
    assert json.loads((tmp_path / "passed.json").read_text()) == both

    both["other"] = {**other.entry, "code": "older"}
    assert selftest.still_known([own]) == {}
    alone = selftest_report.markdown([own], environment.capture(torch.device("cpu")), page, {})
    assert "### other" not in alone and alone.startswith("2 checks passed")
