"""A self-test as text: a summary for the terminal, every row for the documentation."""

from __future__ import annotations

from collections.abc import Sequence

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


def overview(made: Sequence[Group]) -> str:
    """One row a group, in Markdown: what it was held against and how near the worst row came to its tolerance."""
    body = []
    for group in made:
        rows = [row for o in group.outcomes for found in o.rows.values() for row in found]
        sources = ", ".join(dict.fromkeys(o.process for o in group.outcomes))
        worst = f"{max(map(_share, rows)):.2f}" if rows else "–"
        inside = f"{sum(row.passed for row in rows)} of {len(rows)}"
        body.append([f"`{group.name}`", sources, group.preset, len(group.outcomes), inside, worst])
    headers = ["estimators of", "on", "preset", "checks", "rows within tolerance", "worst error / tolerance"]
    return "\n".join([tabulate(body, headers, tablefmt="pipe", disable_numparse=True), "", summary(made)])


def markdown(made: Sequence[Group], environment: Environment) -> str:
    """Every row: measured at each seed, truth, tolerance, verdict."""
    machine = f"{environment.device} ({environment.processor}), {environment.threads} threads"
    parts = [f"{summary(made)}. Made on {machine}, torch {environment.packages.get('torch', '?')}."]
    for group in made:
        parts.append(f"### {group.name} ({group.preset})")
        for outcome in group.outcomes:
            parts.append(f"**{outcome.check}**, on {outcome.process}: {_verdict(outcome)}, {outcome.seconds:.0f} s")
            if outcome.rows:
                parts.append(_rows(outcome))
    return "\n\n".join(parts)


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
