"""`bench new` and `bench submit`: from an empty folder to a row that can be proposed."""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class NewKind(str, Enum):
    """What `bench new` writes."""

    submission = "submission"
    codec = "codec"
    dataset = "dataset"
    task = "task"


def new(
    kind: Annotated[NewKind, typer.Argument(help="What the package adds.")],
    name: Annotated[str, typer.Argument(help="Of the package and of the plug-in: lower case, as in my_model.")],
    into: Annotated[Path, typer.Option(help="Folder in which the package's folder is made.")] = Path("."),
) -> None:
    """Write an installable package with a plug-in that works, its tests and its card."""
    from bench.new import package

    written = package.write(kind.value, name, into)
    for path in written:
        typer.echo(path)
    typer.echo(f"\nREADME.md says how to run, test and submit it. First:\n\n    cd {shlex.quote(str(into / name))}")
    typer.echo("    python -m pip install --editable '.[test]'")


def submit(
    path: Annotated[Path, typer.Argument(metavar="RECORD", help="The record to propose.")],
    rerun_utterances: Annotated[
        int, typer.Option(min=1, help="Of the task that is scored again, so many utterances are compared.")
    ] = 20,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Cache directory; an empty one has everything made again.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress; only the checklist and errors.")] = False,
) -> None:
    """Check that a row can be proposed, and say which files a pull request holds.

    Exit codes: 0, everything holds; 1, something is to mend; 2, the record cannot be read.
    """
    from bench import record
    from bench.cache import default_root
    from bench.progress import Bar

    found = record.read(path)
    from bench.submitting import checklist, rules

    with Bar(quiet) as bar:
        results = rules.check(rules.Subject(found, cache or default_root(), rerun_utterances, bar))
    typer.echo(checklist.terminal(results))
    typer.echo("\n" + checklist.closing(found, path, results, rules.ships(found)))
    if any(one.verdict == "failed" for one in results):
        raise typer.Exit(1)
