"""Writes the generated parts of the tasks' pages: what a card declares, and what the shipped self-test gave.

    python scripts/write_task_pages.py            # writes docs/tasks/*.md between their markers
    python scripts/write_task_pages.py --check    # exit code 1 where a page is not what this would write

The prose of a page is written by hand and stays. Columns that differ in a number alone share a line.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from bench.config import ColumnCard, SuiteCard, TaskCard, read_card
from bench.listing import ARROWS
from bench.markers import between, block, replace_block

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "tasks"
PARTS = ("card", "columns", "parameters", "calibration")
NUMBERED = re.compile(r"_(\d+)(ms)?$")


def main() -> int:
    """Write all pages, or say which would change."""
    parser = argparse.ArgumentParser(description="Write the generated parts of docs/tasks.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 where a page is stale")
    check = parser.parse_args().check
    stale = [path for path, parts in pages().items() if _changed(path, parts)]
    for path in stale:
        if not check:
            for name, text in pages()[path].items():
                replace_block(path, name, text)
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")
    return int(check and bool(stale))


def pages() -> dict[Path, dict[str, str]]:
    """Page → marker → what stands there; the index, and one page a task."""
    # of this repository alone: what else is installed decides nothing here
    cards = {path.stem: read_card(path, TaskCard) for path in sorted((ROOT / "tasks").glob("*.toml"))}
    suites = [read_card(path, SuiteCard) for path in sorted((ROOT / "tasks" / "suites").glob("*.toml"))]
    report = block(ROOT / "docs" / "selftest.md", "selftest")
    shipped = json.loads((ROOT / "bench/calibration/passed.json").read_text("utf-8"))
    made = {
        PAGES / f"{name}.md": {
            "card": declared(card, [s.name for s in suites if name in s.tasks]),
            "columns": columns(card),
            "parameters": parameters(card, {s.name: s.parameters.get(name, {}) for s in suites if name in s.tasks}),
            "calibration": calibration(name, report, shipped.get(name)),
        }
        for name, card in cards.items()
    }
    return {PAGES / "index.md": {"tasks": overview(cards)}, **made}


def _changed(path: Path, parts: Mapping[str, str]) -> bool:
    old = path.read_text("utf-8")
    return any(between(old, name, text) != old for name, text in parts.items())


def overview(cards: Mapping[str, TaskCard]) -> str:
    """One line a task."""
    rows = []
    for name, card in sorted(cards.items()):
        ranked = [c.title for c in card.columns if c.ranked]
        rows.append([f"[`{name}`]({name}.md)", card.question, _listed(ranked) or "nothing", card.version])
    return _table(["task", "question", "ranks by", "version"], rows)


def declared(card: TaskCard, suites: Sequence[str]) -> str:
    """The card without its columns and parameters."""
    needs = ", ".join(f"`{name}`" for name in card.needs) or "nothing of every submission; see the columns"
    rows: list[list[Any]] = [
        ["version", card.version],
        ["needs", needs],
        ["split", card.split],
        ["horizons", ", ".join(f"{ms} ms" for ms in card.horizons_ms) or "–"],
        ["in the suites", ", ".join(f"`{name}`" for name in suites) or "–"],
        ["paper", _cell(card.paper) or "–"],
    ]
    return _table(["", card.name], rows)


def columns(card: TaskCard) -> str:
    """Every column with unit, direction, whether it is ranked, its margin and its help; those of tables first."""
    shown = _columns([column for column in card.columns if column.headline])
    others = [column for column in card.columns if not column.headline]
    if not others:
        return shown
    summary = f"<summary>{len(others)} more columns, which <code>--wide</code> shows</summary>"
    return f'{shown}\n\n<details markdown="1">\n{summary}\n\n{_columns(others)}\n\n</details>'


def _columns(given: Sequence[ColumnCard]) -> str:
    groups: dict[tuple[Any, ...], list[ColumnCard]] = {}
    for column in given:
        groups.setdefault(_kind(column), []).append(column)
    rows = []
    for group in groups.values():
        first = group[0]
        unit = first.unit if first.shown in ("", first.unit) else f"{first.unit}, shown as {first.shown}"
        rows.append(
            [
                f"`{_named(group)}`",
                _cell(_titled(group)),
                "–" if unit == "1" else _cell(unit),
                ARROWS[first.better] or "–",
                "ranked" if first.ranked else "–",
                "–" if first.margin is None else f"{first.margin:g} {first.unit}".removesuffix(" 1"),
                _cell(_helped(group)),
            ]
        )
    return _table(["column", "title", "unit", "better", "ranked", "margin", "what it is"], rows)


def _kind(column: ColumnCard) -> tuple[Any, ...]:
    """What columns on one line share: all but a number at the end of the name, and the same one in the texts."""
    found = NUMBERED.search(column.name)
    texts = (column.title, column.help)
    if not found:
        return (column.name, *texts)
    number = re.compile(rf"(?<!\d){found[1]}(?!\d)")
    same = (number.sub("#", text) for text in texts)
    return (
        column.name[: found.start()], found[2], *same, column.unit, column.shown, column.better, column.ranked,
        column.margin, column.aggregate, column.bound,
    )  # fmt: skip


def _numbers(group: Sequence[ColumnCard]) -> list[str]:
    return [found[1] for column in group if (found := NUMBERED.search(column.name))]


def _named(group: Sequence[ColumnCard]) -> str:
    if len(group) == 1:
        return group[0].name
    found = NUMBERED.search(group[0].name)
    assert found is not None
    return f"{group[0].name[: found.start()]}_{{{', '.join(_numbers(group))}}}{found[2] or ''}"


def _titled(group: Sequence[ColumnCard]) -> str:
    return _over(group, group[0].title)


def _helped(group: Sequence[ColumnCard]) -> str:
    return _over(group, group[0].help)


def _over(group: Sequence[ColumnCard], text: str) -> str:
    """A text of the first column, with K in place of the number that the columns differ in."""
    if len(group) == 1:
        return text
    found = NUMBERED.search(group[0].name)
    assert found is not None
    letter = "h" if found[2] else "K"
    return re.sub(rf"(?<!\d){found[1]}(?!\d)", letter, text)


def parameters(card: TaskCard, suites: Mapping[str, Mapping[str, Any]]) -> str:
    """Every parameter with its default, and what suites lay over it."""
    defaults = dict(_flat(card.parameters))
    if not defaults:
        return "None."
    over: dict[str, list[str]] = {name: [] for name in defaults}
    for suite, given in suites.items():
        for name, value in _flat(given):
            over[name].append(f"`{suite}` {_value(value)}")
    rows = [[f"`{name}`", _value(value), ", ".join(over[name]) or "–"] for name, value in defaults.items()]
    return _table(["parameter", "default", "in suites"], rows)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace('""', "empty").strip('"')


def calibration(name: str, report: str, shipped: Mapping[str, Any] | None) -> str:
    """Every check of the group in the self-test's report, and the outcome that ships.

    Raises:
        ValueError: the report has no such group.
    """
    heading = re.search(rf"^### {name} \((\w+)\)$", report, re.MULTILINE)
    if heading is None or shipped is None:
        raise ValueError(f"{name}: no such group in docs/selftest.md and passed.json")
    part = report[heading.end() :].partition("\n### ")[0]
    rows = []
    for match in re.finditer(r"^\*\*(.+?)\*\*, on (.+): (\w+)[^\n]*$([\s\S]*?)(?=^\*\*|\Z)", part, re.MULTILINE):
        verdicts = [line.strip("| ").rpartition("|")[2].strip() for line in match[4].splitlines() if "|" in line][2:]
        inside = sum(verdict == "within" for verdict in verdicts)
        about = match[1].partition(": ")[2] or match[1]
        rows.append([_cell(about), _cell(match[2]), f"{inside} of {len(verdicts)}", match[3]])
    verdict = "passed" if shipped["passed"] else "failed"
    seeds = f"Shipped outcome: {verdict}, preset {shipped['preset']}, digest `{shipped['digest'][:12]}`."
    link = f"Every quantity at every seed: [self-test](../selftest.md#{name}-{heading[1]})."
    return f"{_table(['check', 'on', 'quantities within tolerance', 'verdict'], rows)}\n\n{seeds} {link}"


def _cell(text: str) -> str:
    """Text that may stand in a cell: no pipe ends it, and no underscore or angle bracket is markup."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("_", "\\_").replace("*", "\\*")


def _listed(titles: Sequence[str]) -> str:
    """Titles that differ in a horizon alone, once."""
    short = [re.sub(r" \d+ ms$", "", title) for title in titles]
    return "; ".join(dict.fromkeys(short))


def _table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


if __name__ == "__main__":
    sys.exit(main())
