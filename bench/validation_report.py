"""What `bench validate` prints: published and measured figures side by side, in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from tabulate import tabulate

from bench.validation import Compared, Measured, Outcome

WIDTH = 80
CODEC_WIDTH = 24
DECIMALS = 3
UNTRAINED = "UNTRAINED: random weights never pass"


def text(outcome: Outcome) -> str:
    """The whole outcome: what was asked, what differs from it, every figure, the verdict."""
    protocol = outcome.protocol
    head = [f"{protocol.name}: {protocol.title} ({protocol.source})"]
    if said := outcome.overrides.said:
        head.append(f"not the published protocol: {'; '.join(said)}")
    if not outcome.trained:
        head.append(UNTRAINED)
    head.append(
        f"measured on {outcome.dataset}: {outcome.utterances} utterances, {outcome.seconds / 60:.1f} min; "
        "[95 % bootstrap]"
    )
    rows = [row for case in outcome.cases for row in _rows(case)]
    headers = ["codec", "metric", "published", "measured", "difference", "within"]
    align = ["left", "left", "right", "right", "right", "left"]
    table = tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=align)
    return "\n".join([*map(_wrapped, head), "", table, "", *map(_wrapped, _below(outcome))])


def _rows(case: Measured) -> Iterator[list[str]]:
    names = [case.model, f"({case.codec})", *([] if case.trained else ["UNTRAINED"])]
    label = "\n".join(line for name in names for line in textwrap.wrap(name, CODEC_WIDTH))
    for figure in case.figures:
        target, unit = figure.target, "" if figure.target.unit == "1" else f"\n{figure.target.unit}"
        allowed = f"{'yes' if figure.within and case.trained else 'no'}\n± {target.tolerance:g}"
        yield [label, f"{target.metric}{unit}", f"{target.value:.10g}", *_numbers(figure), allowed]
        label = ""


def _numbers(figure: Compared) -> tuple[str, str]:
    found, difference = figure.measured, figure.difference
    if found is None or difference is None:
        return "–", "–"
    bounds = f"[{found.low:.{DECIMALS}f}, {found.high:.{DECIMALS}f}]" if found.n > 1 else "[n = 1]"
    return f"{found.value:.{DECIMALS}f}\n{bounds}", f"{difference:+.{DECIMALS}f}".replace("-", "−")


def _below(outcome: Outcome) -> Iterator[str]:
    for case in outcome.cases:
        for figure in case.figures:
            for reason, count in figure.unscored.items():
                yield (
                    f"{case.codec}, {figure.target.metric}: {count} of {outcome.utterances} utterances without a "
                    f"value ({reason}); a partial mean never passes"
                )
    for metric, kept in outcome.orders.items():
        yield f"order of the codecs by {metric}: {'as published' if kept else 'NOT as published'}"
    yield f"differs in any case: {outcome.protocol.differs}"
    figures = [figure for case in outcome.cases for figure in case.figures]
    within = sum(figure.within for figure in figures)
    verdict = "passed" if outcome.passed else "not passed"
    untrained = "" if outcome.trained else ", UNTRAINED"
    yield f"{verdict}: {within} of {len(figures)} figures within their tolerance{untrained}"


def _wrapped(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
