"""The command `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leaderboard.options import Fresh, Records, Suite


def report(
    html: Annotated[Path, typer.Option("--html", help="Folder to write the site to.", show_default=False)],
    records: Records = None,
    fresh: Fresh = None,
    suite: Suite = None,
    docs_url: Annotated[
        str, typer.Option(help="Address of the documentation's site, for links to formulas.", show_default=False)
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Write the leaderboard as a static site: tables, comparisons, figures, samples and provenance."""
    from bench.errors import BenchError
    from bench.progress import Bar
    from leaderboard.report.build import build
    from leaderboard.report.site import INDEX
    from leaderboard.store import committed_folder

    if docs_url and not docs_url.startswith(("https://", "http://")):
        raise BenchError(f"--docs-url: expected an address that starts with https://, got {docs_url!r}")
    folder = committed_folder() if records is None else records
    with Bar(quiet) as bar:
        built = build(html, folder, fresh, suite, docs_url, bar)
    left = f"; {built.left_out} files left out, and the page says why" if built.left_out else ""
    typer.echo(f"{html / INDEX}: {built.rows} rows, {built.boards} boards, {built.pages} pages{left}")
