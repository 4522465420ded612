"""Any dataset of the Hugging Face hub: `--dataset hub:OWNER/REPO[/CONFIG][@REVISION][,key=value…]`.

It is streamed: what `minutes` and `per_speaker` leave of each split goes into the cache, as it is stored there,
and is read from there ever after, without a network where the revision is 40 digits. Another revision (a
branch, a tag, none) is looked up each time, and a note says what it was. Keys: `bench.datasets.options`.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from bench.cache import default_root
from bench.datasets.loaded import Loaded, Opened
from bench.datasets.options import Options, read
from bench.datasets.streamed import Streamed
from bench.datasets.unreadable import needed, reading
from bench.errors import DataError

_PLACE = re.compile(r"([\w.-]+/[\w.-]+)(?:/([^@/]+))?(?:@(.+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Place:
    """A dataset on the hub; "" for its only configuration, or its newest revision."""

    repository: str
    config: str = ""
    revision: str = ""


class Hub(Loaded):
    """Dataset plug-in `hub`.

    Args:
        argument: OWNER/REPO[/CONFIG][@REVISION][,key=value…].
        progress: called with (what, rows read, rows in all).
        cache: the cache directory; None: the user's.

    Raises:
        DataError: no such dataset, configuration, revision, split or column; or the hub cannot be reached.
    """

    def __init__(
        self, argument: str, progress: Callable[[str, int, int], None] = lambda *_: None, cache: Path | None = None
    ) -> None:
        text, options, written = read("hub", argument)
        place = parsed(text)
        super().__init__(on_hub(f"hub:{place.repository}", place, options, written, cache), cache, progress)


def parsed(text: str) -> Place:
    """The place that `OWNER/REPO[/CONFIG][@REVISION]` names.

    >>> parsed("openslr/librispeech_asr/clean@main")
    Place(repository='openslr/librispeech_asr', config='clean', revision='main')

    Raises:
        DataError: another form.
    """
    found = _PLACE.fullmatch(text)
    if found is None:
        raise DataError(f"hub: expected hub:OWNER/REPO[/CONFIG][@REVISION], got {text!r}")
    return Place(*found.groups(default=""))


def on_hub(name: str, place: Place, options: Options, written: str, cache: Path | None) -> Opened:
    """What is read of a place on the hub.

    Args:
        name: of the dataset, without configuration and revision.
        written: the options as they were written.

    Raises:
        DataError: no such revision, the hub cannot be reached, or a local path would be taken for it.
    """
    if Path(place.repository).exists():
        raise DataError(f"{name}: {place.repository} is a local path here too; run from another directory")
    at, note = _resolved(name, place)
    pinned = {"hub": at.repository, "config": at.config, "revision": at.revision}

    def loading() -> Mapping[str, Any]:
        _reachable()
        return {"path": at.repository, "name": at.config or None, "revision": at.revision}

    config = f"/{at.config}" if at.config and name.endswith(at.repository) else ""
    shown = f"{name}{config}@{at.revision[:12]}{written}"
    source = Streamed(shown, loading, options, (cache or default_root()) / "hub")
    return Opened(shown, source, pinned, options, pinned, {"from": f"{at.repository}, revision {note}"})


def _resolved(who: str, place: Place) -> tuple[Place, str]:
    """The place at a commit, and what to say of it."""
    if _COMMIT.fullmatch(place.revision):
        return place, place.revision
    with needed(who), reading(who):
        from huggingface_hub import HfApi

        _reachable()
        commit = str(HfApi().dataset_info(place.repository, revision=place.revision or None).sha)
    asked = place.revision or "the newest"
    return replace(place, revision=commit), f"{commit}, which {asked} is now; name it to stay with it"


def _reachable() -> None:
    from huggingface_hub import constants

    if not getproxies() and not constants.HF_HUB_OFFLINE:
        # without a network the hub's client tries for half a minute
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, None)
