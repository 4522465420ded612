"""The command `bench`: parses, dispatches, and turns a BenchError into one line and exit code 2.

Nothing heavy is imported before a command runs; packages above add theirs through the entry-point group
`latentbench.commands`.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from enum import Enum
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from bench import cli_kit, cli_latents
from bench.errors import BenchError, DataError, PluginError, RecordError, UnknownName

app = typer.Typer(
    help="Measure whether a latent space is good for autoregressive audio modelling.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


ITSELF = "codec_itself"
"""The card of a codec without a model."""
INTERRUPTED = 130
"""What a shell expects after Ctrl-C, and what typer makes of it."""


class Kind(str, Enum):
    submissions = "submissions"
    codecs = "codecs"
    datasets = "datasets"
    tasks = "tasks"
    suites = "suites"


class Precision(str, Enum):
    """Of the latents in a store."""

    float32 = "float32"
    float16 = "float16"


class Preset(str, Enum):
    """How much of the self-test `bench selftest` runs."""

    fast = "fast"
    full = "full"


def default_cache() -> Path:
    """$LATENTBENCH_CACHE, or latentbench under the user's cache directory."""
    from bench.cache import default_root

    return default_root()


Device = Annotated[str, typer.Option(help="auto, cpu or cuda; auto takes a GPU where there is one.")]
CacheDir = Annotated[Path | None, typer.Option("--cache", help="Cache directory; default: the user's.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress; only the table and errors.")]
CodecName = Annotated[str, typer.Option(help="Codec, NAME[@TAP][+stackF][:ARGUMENT]; default: the card's or suite's.")]
DatasetName = Annotated[str, typer.Option(help="Dataset, NAME[:ARGUMENT], as in folder:PATH; default: the suite's.")]


