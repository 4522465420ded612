"""A self-test as text: a summary for the terminal, every row for the documentation."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from tabulate import tabulate

from bench.record import Environment
from bench.selftest import Group, Outcome, Row

SIDES = {"both": "±", "at most": "+", "at least": "−"}


def terminal(made: Sequence[Group]) -> str:
    """One line a check, and every row that is outside its tolerance."""
    rows = []
    for group in made:
        for outcome in group.outcomes:
            count = sum(len(found) for found in outcome.rows.values())
            worst = max((_share(row) for found in outcome.rows.values() for row in found), default=None)
            name = f"{outcome.check}\n  on {outcome.process}"
            verdict = "skipped" if outcome.skipped else "passed" if outcome.passed else "FAILED"
            rows.append([name, count, "–" if worst is None else f"{worst:.2f}", verdict])
    table = tabulate(
        rows,
        ["check", "rows", "worst error /\ntolerance", "verdict"],
        tablefmt="simple",
        disable_numparse=True,
        colalign=("left", "right", "right", "left"),
        maxcolwidths=[52, None, None, None],
    )
    outside = [line for group in made for outcome in group.outcomes for line in _outside(outcome)]
    return "\n".join([table, *([""] if outside else []), *outside, "", summary(made)])


def summary(made: Sequence[Group]) -> str:
    """Counts in one line."""
    outcomes = [o for group in made for o in group.outcomes]
    rows = [row for o in outcomes for found in o.rows.values() for row in found]
    skipped = sum(bool(o.skipped) for o in outcomes)
    failed = sum(not o.passed for o in outcomes)
    seconds = sum(o.seconds for o in outcomes)
    text = f"{len(outcomes) - failed - skipped} checks passed, {failed} failed, {skipped} skipped; "
    inside = sum(row.passed for row in rows)
    return text + f"{inside} of {len(rows)} rows within tolerance; {seconds:.0f} s of work"


def overview(made: Sequence[Group], before: str = "", kept: Collection[str] = ()) -> str:
    """One row a group, in Markdown: what it was held against and how near the worst row came to its tolerance.

    Args:
        before: an overview of earlier, whose rows of the groups `kept` stay.
    """
    rows = {name: cells for name, cells in _table(before) if name in kept}
    for group in made:
        found = [row for o in group.outcomes for seeds in o.rows.values() for row in seeds]
        sources = ", ".join(dict.fromkeys(o.process for o in group.outcomes))
        worst = f"{max(map(_share, found)):.2f}" if found else "–"
        inside = f"{sum(row.passed for row in found)} of {len(found)}"
        rows[group.name] = [sources, group.preset, str(len(group.outcomes)), inside, worst]
    body = [[f"`{name}`", *cells] for name, cells in sorted(rows.items())]
    headers = ["estimators of", "on", "preset", "checks", "rows within tolerance", "worst error / tolerance"]
    within, count = (sum(int(cells[3].split(" of ")[i]) for cells in rows.values()) for i in (0, 1))
    total = f"{sum(int(cells[2]) for cells in rows.values())} checks; {within} of {count} rows within tolerance"
    return "\n".join([tabulate(body, headers, tablefmt="pipe", disable_numparse=True), "", total])


def _table(text: str) -> list[tuple[str, list[str]]]:
    """Name and other cells of each row of an overview."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [(cells[0].strip("`"), cells[1:]) for cells in ([c.strip() for c in x.strip("|").split("|")] for x in lines)]


def markdown(made: Sequence[Group], environment: Environment, before: str = "", kept: Collection[str] = ()) -> str:
    """Every row: measured at each seed, truth, tolerance, verdict.

    Args:
        before: a report of earlier, whose sections of the groups `kept` stay as they are.
    """
    sections = {name: text for name, text in _sections(before) if name in kept}
    for group in made:
        parts = [f"### {group.name} ({group.preset})"]
        for outcome in group.outcomes:
            parts.append(f"**{outcome.check}**, on {outcome.process}: {_verdict(outcome)}, {outcome.seconds:.0f} s")
            if outcome.rows:
                parts.append(_rows(outcome))
        sections[group.name] = "\n\n".join(parts)
    machine = f"{environment.device} ({environment.processor}), {environment.threads} threads"
    whole = "\n\n".join(text for _, text in sorted(sections.items()))
    first = f"{_counts(whole)}. Made on {machine}, torch {environment.packages.get('torch', '?')}."
    return f"{first}\n\n{whole}"


def _sections(report: str) -> list[tuple[str, str]]:
    """Name and text of each group of a report."""
    parts = re.split(r"^(?=### \w+ \((?:fast|full)\)$)", report, flags=re.MULTILINE)
    return [(part.split()[1], part.strip()) for part in parts if part.startswith("### ")]


def _counts(report: str) -> str:
    """Checks by verdict, and seconds, of a report's sections."""
    verdicts = re.findall(r"^\*\*.*\*\*, on .*: (passed|skipped|FAILED).*, (\d+) s$", report, flags=re.MULTILINE)
    said = [verdict for verdict, _ in verdicts]
    text = ", ".join(f"{said.count(v)} {word}" for v, word in (("passed", "checks passed"), ("FAILED", "failed")))
    return f"{text}, {said.count('skipped')} skipped; {sum(int(s) for _, s in verdicts)} s of work"


def _rows(outcome: Outcome) -> str:
    seeds = sorted(outcome.rows)
    body = []
    for found in zip(*(outcome.rows[seed] for seed in seeds), strict=True):
        first = found[0]
        tolerance = max(row.tolerance for row in found)
        body.append(
            [
                first.what,
                *(_number(row.measured) for row in found),
                _number(first.truth) if len({row.truth for row in found}) == 1 else
                " / ".join(_number(row.truth) for row in found),
                f"{SIDES[first.side]}{_number(tolerance)}",
                first.unit,
                "within" if all(row.passed for row in found) else "**outside**",
            ]
        )  # fmt: skip
    headers = ["quantity", *(f"seed {seed}" for seed in seeds), "truth", "tolerance", "unit", "verdict"]
    return tabulate(body, headers, tablefmt="pipe", disable_numparse=True)


def _outside(outcome: Outcome) -> list[str]:
    if outcome.skipped or outcome.failed:
        return [f"{outcome.check} on {outcome.process}: {_verdict(outcome)}"]
    return [
        f"{outcome.check} on {outcome.process}, seed {seed}: {row.what}: measured {_number(row.measured)}, "
        f"truth {_number(row.truth)}, tolerance {SIDES[row.side]}{_number(row.tolerance)} {row.unit}"
        for seed, found in outcome.rows.items()
        for row in found
        if not row.passed
    ]


def _share(row: Row) -> float:
    if row.measured is None:
        return float("inf")
    away = row.measured - row.truth
    away = {"both": abs(away), "at most": away, "at least": -away}[row.side]
    return max(0.0, away) / row.tolerance if row.tolerance else (0.0 if away <= 0 else float("inf"))


def _verdict(outcome: Outcome) -> str:
    if outcome.skipped:
        return f"skipped: {outcome.skipped}"
    if outcome.failed:
        return f"FAILED: {outcome.failed}"
    return "passed" if outcome.passed else "FAILED"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"
