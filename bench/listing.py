"""What `bench list` prints: installed plug-ins, cards and suites, without importing any of them."""

from __future__ import annotations

from bench import registry
from bench.config import SubmissionCard, SuiteCard, read_card

ARROWS = {"higher": "↑", "lower": "↓", "one": "→ 1", "none": ""}


def text(kind: str | None) -> str:
    """One line an item; all kinds where `kind` is None."""
    lists = {
        "submissions": lambda: [
            (name, read_card(path, SubmissionCard).title) for name, path in registry.submission_files().items()
        ],
        "codecs": lambda: [(name, point.value) for name, point in registry.names("codecs").items()],
        "datasets": lambda: [(name, point.value) for name, point in registry.names("datasets").items()],
        "tasks": lambda: [(name, card.question) for name, card in registry.task_cards().items()],
        "suites": lambda: [
            (name, read_card(path, SuiteCard).description) for name, path in registry.suite_files().items()
        ],
    }
    kinds = [kind] if kind else list(lists)
    blocks = []
    for one in kinds:
        items = sorted(lists[one]())
        width = max((len(name) for name, _ in items), default=0)
        blocks.append("\n".join([f"{one}:", *(f"  {name:<{width}}  {about}" for name, about in items)]))
    return "\n\n".join(blocks)


def tasks_table() -> str:
    """Markdown: one row a ranked column of each task, with question, unit, direction, version and paper."""
    lines = ["| task | question | ranked columns | unit | better | version | paper |", "|---|---|---|---|---|---|---|"]
    for name, card in sorted(registry.task_cards().items()):
        ranked = [c for c in card.columns if c.ranked] or [c for c in card.columns if c.headline]
        units = ", ".join(dict.fromkeys(c.shown or c.unit for c in ranked))
        better = ", ".join(dict.fromkeys(ARROWS[c.better] or "not ranked" for c in ranked))
        titles = ", ".join(c.title for c in ranked)
        lines.append(f"| `{name}` | {card.question} | {titles} | {units} | {better} | {card.version} | {card.paper} |")
    return "\n".join(lines)