@app.command()
def run(
    submission: Annotated[
        list[str] | None, typer.Option(help="Card name or TOML file; may be repeated.", show_default=False)
    ] = None,
    suite: Annotated[
        str, typer.Option(help="Suite name or TOML file; default: mini, or codecs with --codecs.", show_default=False)
    ] = "",
    codec: CodecName = "",
    codecs: Annotated[
        str,
        typer.Option(
            help="Codecs side by side, NAME,NAME,…, each stacked to 12.5 Hz; default submission: codec_itself."
        ),
    ] = "",
    dataset: DatasetName = "",
    task: Annotated[list[str] | None, typer.Option(help="Only this task; may be repeated.")] = None,
    device: Device = "auto",
    seed: Annotated[int | None, typer.Option(help="Root seed; default: the suite's.")] = None,
    cache: CacheDir = None,
    records: Annotated[Path, typer.Option(help="Where the records go.")] = Path("records"),
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            help="Write losses and gradient norms of fits as TensorBoard events to this folder, one a row below it; "
            "a fit from the cache writes nothing.",
            show_default=False,
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Fit submissions, score them, write one record each, and show the table."""
    from bench import curves, record, runner
    from bench.progress import Bar

    _hush(quiet)
    record.check_folder(records)
    if codec and codecs:
        raise BenchError("run: expected --codec or --codecs, got both")
    if not submission and not codecs:
        raise BenchError("run: expected --submission NAME (`bench list submissions` shows them), or --codecs")
    built: dict[tuple[str, str], object] = {}
    written: list[Path] = []
    failures: list[str] = []
    with Bar(quiet) as bar:
        specs = _matched(codecs, built, failures) if codecs else [codec]
        # all rows are looked up before the first is made: a name misspelt last costs no time
        rows = [
            runner.Row(
                runner.Request(
                    submission=name,
                    suite=suite or ("codecs" if codecs else "mini"),
                    cache=cache or default_cache(),
                    codec=spec,
                    dataset=dataset,
                    device=device,
                    seed=seed,
                    tasks=tuple(task or ()),
                    tensorboard=tensorboard,
                ),
                bar,
                built,
            )
            for spec in specs
            for name in dict.fromkeys(submission or [ITSELF])
        ]
        for row in rows:
            try:
                made = row.run()
            except PluginError as error:
                failures.append(f"{row.card.name}: {error}")
                continue
            written.append(record.write(made, records))
            row.export(made, records / "samples")
            row.export_curve(made, records / curves.FOLDER)
            failures += [f"{row.card.name}: {t}: {e.reason}" for t, e in made.tasks.items() if e.status == "failed"]
    if written:
        for point in entry_points(group="latentbench.reporters"):
            typer.echo(point.load()(records, written))
    if failures:
        raise BenchError("; ".join(failures))


def _matched(codecs: str, built: dict[tuple[str, str], object], failures: list[str]) -> list[str]:
    """Specs of the codecs that can be built, which go into `built`; the others cost the rest nothing."""
    from bench import matching

    specs = []
    for spec in matching.listed(codecs):
        try:
            found = matching.matched(spec)
        except UnknownName:
            raise
        except BenchError as error:
            failures.append(str(error))
            continue
        built["codecs", found.spec] = found.codec
        specs.append(found.spec)
    return specs


@app.command()
def score(
    path: Annotated[Path, typer.Argument(metavar="RECORD", help="A record whose tasks kept what was generated.")],
    cache: CacheDir = None,
    write: Annotated[
        Path | None, typer.Option(help="Also write the outcome here, for `bench check --rescored`.", show_default=False)
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Score a record's outputs again, without generating: exit code 1 where the scorer has drifted."""
    from bench import record, rescoring
    from bench.progress import Bar

    _hush(quiet)
    of = record.read(path)
    with Bar(quiet) as bar:
        found = rescoring.rescore(of, cache or default_cache(), bar)
    if write is not None:
        try:
            write.write_text(rescoring.as_json(of, found), encoding="utf-8")
        except OSError as error:
            raise BenchError(f"--write: {write} cannot be written: {error.strerror or error}") from error
    typer.echo(rescoring.terminal(found))
    if any(one.changed for one in found):
        raise typer.Exit(1)


@app.command()
def thumbnails(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Every samples folder at or below it.")],
    quiet: Quiet = False,
) -> None:
    """Draw the pictures of kept samples that have none, as `bench run` does when it keeps them."""
    from bench import outputs
    from bench.progress import Bar

    _hush(quiet)
    found = sorted(path.parent for path in folder.rglob(outputs.MANIFEST))
    if not found:
        raise BenchError(f"{folder}: no samples there; `bench run --suite generation` keeps some beside its records")
    drawn, failures = 0, []
    with Bar(quiet) as bar:
        for done, samples in enumerate(found):
            bar.update("thumbnails", done, len(found))
            try:
                drawn += outputs.illustrate(samples)
            except (DataError, RecordError) as error:  # the others can be drawn all the same
                failures.append(str(error))
        bar.update("thumbnails", len(found), len(found))
    typer.echo(f"{drawn} drawn, in {len(found)} folder{'' if len(found) == 1 else 's'} of samples")
    if failures:
        raise BenchError("; ".join(failures))


@app.command()
def encode(
    suite: Annotated[str, typer.Option(help="Suite whose codec, dataset and minutes are the defaults.")] = "mini",
    codec: CodecName = "",
    dataset: DatasetName = "",
    device: Device = "auto",
    cache: CacheDir = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of a latent store; the whole dataset goes there, not into the cache.")
    ] = None,
    precision: Annotated[Precision, typer.Option(help="Of the store's latents.")] = Precision.float32,
    codes: Annotated[bool, typer.Option("--codes", help="Store the codec's codes too.")] = False,
    readers: Annotated[
        int, typer.Option(min=1, help="Threads that read audio for a store; the dataset must allow more than one.")
    ] = 1,
    quiet: Quiet = False,
) -> None:
    """Encode a dataset into the cache, or into a latent store, and say what came out."""
    from bench import device as devices
    from bench import latents, registry
    from bench.cache import Cache
    from bench.progress import Bar
    from bench.remarks import remarks

    _hush(quiet)
    card = registry.suite_card(suite)
    where = devices.choose(device)
    spec = codec or card.codec
    if out is not None:
        from bench import encoding

        with Bar(quiet) as bar:
            said = encoding.command(
                *(out, spec, dataset or card.dataset, precision.value, codes, where, bar, readers),
                cache=cache or default_cache(),
            )
        typer.echo(said)
        return
    if codes or precision is not Precision.float32 or readers != 1:
        raise BenchError("encode: --precision, --codes and --readers are for a store: expected --out FOLDER too")
    store = Cache(cache or default_cache())
    with Bar(quiet) as bar:
        data = registry.build("datasets", dataset or card.dataset, bar.update, store.root)
        coder = registry.calling(f"codec {spec!r}", registry.build("codecs", spec).to, where)
        made = latents.encode(data, coder, card.minutes, store, where, bar.update, spec.partition(":")[2])
    info = coder.info
    typer.echo(f"{data.name} × {info.name}: {info.dim} dimensions at {info.frame_rate:g} Hz")
    for split, utterances in made.splits.items():
        frames = sum(len(u.x) for u in utterances)
        typer.echo(f"  {split}: {len(utterances)} utterances, {made.minutes[split]:.1f} min, {frames} frames")
    for line in remarks(data):
        typer.echo(line)


