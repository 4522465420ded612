"""Options that several commands over records share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leaderboard.formats import TableFormat

Records = Annotated[
    Path | None, typer.Option(help="Folder of records; without it, the committed ones.", show_default=False)
]
Fresh = Annotated[
    Path | None, typer.Option(help="Folder laid over them; its rows are marked (new).", show_default=False)
]
Form = Annotated[TableFormat, typer.Option("--format", help="How to write the tables.")]
Wide = Annotated[bool, typer.Option("--wide", help="Every column, not the headline ones alone.")]
Suite = Annotated[str | None, typer.Option(help="Only this suite.", show_default=False)]
Dataset = Annotated[str | None, typer.Option(help="Only this dataset.", show_default=False)]
