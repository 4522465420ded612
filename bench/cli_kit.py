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
