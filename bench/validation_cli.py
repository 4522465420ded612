"""The command `bench validate`. Nothing heavy is imported before it runs."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import CacheDir, Device, Quiet, default_cache
from bench.errors import BenchError, UnknownName

if TYPE_CHECKING:
    from bench.protocol import Protocol

GROUP = "latentbench.protocols"


def register(app: typer.Typer) -> None:
    """Add the command to the command line of `bench`."""
    app.command(name="validate")(validate)


def validate(
    against: Annotated[str, typer.Option(help="Published figures, by the name that `bench references` shows.")],
    codec: Annotated[
        str, typer.Option(help="Instead of the published one: NAME:WEIGHTS keeps its taps, another NAME replaces all.")
    ] = "",
    dataset: Annotated[str, typer.Option(help="Instead of the published one; all of its splits are heard.")] = "",
    minutes: Annotated[
        float | None, typer.Option(help="At most this much audio, round-robin over speakers.", show_default=False)
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="Another file of references (TOML).", show_default=False)
    ] = None,
    device: Device = "auto",
    cache: CacheDir = None,
    quiet: Quiet = False,
) -> None:
    """Make a published measurement again and hold it against the figures.

    Exit codes: 0, every figure within its tolerance; 1, one is not, or the weights are random; 2, weights or data
    cannot be reached.
    """
    from bench import device as devices
    from bench import validation, validation_report
    from bench.cache import Cache
    from bench.progress import Bar

    if minutes is not None and not minutes > 0:
        raise BenchError(f"validate: --minutes must be above 0, got {minutes:g}")
    known = _protocols(references)
    if against not in known:
        raise UnknownName("validation", against, list(known))
    overrides = validation.Overrides(codec, dataset, minutes)
    store = Cache(cache or default_cache())
    with Bar(quiet) as bar:
        made = validation.validate(known[against], store, devices.choose(device), bar, overrides)
    typer.echo(validation_report.text(made))
    if not made.passed:
        raise typer.Exit(1)


def _protocols(path: Path | None) -> dict[str, Protocol]:
    """Protocols of all installed packages, or of one file."""
    found: dict[str, Protocol] = {}
    for point in entry_points(group=GROUP):
        found |= point.load()(path)
    return found
