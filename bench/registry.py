"""Looking plug-ins up by name, through entry points, without importing what was not asked for.

Groups: `latentbench.codecs`, `.datasets`, `.submissions`, `.tasks` name a class; `.suites` and `.cards` name
a package whose folder holds TOML files, `.records` one whose folder holds records; `.commands` and `.reporters` are
what packages above add to the command line.
"""

from __future__ import annotations

import importlib.util
import inspect
import logging
import re
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from typing import Any, TypeVar

from bench.config import Card, SubmissionCard, SuiteCard, TaskCard, read_card
from bench.contract import CodecInfo
from bench.errors import BenchError, CardError, PluginError, UnknownName
from bench.stacking import stacked

log = logging.getLogger(__name__)
C = TypeVar("C", bound=Card)
NEEDED = {
    "codecs": ("info", "to", "encode", "decode"),
    "datasets": ("name", "digest", "refused", "converted", "grammar", "speakers_known", "utterances", "audio"),
    "submissions": ("fit", "state", "load_state"),
    "tasks": ("card", "score"),
}
"""What a plug-in of each kind must have."""
_CODEC_SPEC = re.compile(r"([^@+:]*)(?:@([^@+:]+))?(?:\+stack([2-9]|[1-9]\d+))?(?::(.*))?", re.DOTALL)


def names(kind: str) -> dict[str, EntryPoint]:
    """Installed plug-ins of a kind ("codecs", "datasets", "submissions", "tasks", …) by name."""
    return {point.name: point for point in _points(kind)}


@cache
def _points(kind: str) -> EntryPoints:
    return entry_points(group=f"latentbench.{kind}")


def find(kind: str, name: str) -> EntryPoint:
    """The entry point of that name.

    Raises:
        UnknownName: none is installed under it.
        PluginError: two packages claim it.
    """
    points = _points(kind)
    claims = sorted({point.value for point in points if point.name == name})
    if not claims:
        raise UnknownName(kind.removesuffix("s"), name, list(points.names))
    if len(claims) > 1:
        raise PluginError(f"{kind.removesuffix('s')} {name!r} is claimed twice: {', '.join(claims)}")
    return next(point for point in points if point.name == name)


def load(kind: str, name: str) -> Any:
    """Import the plug-in `name` of a kind.

    Raises:
        UnknownName, PluginError: as `find`; or it does not import.
    """
    point = find(kind, name)
    try:
        return point.load()
    except BenchError:
        raise
    except (Exception, SystemExit) as error:
        who = f"{kind.removesuffix('s')} {name!r} ({point.value})"
        raise PluginError(f"{who} does not import: {_said(error)}") from error


def module_of(kind: str, name: str) -> str:
    """The module that holds the plug-in."""
    return find(kind, name).module


def build(
    kind: str, spec: str, progress: Callable[[str, int, int], None] | None = None, cache: Path | None = None
) -> Any:
    """A codec from `NAME[@TAP][+stackF][:ARGUMENT]`, or a dataset from `NAME[:ARGUMENT]`.

    Args:
        progress: called with (what, done, total) by a factory that takes a keyword of this name.
        cache: the cache directory, for a dataset that takes a keyword of this name.

    Raises:
        UnknownName, PluginError: as `load`; a factory that raises anything but a BenchError.
        BenchError: a codec's spec of another form, or a tap of a codec that has none.
    """
    name, _, argument = spec.partition(":")
    tap, factor = "", 1
    if kind == "codecs":
        name, tap, factor, argument = codec_spec(spec)
    factory, who = load(kind, name), f"{kind.removesuffix('s')} {name!r}"
    told: dict[str, Any] = {"progress": progress} if progress is not None and _takes(factory, "progress") else {}
    if kind == "datasets" and cache is not None and _takes(factory, "cache"):
        told["cache"] = cache
    if tap:
        if not _takes(factory, "tap"):
            raise BenchError(f"{who} has no taps, got {tap!r}")
        told["tap"] = tap
    plugin = made(kind, who, factory, argument, **told)
    return stacked(plugin, factor) if factor > 1 else plugin


