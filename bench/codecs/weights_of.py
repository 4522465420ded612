"""Where the weights of a published codec come from: its pinned source, a file, or a seeded generator.

A codec of another package is named `NAME[@TAP][:WEIGHTS]`. WEIGHTS is empty for the published weights, pinned
to a revision and a digest; `random` for the right architecture with seeded random weights, which is never
ranked; otherwise the path of a checkpoint in the package's own format.
"""

from __future__ import annotations

import math
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies

from bench.cache import file_digest
from bench.errors import BenchError, DataError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

RANDOM = "random"
SEED = 0
"""Of random weights."""
SAID = 240
"""Characters of a package's own message that an error repeats."""


@dataclass(frozen=True)
class Source:
    """Published weights.

    Attributes:
        file: name of the file, or its path in `repository`.
        sha256: of the file, or as much of its beginning as is known for certain; None where nothing is: then
            the digest is recorded, but not checked.
        repository: on the Hugging Face hub, with its `revision`; or
        url: an address, with `folder`, the cache of the package itself, relative to the home directory.
    """

    file: str
    sha256: str | None
    repository: str = ""
    revision: str = ""
    url: str = ""
    folder: str = ""

    def __str__(self) -> str:
        """For people."""
        return (
            f"{self.file} of {self.repository}@{self.revision[:8]}" if self.repository else f"{self.file}, {self.url},"
        )


def locate(name: str, argument: str, source: Source) -> tuple[Path, str]:
    """The file that `argument` names, and its sha256; the published one is fetched where it is not cached.

    Raises:
        DataError: there is no such file, it cannot be fetched, or it is not the one that is pinned.
    """
    if argument:
        path = Path(argument).expanduser()
        if not path.is_file():
            raise DataError(f"codec {name}: expected a checkpoint such as {source}, got {argument!r}, which is no file")
        return path, file_digest(path)
    path = _fetched(name, source)
    digest = file_digest(path)
    if source.sha256 is not None and not digest.startswith(source.sha256):
        expected, got = source.sha256[:16], digest[:16]
        raise DataError(f"codec {name}: {path} has sha256 {got}…, expected {expected}…; delete it, or say {name}:PATH")
    return path, digest


def _fetched(name: str, source: Source) -> Path:
    try:
        return _from_hub(source) if source.repository else _from_url(source)
    except Exception as error:
        why = f"is not here and cannot be fetched ({type(error).__name__})"
        ways = f"say {name}:PATH for a copy of it, or {name}:{RANDOM} for untrained weights"
        raise DataError(f"codec {name}: {source} {why}; {ways}") from error


def _from_hub(source: Source) -> Path:
    from huggingface_hub import constants, errors, hf_hub_download

    try:
        found = hf_hub_download(source.repository, source.file, revision=source.revision, local_files_only=True)
    except errors.LocalEntryNotFoundError:
        if not getproxies():
            # without a network the hub's client tries six times, and says so each time
            socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, None)
        found = hf_hub_download(source.repository, source.file, revision=source.revision)
    return Path(found)


def _from_url(source: Source) -> Path:
    import torch

    path = Path.home() / source.folder / source.file
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(source.url, str(path), progress=False)
    return path


@contextmanager
def reading(name: str, path: Path, expected: str) -> Iterator[None]:
    """What goes wrong while a checkpoint is read becomes one line: expected, got, who."""
    try:
        yield
    except BenchError:
        raise
    except Exception as error:
        got = " ".join(str(error).split())[:SAID] or type(error).__name__
        raise DataError(f"codec {name}: expected {expected} in {path.name}, got: {got}") from error


@contextmanager
def undisturbed(seed: int = SEED) -> Iterator[None]:
    """A package is imported and its model built from a seeded generator; the process stays as it was.

    Modules draw their first weights from torch's global generator, and some packages set the number of threads
    or warn about their own past when they are imported.
    """
    import torch

    state, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which reseeds every GPU too
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_rng_state(state)
        torch.set_num_threads(threads)


@contextmanager
def imported(name: str, package: str, alone: str = "") -> Iterator[None]:
    """A missing package becomes one line that says how to install it.

    Args:
        alone: the requirement that has to be installed without its dependencies, whose pins contradict ours.

    Raises:
        BenchError: the package, or one that it needs, is not installed.
    """
    try:
        yield
    except ImportError as error:
        then = f" and pip install --no-deps {alone}" if alone else ""
        raise BenchError(f"codec {name} needs {package}: pip install 'latentbench[codecs]'{then}") from error


def entries(x: Tensor, stages: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Codebooks for a residual quantiser that is untrained: those of packages begin at zero, and tell nothing apart.

    Gaussian, the first about the mean of `x`, the others about zero. The first has √(2 ln V / D) of the spread over
    time, the scale at which the nearest of V entries in D dimensions takes most off a Gaussian residual: 2 ln V / D
    of its power. The next ones fall twice as fast as such residuals do, so that to code a sum of entries is to find
    them again.

    Args:
        x: (T, D), what the quantiser is to code.

    Yields:
        (size, D), one for each stage.
    """
    import torch

    mean, off = x.mean(0), min(1.0, 2.0 * math.log(size) / x.shape[1])
    # a power of two, so that another machine's rounding does not reach the entries' scale
    scale = 2.0 ** round(math.log2(max(math.sqrt(off) * float((x - mean).std()), 1e-12)))
    falls = math.sqrt(max(0.25, 1.0 - 2.0 * off))
    for stage in range(stages):
        drawn = torch.randn(size, x.shape[1], generator=generator)
        yield scale * falls**stage * drawn + (mean if stage == 0 else 0.0)
