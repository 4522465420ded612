"""What goes wrong while a dataset is opened or streamed, in one line that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from bench.errors import BenchError, CacheError, DataError

SAID = 240
"""Characters of a package's own message that an error repeats."""


@contextmanager
def reading(who: str) -> Iterator[None]:
    """Whatever is raised inside becomes a BenchError that names `who`.

    Raises:
        DataError: the dataset cannot be had or read.
        CacheError: the disk is full.
    """
    try:
        yield
    except (BenchError, ImportError):
        raise
    except Exception as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise CacheError(f"{who}: no space left on the disk; choose another with --cache") from error
        raise DataError(f"{who}: {_explained(error)}") from error


@contextmanager
def needed(who: str) -> Iterator[None]:
    """A missing package becomes one line that says how to install it.

    Raises:
        BenchError: `datasets`, or what it needs, is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise BenchError(f"{who} needs datasets: pip install 'latentbench[data]'") from error


def _explained(error: BaseException) -> str:
    said = " ".join(str(error).split())
    kinds = {kind.__name__ for one in _chain(error) for kind in type(one).__mro__}
    if "GatedRepoError" in kinds or "gated dataset" in said:
        return "it is gated: accept its terms on the hub, then log in with `hf auth login`"
    if "RevisionNotFoundError" in kinds or said.startswith("Revision "):
        return "the hub has no such revision of it"
    if kinds & {"DatasetNotFoundError", "RepositoryNotFoundError"}:
        return "the hub has no such dataset, or it is private: `hf auth login`"
    if "no longer supported" in said:
        return "it is a loading script, which `datasets` does not run; name a copy of it in Parquet"
    if "EmptyDatasetError" in kinds or "DataFilesNotFoundError" in kinds:
        return "it holds no files of this kind"
    if said.startswith("BuilderConfig") or "Config name is missing" in said:
        return f"expected NAME:OWNER/REPO/CONFIG with one of its configurations: {said[:SAID]}"
    if kinds & {"ConnectionError", "OfflineModeIsEnabled", "gaierror", "TransportError"}:
        return "the hub cannot be reached; what was read of a revision of 40 digits is kept, and goes on from there"
    if kinds & {"ReadError", "ArrowException", "DatasetGenerationError", "EOFError", "BadZipFile"}:
        return f"damaged or cut short: {said[:SAID] or type(error).__name__}"
    return f"cannot be read: {type(error).__name__}: {said[:SAID]}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
