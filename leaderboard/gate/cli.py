"""The commands `check` and `calibrate-noise`.

What is heavy is imported when a command runs, so that `bench --help` stays fast.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from leaderboard.formats import CheckFormat
from leaderboard.options import Records

FRESH = Path("records")
LONGEST = 1000
"""Characters of a refusal in the log."""


def register(app: typer.Typer) -> None:
    """Add the gate's commands."""
    app.command(name="check")(check)
    app.command(name="calibrate-noise")(calibrate_noise)


def check(
    fresh: Annotated[Path, typer.Option(help="Folder of the records to check.")] = FRESH,
    committed: Annotated[
        Path | None,
        typer.Option(help="Folder to check against; without it, the committed records.", show_default=False),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Refuse, too, when a committed row or task was not run.")
    ] = False,
    form: Annotated[CheckFormat, typer.Option("--format", help="How to write the outcome.")] = CheckFormat.terminal,
    wide: Annotated[bool, typer.Option("--wide", help="Also list what did not change.")] = False,
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="Take records of a checkout with uncommitted changes.")
    ] = False,
    rescored: Annotated[
        list[Path] | None,
        typer.Option(
            help="What `bench score --write` wrote of a committed record; may be repeated.", show_default=False
        ),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML to this file.", show_default=False)] = None,
    comment: Annotated[
        Path | None, typer.Option(help="Also write a pull request's comment to this file.", show_default=False)
    ] = None,
) -> None:
    """Compare fresh records with committed ones.

    Exit codes: 0, no regression; 1, a column got worse by more than its margin and noise explain, or lost its values;
    2, something cannot be compared, and why.
    """
    from leaderboard.gate.change import Outcome
    from leaderboard.gate.judge import compare
    from leaderboard.gate.noise import Measured
    from leaderboard.gate.report import Report
    from leaderboard.gate.rescored import read as read_rescored
    from leaderboard.show import shown
    from leaderboard.store import committed_folder, gather
    from leaderboard.text import plain

    folders = (committed_folder() if committed is None else committed, fresh)
    old, new = (gather(folder) for folder in folders)
    pairs = tuple(zip(folders, (old, new), strict=True))
    faults = [f"{folder / fault.file}: {fault.reason}" for folder, read in pairs for fault in read.faults]
    faults += [f"{folder}: no records there; `bench run` makes records" for folder, read in pairs if not read.rows]
    found = Outcome()
    if old.rows and new.rows:
        moved = read_rescored(rescored or [])
        found = compare(old.rows, new.rows, Measured(), every, allow_dirty, moved=moved)
    found = replace(found, refused=(*faults, *found.refused))
    report = Report(found, old.rows, new.rows, fresh, wide)
    for option, path, written in (("--junit", junit, CheckFormat.junit), ("--comment", comment, CheckFormat.md)):
        if path is not None:
            _write(path, report.text(written), option)
    shown(report.text(form))
    if form is not CheckFormat.terminal:
        # the output is for a machine; people look at the log
        for line in found.refused:
            typer.echo(f"bench: refused: {plain(line, LONGEST)}", err=True)
    if found.code:
        raise typer.Exit(found.code)


def calibrate_noise(
    suite: Annotated[str, typer.Option(help="Suite whose rows under several seeds are read.")] = "mini",
    records: Records = None,
    write: Annotated[
        Path | None,
        typer.Option(help="Write the card here instead of listing it; it lies with the suite.", show_default=False),
    ] = None,
) -> None:
    """Measure how much another seed moves each column, from rows of one recipe under several seeds.

    `bench check` reads the card that lies with the suite, in noise/SUITE.toml beside it.
    """
    from tabulate import tabulate

    from leaderboard.gate.noise import as_toml, summary
    from leaderboard.gate.replicates import calibrate
    from leaderboard.show import shown
    from leaderboard.store import committed_folder, read_rows

    card = calibrate(read_rows(committed_folder() if records is None else records), suite)
    if write is not None:
        _write(write, as_toml(card), "--write")
        return
    headers = ["column", "unit", "sd over seeds\nused", "df\nused", "bootstrap\nerror"]
    align = ["left", "left", "right", "right", "right"]
    shown(tabulate(summary(card), headers, tablefmt="simple", disable_numparse=True, colalign=align))
    shown(f"\nfrom {len(card.records)} rows; df: replicates that count; used: steadied by the other columns")


def _write(path: Path, text: str, option: str) -> None:
    from bench.errors import BenchError

    try:
        path.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise BenchError(f"{option}: {path} cannot be written: {error.strerror or error}") from error
