"""Whether the estimators recover what is known: runs the checks that tasks and models declare.

A group is one entry point of `latentbench.selftests`, named after the task or submission plug-in whose
estimators it checks; its function gives the checks. A group has passed under the code and packages that its
modules have now; a change of either makes it unknown again, and rows are marked until it has been run anew.
"""

from __future__ import annotations

import importlib.resources
import json
import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, cast

from bench import registry
from bench.cache import Cache, digest, replacing
from bench.calibration.check import Check, Measured, Preset
from bench.contract import Skipped
from bench.environment import arithmetic, scoring_packages
from bench.errors import BenchError, PluginError, UnknownName
from bench.fingerprint import package_versions, source_digest
from bench.progress import Bar
from bench.record import SelfTestEntry

log = logging.getLogger(__name__)
SHIPPED = "passed.json"
"""In `bench.calibration`: the outcome of the self-test of this version, made where its report was."""


@dataclass(frozen=True)
class Row:
    """One quantity of one check at one seed. `measured` is None where it was not finite."""

    what: str
    unit: str
    measured: float | None
    truth: float
    tolerance: float
    side: str
    passed: bool


@dataclass(frozen=True)
class Outcome:
    """One check at its seeds. `skipped` or `failed` says why there are no rows."""

    check: str
    process: str
    preset: Preset
    rows: Mapping[int, Sequence[Row]]
    seconds: float
    skipped: str = ""
    failed: str = ""

    @property
    def passed(self) -> bool:
        """No row outside its tolerance; a check without rows must say that it was skipped."""
        if self.failed:
            return False
        return bool(self.skipped) or all(row.passed for rows in self.rows.values() for row in rows)


@dataclass(frozen=True)
class Group:
    """The outcomes of one entry point under the code as it is."""

    name: str
    preset: Preset
    point: EntryPoint
    outcomes: Sequence[Outcome]

    @property
    def passed(self) -> bool:
        """Every check passed, and one was not skipped."""
        return all(o.passed for o in self.outcomes) and any(o.rows for o in self.outcomes)

    @property
    def entry(self) -> dict[str, Any]:
        """What a later run needs to know of it."""
        rows = [{**asdict(o), "rows": {str(s): [asdict(r) for r in rs] for s, rs in o.rows.items()}, "seconds": 0}
                for o in self.outcomes]  # fmt: skip
        code = code_of(self.point)
        return {
            "preset": self.preset,
            "code": code,
            "source": source_digest(self.point.module),
            "packages": packages_of(self.point),
            "passed": self.passed,
            "digest": digest({"name": self.name, "code": code, "outcomes": rows}),
        }


def groups(only: Iterable[str] = ()) -> dict[str, EntryPoint]:
    """The groups to run by name; all of them where `only` is empty.

    Raises:
        UnknownName: `only` names one that no package declares.
    """
    found = registry.names("selftests")
    for name in only:
        if name not in found:
            raise UnknownName("self-test", name, sorted(found))
    return {name: point for name, point in sorted(found.items()) if name in set(only) or not only}


def code_of(point: EntryPoint) -> str:
    """Digest of the code and package versions that decide a group's outcome."""
    return digest([source_digest(point.module), packages_of(point)])


def packages_of(point: EntryPoint) -> dict[str, str]:
    """Versions of the packages that decide a group's outcome."""
    return {**package_versions(point.module), **scoring_packages()}


def run(preset: Preset, only: Sequence[str], cache: Cache, bar: Bar) -> list[Group]:
    """Run every check of the preset, looking each up in the cache first: a killed run goes on where it was.

    Raises:
        BenchError: a group that does not import or declares no checks.
    """
    import torch

    made = []
    for name, point in groups(only).items():
        checks = [c for c in _checks(name) if preset == "full" or c.preset == "fast"]
        code, outcomes = code_of(point), []
        bar.row("selftest")
        for i, check in enumerate(checks):
            bar.update(f"{name}: {check.name} on {check.process}", i, len(checks))
            key: dict[str, Any] = {
                "check": check.name,
                "process": check.process,
                "seeds": list(check.seeds),
                "code": code,
            }
            key["arithmetic"] = arithmetic(torch.device("cpu"))
            try:
                outcome = _read(cache.json("selftest", key, partial(_run, check)))
            except _NotKept as without:
                outcome = _read(without.found)
            bar.finished(f"{check.name} on {check.process}: {_verdict(outcome)}", outcome.seconds, False)
            outcomes.append(outcome)
        group = Group(name, preset, point, outcomes)
        if outcomes and not any(o.skipped for o in outcomes):
            cache.put_json("selftests", {"name": name, "code": code, "preset": preset}, group.entry)
        made.append(group)
    return made


