"""Published figures in words: the lines under a task's table, and the tables of `bench references`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tabulate import tabulate

from leaderboard.references import Entry, Metric, Reference, References, about, plugin_of
from leaderboard.shown import ARROWS
from leaderboard.text import plain, widest, wrapped

WIDTH = 80
HEADER_WIDTH = 12
MODEL_WIDTH = 24
SOURCE_WIDTH = 120
HEADING = "Published elsewhere, under other protocols, and never ranked; the command bench references says more:"


def figure(value: float) -> str:
    """As it was printed, but for zeros at the end, with a true minus sign.

    >>> figure(-2.198), figure(4.0), figure(-761868.0)
    ('−2.198', '4', '−761868')
    """
    return f"{value:.10g}".replace("-", "−")


def under(read: References, task: str, codec: str, wide: bool = False) -> list[str]:
    """What stands under the table of a task on a codec, one line a reference, with the first thing that differs.

    Rows of that codec come in full; other references with their headline figures, or, with `wide`, in full too.
    """
    mine = about(read.references, plugin_of(codec), task)
    lines = [_line(reference, reference.metrics, read.metrics) for reference in mine]
    done = {reference.name for reference in mine}
    for reference in about(read.references, task=task):
        metrics = reference.metrics if wide else reference.headline
        if reference.name not in done and metrics:
            lines.append(_line(reference, metrics, read.metrics))
    return lines


def _line(reference: Reference, metrics: Sequence[str], known: Mapping[str, Metric]) -> str:
    rows = [row for row in reference.rows if any(name in row.values for name in metrics)]
    titles = _titles([known[name] for name in metrics])
    values = ", ".join(f"{row.model} {'/'.join(_value(row, name) for name in metrics)}" for row in rows)
    cited = f"{reference.authors}{f' {reference.year}' if reference.year else ''}"
    differs = reference.differs.partition(". ")[0].rstrip(".")
    where = f"{plain(cited, 60)}; {plain(reference.dataset, SOURCE_WIDTH)}"
    return f"{reference.name} ({where}): {titles}: {values}. {differs}"


def _titles(metrics: Sequence[Metric]) -> str:
    """Titles with unit and arrow, which metrics that share them name once."""
    marks = [" ".join(part for part in (_unit(m), ARROWS[m.better]) if part) for m in metrics]
    if len(set(marks)) == 1:
        return f"{' / '.join(m.title for m in metrics)} {marks[0]}".rstrip()
    return " / ".join(f"{m.title} {mark}".rstrip() for m, mark in zip(metrics, marks, strict=True))


def _unit(metric: Metric) -> str:
    return "" if metric.unit == "1" else metric.unit


def _value(row: Entry, metric: str) -> str:
    return figure(row.values[metric]) if metric in row.values else "–"


def listing(references: Sequence[Reference], known: Mapping[str, Metric]) -> str:
    """Every figure with its source, protocol and differences, in 80 columns."""
    return "\n\n".join(_listed(reference, known) for reference in references)


def _listed(reference: Reference, known: Mapping[str, Metric]) -> str:
    title = wrapped(f"{reference.name}: {reference.title}", WIDTH)
    nearest = [known[name].column.replace(":", " ") for name in reference.metrics if known[name].column]
    lines = [f"source: {reference.cited}", f"data: {reference.dataset}", f"protocol: {reference.protocol}"]
    lines += [f"differs: {reference.differs}", f"tasks: {', '.join(reference.tasks)}"]
    if nearest:
        lines.append(f"nearest columns here: {', '.join(nearest)}")
    shown = {row.codec for row in reference.rows}
    again = [validation.name for validation in reference.validations if shown.intersection(validation.codecs)]
    lines += [f"make it again: bench validate --against {name}" for name in again]
    body = "\n".join(wrapped(line, WIDTH, indent="  ") for line in lines)
    return f"{title}\n{'=' * widest(title)}\n{_tables(reference, known)}\n\n{body}"


def _tables(reference: Reference, known: Mapping[str, Metric]) -> str:
    """One table; where it is too wide, several that hold as many metrics as fit."""
    groups: list[list[str]] = []
    for metric in reference.metrics:
        if groups and widest(_table(reference, [*groups[-1], metric], known)) <= WIDTH:
            groups[-1].append(metric)
        else:
            groups.append([metric])
    return "\n\n".join(_table(reference, group, known) for group in groups)


def _table(reference: Reference, metrics: Sequence[str], known: Mapping[str, Metric]) -> str:
    rows = [row for row in reference.rows if any(name in row.values for name in metrics)]
    body = [[_label(row), *(_value(row, name) for name in metrics)] for row in rows]
    headers = ["model\n(codec here)", *(_header(known[name]) for name in metrics)]
    align = ["left", *("right" for _ in metrics)]
    return tabulate(body, headers, tablefmt="simple", disable_numparse=True, colalign=align)


def _label(row: Entry) -> str:
    label = wrapped(row.model, MODEL_WIDTH)
    return f"{label}\n({row.codec})" if row.codec else label


def _header(metric: Metric) -> str:
    below = " ".join(part for part in (_unit(metric), ARROWS[metric.better]) if part)
    return "\n".join(part for part in (wrapped(metric.title, HEADER_WIDTH), below) if part)
