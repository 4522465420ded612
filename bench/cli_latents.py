"""`bench latents`: looking at latents before anything is fitted to them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.contract import LatentUtterance, Split
    from bench.latent_summary import Source
    from bench.progress import Bar

app = typer.Typer(help="Look at latents.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def latents() -> None:
    """Look at latents before anything is fitted to them."""


@app.command()
def inspect(
    store: Annotated[Path | None, typer.Argument(help="Folder of `bench encode --out`.")] = None,
    codec: Annotated[str, typer.Option(help="Instead of a store: this codec, through the cache, with")] = "",
    dataset: Annotated[str, typer.Option(help="this dataset.")] = "",
    split: Annotated[str, typer.Option(help="train, valid or test; default: all.")] = "",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; for --codec.")] = "auto",
    cache: Annotated[Path | None, typer.Option("--cache", help="Cache directory; for --codec.")] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write summary.json, and plots as SVG, into this folder too.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Say how latents are distributed: moments, spectrum, dead dimensions, what the speaker decides."""
    if (store is None) == (not codec) or bool(codec) != bool(dataset):
        raise BenchError("latents inspect: expected a STORE, or --codec with --dataset")
    if write is not None:
        from bench import latent_plots

        latent_plots.matplotlib()  # one that is missing is told before the work
    from bench import latent_summary
    from bench.progress import Bar

    with Bar(quiet) as bar:
        if store is not None:
            source, utterances, count = _stored(store, split)
        else:
            source, utterances, count = _cached(codec, dataset, split, device, cache, bar)
        found = latent_summary.summarise(utterances, source, bar.update, count)
    typer.echo(latent_summary.text(found))
    if write is not None:
        for path in latent_plots.write(found, write):
            typer.echo(f"wrote {path}")


def _chosen(split: str, there: Iterable[Split]) -> list[Split]:
    """The splits of that name, all where there is none.

    Raises:
        BenchError: no such split.
    """
    known = list(there)
    if split and split not in known:
        raise BenchError(f"no split {split!r}; there are: {', '.join(known) or 'none'}")
    return [one for one in known if split in ("", one)]


def _stored(root: Path, split: str) -> tuple[Source, Iterable[LatentUtterance], int]:
    from bench.latent_summary import Source
    from bench.store import LatentStore

    store = LatentStore(root, partial=True)
    identity, totals, info = store.manifest.identity, store.manifest.totals, store.manifest.identity.info
    splits = _chosen(split, store.splits)
    parts = [store.utterances(one) for one in splits]
    samples = sum(p.samples for p in [*store.manifest.shards, *store.manifest.pending] if p.split in splits)
    held = f"unfinished: {totals.utterances} of {sum(store.manifest.listed.values())} utterances are stored"
    source = Source(
        name=_name(identity.dataset, info["name"], split),
        dim=info["dim"],
        frame_rate=info["sample_rate"] / info["hop"],
        hours=samples / info["sample_rate"] / 3600,
        precision=identity.precision,
        speakers_known=store.manifest.speakers_known,
        note="" if totals.complete else held,
    )
    return source, (u for part in parts for u in part), sum(map(len, parts))


def _cached(
    codec: str, dataset: str, split: str, device: str, cache: Path | None, bar: Bar
) -> tuple[Source, Iterable[LatentUtterance], int]:
    from bench import device as devices
    from bench import latents as encoding
    from bench import registry
    from bench.cache import Cache
    from bench.cli import default_cache
    from bench.latent_summary import Source

    where = devices.choose(device)
    splits = _chosen(split, encoding.SPLITS)
    store = Cache(cache or default_cache())
    data = registry.build("datasets", dataset, bar.update, store.root)
    coder = registry.calling(f"codec {codec!r}", registry.build("codecs", codec).to, where)
    made = encoding.encode(data, coder, {}, store, where, bar.update, codec.partition(":")[2])
    chosen = [u for one in splits for u in made.splits[one]]
    source = Source(
        name=_name(data.name, coder.info.name, split),
        dim=coder.info.dim,
        frame_rate=coder.info.frame_rate,
        hours=sum(made.minutes[one] for one in splits) / 60,
        speakers_known=data.speakers_known,
    )
    return source, chosen, len(chosen)


def _name(dataset: str, codec: str, split: str) -> str:
    return f"{dataset} × {codec}, {f'split {split}' if split else 'all splits'}"