def _checks(name: str) -> list[Check]:
    checks = registry.calling(f"self-test {name!r}", registry.load("selftests", name))
    if not isinstance(checks, list) or not checks or not all(isinstance(c, Check) for c in checks):
        raise PluginError(f"self-test {name!r}: expected a list of checks, got {checks!r:.80}")
    named = [(c.name, c.process) for c in checks]
    if twice := [pair for pair in named if named.count(pair) > 1]:
        raise PluginError(f"self-test {name!r}: {twice[0][0]} on {twice[0][1]} is declared twice")
    return checks


def _run(check: Check) -> dict[str, Any]:
    start, rows, skipped, failed = time.monotonic(), {}, "", ""
    for seed in check.seeds:
        try:
            result = registry.calling(f"self-test {check.name!r}", check.run, seed)
        except BenchError as error:
            failed = str(error)
            break
        if isinstance(result, Skipped):
            skipped = result.reason
            break
        if not result:
            failed = "it measured nothing"
            break
        rows[str(seed)] = [asdict(_row(one)) for one in result]
    if skipped or failed:
        rows = {}
    took = time.monotonic() - start
    found = {"check": check.name, "process": check.process, "preset": check.preset, "rows": rows, "seconds": took,
            "skipped": skipped, "failed": failed}  # fmt: skip
    if skipped or failed:
        raise _NotKept(found)
    return found


class _NotKept(Exception):
    """A check without rows: what was missing or raised may be otherwise the next time, so no cache may hold it."""

    def __init__(self, found: dict[str, Any]) -> None:
        super().__init__()
        self.found = found


def _row(one: Measured) -> Row:
    measured = one.measured if math.isfinite(one.measured) else None
    return Row(one.what, one.unit, measured, one.truth, one.tolerance, one.side, one.passed)


def _read(found: dict[str, Any]) -> Outcome:
    rows = {int(seed): [Row(**row) for row in rows] for seed, rows in found["rows"].items()}
    return Outcome(**{**found, "rows": rows})


def _verdict(outcome: Outcome) -> str:
    if outcome.skipped:
        return f"skipped, {outcome.skipped}"
    return "passed" if outcome.passed else f"FAILED{', ' + outcome.failed if outcome.failed else ''}"


# --- what a record may say of it ---------------------------------------------------------------------------


def passed_by(names: Iterable[str], cache: Cache) -> SelfTestEntry | None:
    """The self-test of the groups `names` under the present code, or None where one of them is unknown.

    A group run on this machine counts before the one that shipped; "full" counts before "fast".
    """
    known, shipped = registry.names("selftests"), _shipped()
    entries = []
    for name in sorted(set(names)):
        found = _known(name, known[name], cache, shipped) if name in known else None
        if found is None:
            return None
        entries.append(found)
    if not entries:
        return None
    preset = "full" if all(e["preset"] == "full" for e in entries) else "fast"
    return SelfTestEntry(
        digest=digest([e["digest"] for e in entries]),
        preset=cast(Preset, preset),
        passed=all(e["passed"] for e in entries),
    )


def _known(name: str, point: EntryPoint, cache: Cache, shipped: Mapping[str, Any]) -> dict[str, Any] | None:
    code = code_of(point)
    for preset in ("full", "fast"):
        path = cache.path("selftests", {"name": name, "code": code, "preset": preset}, ".json")
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    entry = shipped.get(name)
    return dict(entry) if entry and _holds(entry, point) else None


def _holds(entry: Mapping[str, Any], point: EntryPoint) -> bool:
    """Whether an outcome is of the present source and installed packages. An optional package that was there and is not
    here decides nothing of what can run."""
    versions = packages_of(point)
    return entry["source"] == source_digest(point.module) and versions.items() <= entry["packages"].items()


def _shipped() -> dict[str, Any]:
    try:
        text = (importlib.resources.files("bench.calibration") / SHIPPED).read_text(encoding="utf-8")
        return dict(json.loads(text))
    except (OSError, ValueError):
        return {}


def still_known(made: Sequence[Group]) -> dict[str, dict[str, Any]]:
    """Shipped outcomes, by name, of groups that were not run now and whose code is what it was."""
    shipped, run_now = _shipped(), {group.name for group in made}
    return {
        name: shipped[name]
        for name, point in groups().items()
        if name not in run_now and name in shipped and shipped[name]["code"] == code_of(point)
    }


def write_outcome(made: Sequence[Group], path: Path) -> None:
    """Write what `passed_by` reads as shipped; what is still known of other groups stays."""
    entries = {**still_known(made), **{g.name: g.entry for g in made}}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(dict(sorted(entries.items())), indent=1) + "\n", encoding="utf-8")