@app.command()
def diagnose(
    codec: Annotated[str, typer.Option(help="Codec, NAME[@TAP][+stackF][:ARGUMENT]; stacked to 12.5 Hz.")],
    dataset: DatasetName = "",
    suite: Annotated[
        str, typer.Option(help="Suite with the budgets; diagnose_quick shows whether all works.", show_default=False)
    ] = "",
    device: Device = "auto",
    seed: Annotated[int | None, typer.Option(help="Root seed; default: the suite's.")] = None,
    cache: CacheDir = None,
    out: Annotated[Path, typer.Option(help="Where the page and its records go.")] = Path("diagnosis"),
    quiet: Quiet = False,
) -> None:
    """One page about a codec: is there anything to predict in its latents, and what kind of thing."""
    from bench.diagnose import diagnose as made
    from bench.progress import Bar

    _hush(quiet)
    shared = {"suite": suite, "cache": cache or default_cache(), "dataset": dataset, "device": device, "seed": seed}
    with Bar(quiet) as bar:
        text, path = made(shared, codec, out, bar)
    typer.echo(text)
    typer.echo(f"written to {path}")


app.add_typer(cli_latents.app, name="latents")
app.command()(cli_kit.new)
app.command()(cli_kit.submit)


@app.command()
def selftest(
    preset: Annotated[Preset, typer.Option(help="fast: minutes; full: up to an hour.")] = Preset.fast,
    only: Annotated[list[str] | None, typer.Option(help="Only this task or plug-in; may be repeated.")] = None,
    cache: CacheDir = None,
    write: Annotated[
        Path | None, typer.Option(help="Write the report between the selftest markers of this file.")
    ] = None,
    overview: Annotated[
        Path | None, typer.Option(help="Write one line a group between the overview markers of this file.")
    ] = None,
    outcome: Annotated[Path | None, typer.Option(help="Write the outcome, as it ships, to this JSON file.")] = None,
    quiet: Quiet = False,
) -> None:
    """Check the estimators against known answers; exit code 1 when one is outside its tolerance.

    What is written keeps the shipped outcomes of groups that were not run and whose code is what it was.
    """
    import torch

    from bench import environment, selftest_report
    from bench import selftest as tests
    from bench.cache import Cache
    from bench.markers import block, replace_block
    from bench.progress import Bar

    _hush(quiet)
    with Bar(quiet) as bar:
        made = tests.run(preset.value, only or [], Cache(cache or default_cache()), bar)
    kept = tests.still_known(made)
    if write:
        here = environment.capture(torch.device("cpu"))
        replace_block(write, "selftest", selftest_report.markdown(made, here, block(write, "selftest"), kept))
    if overview:
        replace_block(overview, "overview", selftest_report.overview(made, block(overview, "overview"), kept))
    if outcome:
        tests.write_outcome(made, outcome)
    typer.echo(selftest_report.terminal(made))
    if not all(group.passed for group in made):
        raise typer.Exit(1)


@app.command()
def conformance(
    name: Annotated[str, typer.Argument(help="Card, codec, dataset or task; NAME:ARGUMENT as in `bench run`.")],
    kind: Annotated[str, typer.Option(help="submissions, codecs, datasets or tasks, where several have NAME.")] = "",
    quiet: Quiet = False,
) -> None:
    """Check a plug-in against the rules of its kind; exit code 1 when it breaks one."""
    from bench.conformance import report

    _hush(quiet)
    results = report.check(name, kind)
    typer.echo(report.terminal(name, results))
    if not report.passed(results):
        raise typer.Exit(1)


@app.command("list")
def list_(
    kind: Annotated[Kind | None, typer.Argument(help="What to list; default: everything.")] = None,
    format_: Annotated[str, typer.Option("--format", help="text or md (tasks only).")] = "text",
    write: Annotated[
        Path | None, typer.Option(help="Replace the block between <!-- tasks:start --> and <!-- tasks:end -->.")
    ] = None,
) -> None:
    """List what is installed."""
    from bench import listing
    from bench.markers import replace_block

    if format_ not in ("text", "md") or (format_ == "md" and kind is not Kind.tasks):
        raise BenchError("list: --format is text, or md for `bench list tasks`")
    text = listing.tasks_table() if format_ == "md" else listing.text(None if kind is None else kind.value)
    if write:
        replace_block(write, "tasks", text)
    else:
        typer.echo(text)


def _hush(quiet: bool) -> None:
    if quiet:
        logging.getLogger().setLevel(logging.ERROR)


def _environment() -> None:
    """What must be set before torch is loaded, and for text on any terminal."""
    if "OMP_WAIT_POLICY" not in os.environ:
        # threads that wait by spinning stall each other wherever something else runs: 50 times slower
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def main() -> None:
    """Entry point of the console script."""
    _environment()
    # with LATENTBENCH_DEBUG the traceback of a plug-in's error is shown beside its one line
    level = logging.INFO if os.environ.get("LATENTBENCH_DEBUG") else logging.WARNING
    logging.basicConfig(format="%(message)s", level=level)
    try:
        for point in entry_points(group="latentbench.commands"):
            point.load()(app)
        # without standalone mode an exit code is what the call returns
        code = app(standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    except BenchError as error:
        typer.echo(f"bench: {' '.join(str(error).split())}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("bench: stopped; the same command goes on from here", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "show"):
            error.show()
            sys.exit(2)
        raise
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
