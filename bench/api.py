"""The harness from Python: make a row, read rows. Names and defaults are those of the command line.

>>> from bench import load_records
>>> rows = {(r.suite, r.submission.name): r for r in load_records()}
>>> rows["mini", "rssm_v1"].tasks["delta_nll"].status
'scored'
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.record import Record, read_folder

__all__ = ["Record", "load_records", "run"]


def run(
    submission: str | Path,
    suite: str | Path = "mini",
    *,
    codec: str = "",
    dataset: str = "",
    task: str | Sequence[str] = (),
    device: str = "auto",
    seed: int | None = None,
    cache: str | Path | None = None,
    records: str | Path | None = None,
    tensorboard: str | Path | None = None,
    quiet: bool = True,
) -> Record:
    """Fit a submission and score it: what `bench run` does for one row. What is cached is not done again.

    Example:
        >>> from bench import run
        >>> record = run("rssm_v1", suite="quick")  # doctest: +SKIP
        >>> record.tasks["delta_nll"].columns["gain_80ms"].values  # doctest: +SKIP

    Args:
        submission: a card's name, or the path of a card's TOML file.
        suite: a suite's name, or the path of its TOML file.
        codec: NAME[@TAP][+stackF][:ARGUMENT]; empty: the card's or the suite's.
        dataset: NAME[:ARGUMENT]; empty: the suite's.
        task: only this one, or these; empty: all of the suite.
        device: auto, cpu or cuda.
        seed: the root seed; None: the suite's.
        cache: cache directory; None: the user's, as `bench run` has it.
        records: a folder into which the record is written too; None: it is only returned.
        tensorboard: a folder for losses and gradient norms of the fit.
        quiet: no progress on standard error.

    Returns:
        the record. A task that fails is in it, with the reason in place of scores: look at `status`.

    Raises:
        BenchError: bad input, a codec or dataset that cannot be used, or a submission that does not fit.
    """
    from bench import record, runner
    from bench.cache import default_root
    from bench.progress import Bar

    if records is not None:
        record.check_folder(Path(records))
    request = runner.Request(
        submission=str(submission),
        suite=str(suite),
        cache=default_root() if cache is None else Path(cache),
        codec=codec,
        dataset=dataset,
        device=device,
        seed=seed,
        tasks=(task,) if isinstance(task, str) and task else tuple(task),
        tensorboard=None if tensorboard is None else Path(tensorboard),
    )
    with Bar(quiet) as bar:
        row = runner.Row(request, bar)
        made = row.run().sealed()
    if records is not None:
        path = record.write(made, Path(records))
        row.export(made, Path(records) / "samples")
        # what other tasks of the same row were scored before stands in it too
        return record.read(path)
    return made


def load_records(folder: str | Path | None = None) -> list[Record]:
    """The records of a folder, sorted by suite, dataset, codec and submission.

    Args:
        folder: where `bench run` wrote them; None: the committed ones, which ship with the leaderboard.

    Raises:
        BenchError: no such folder, none that ships, or a file in it that cannot be trusted: of another schema, or
            edited.
    """
    from bench.errors import RecordError

    paths = committed_folders() if folder is None else [Path(folder)]
    if not paths:
        raise RecordError("no installed package ships records; expected a folder: `bench run` makes records")
    for path in paths:
        if not path.is_dir():
            raise RecordError(f"{path}: no such folder of records; `bench run` makes records")
    return sorted((one for path in paths for one in read_folder(path)), key=lambda record: record.key)


def committed_folders() -> list[Path]:
    """Folders of records that installed packages ship, by the entry-point group `latentbench.records`.

    Raises:
        PluginError: a package that holds one does not import.
    """
    from bench import registry

    return registry.folders("records")
