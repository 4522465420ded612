"""`bench diagnose`: the rows that a page about one codec needs, and the page.

What is run, and what the page says, is declared by a package above, through the entry-point group
`latentbench.diagnoses`: a module with `ROWS` (submission → tasks), `SUITE`, and `page(records) -> str`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, cast

from bench import matching, record, runner
from bench.cache import replacing
from bench.errors import BenchError
from bench.progress import Bar
from bench.record import Record

GROUP = "latentbench.diagnoses"


class Diagnosis(Protocol):
    """What a package above declares."""

    ROWS: Mapping[str, tuple[str, ...]]
    SUITE: str

    def page(self, records: Sequence[Record]) -> str: ...


def diagnosis() -> Diagnosis:
    """The installed one.

    Raises:
        BenchError: there is none, or more than one.
    """
    points = list(entry_points(group=GROUP))
    if len(points) != 1:
        raise BenchError(f"diagnose: expected one package that declares {GROUP}, got {len(points)}")
    return cast(Diagnosis, points[0].load())


def diagnose(request: Mapping[str, Any], spec: str, out: Path, bar: Bar) -> tuple[str, Path]:
    """Make the rows, one record each into `out`, and the page beside them.

    Args:
        request: what every row shares of `runner.Request`; an empty suite is the diagnosis's own.
        spec: of the codec; stacked to 12.5 Hz where its frame rate is a multiple.

    Returns:
        The page, and where it was written: `<codec>--<dataset>--<suite>.md`.

    Raises:
        BenchError: bad input, or a row that cannot be made. Records made before are kept.
    """
    declared = diagnosis()
    record.check_folder(out)
    codec = matching.matched(spec)
    built: dict[tuple[str, str], Any] = {("codecs", codec.spec): codec.codec}
    given = {**request, "suite": request["suite"] or declared.SUITE, "codec": codec.spec}
    rows = [
        runner.Row(runner.Request(submission=name, tasks=tasks, **given), bar, built)
        for name, tasks in declared.ROWS.items()
    ]
    made = []
    for row in rows:
        found = row.run().sealed()
        record.write(found, out)
        made.append(found)
    text = declared.page(made)
    path = out / Path(made[0].filename.partition("--")[2]).with_suffix(".md")
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text, path