def codec_spec(spec: str) -> tuple[str, str, int, str]:
    """Name, tap, stacking factor and argument of `NAME[@TAP][+stackF][:ARGUMENT]`; "" and 1 where not given.

    >>> codec_spec("soundstream@30+stack4:/data/lyra"), codec_spec("minicodec")
    (('soundstream', '30', 4, '/data/lyra'), ('minicodec', '', 1, ''))

    Raises:
        BenchError: another form, or a factor below 2.
    """
    found = _CODEC_SPEC.fullmatch(spec)
    if found is None:
        raise BenchError(f"codec: expected NAME[@TAP][+stackF][:ARGUMENT] with F of at least 2, got {spec!r}")
    name, tap, factor, argument = found.groups(default="")
    return name, tap, int(factor or 1), argument


def _takes(factory: Callable[..., Any], keyword: str) -> bool:
    try:
        return keyword in inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return False


def made(kind: str, who: str, factory: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """What a plug-in's factory gives, with all that its kind must have.

    Raises:
        PluginError: the factory raises, or something is missing; names `who`.
    """
    plugin = calling(who, factory, *args, **kwargs)
    for attribute in NEEDED[kind]:
        if not hasattr(plugin, attribute):
            got = f"got {type(plugin).__name__}, which has no {attribute}"
            raise PluginError(f"{who}: expected a {kind.removesuffix('s')}, {got}")
    if kind == "codecs" and not isinstance(plugin.info, CodecInfo):
        raise PluginError(f"{who}: info must be a CodecInfo, got {type(plugin.info).__name__}")
    return plugin


def calling(who: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call into a plug-in; whatever it raises becomes one line that names it."""
    try:
        return function(*args, **kwargs)
    except BenchError:
        raise
    except (Exception, SystemExit) as error:
        log.info("%s raised", who, exc_info=True)
        raise PluginError(f"{who} raised {_said(error)}") from error


def _said(error: BaseException) -> str:
    """Type, message and place of an error, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}{where}"


def suite_card(name: str) -> SuiteCard:
    """The suite of that name, or the one in the TOML file of that path."""
    return _card("suite", name, suite_files(), SuiteCard)


def submission_card(name: str) -> SubmissionCard:
    """The submission card of that name, or the one in the TOML file of that path."""
    return _card("submission", name, submission_files(), SubmissionCard)


def task_cards() -> dict[str, TaskCard]:
    """Cards of all installed tasks, read without importing their scorers."""
    return {name: task_card_of(name) for name in names("tasks")}


def task_card_of(name: str) -> TaskCard:
    """The card beside the module of task `name`."""
    spec = _spec(module_of("tasks", name))
    if spec is None or spec.origin is None:
        raise PluginError(f"task {name!r}: its module {module_of('tasks', name)} is not installed")
    path = Path(spec.origin).with_suffix(".toml")
    card = read_card(path, TaskCard)
    if card.name != name:
        raise CardError(f"{path}: the card's name is {card.name!r}, its entry point's {name!r}")
    return card


def _spec(module: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(module)
    except Exception as error:  # to look a module up is to import the package that holds it
        log.info("%s does not import", module, exc_info=True)
        raise PluginError(f"{module}: the package that holds it does not import: {_said(error)}") from error


@cache
def _files(kind: str) -> Mapping[str, Path]:
    return {path.stem: path for folder in folders(kind) for path in sorted(folder.glob("*.toml"))}


def folders(kind: str) -> list[Path]:
    """Folders of the packages that a group ("suites", "cards", "records") names."""
    found: list[Path] = []
    for point in names(kind).values():
        spec = _spec(point.value)
        found += [Path(folder) for folder in spec.submodule_search_locations or ()] if spec else []
    return found


def suite_files() -> Mapping[str, Path]:
    """Installed suites: name → TOML file."""
    return _files("suites")


def submission_files() -> Mapping[str, Path]:
    """Installed submission cards: name → TOML file."""
    return _files("cards")


def _card(kind: str, name: str, files: Mapping[str, Path], card: type[C]) -> C:
    if name in files:
        path = files[name]
    elif name.endswith(".toml"):
        path = Path(name)
    else:
        raise UnknownName(kind, name, list(files))
    return read_card(path, card)
