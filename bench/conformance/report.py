"""Finding what a name stands for, asking every rule of it, and showing the answers."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from tabulate import tabulate

from bench import registry
from bench.conformance import codec, dataset, submission, task
from bench.conformance.rule import Result
from bench.errors import BenchError, UnknownName

KINDS = ("submissions", "codecs", "datasets", "tasks")
WIDTH = 58


def kinds_of(name: str) -> list[str]:
    """The kinds among which `name` is found; NAME:ARGUMENT is a codec or a dataset, NAME@TAP a codec, a TOML file
    a submission."""
    if name.endswith(".toml"):
        return ["submissions"]
    return [kind for kind, known in _known().items() if registry.parts(kind, name)[0] in known]


def check(name: str, kind: str = "") -> list[Result]:
    """Every rule on the plug-in or card of that name.

    Args:
        kind: "submissions", "codecs", "datasets" or "tasks"; empty where the name is of one kind alone.

    Raises:
        UnknownName: nothing has it.
        BenchError: several kinds have it, or the plug-in cannot be built.
    """
    if kind and kind not in KINDS:
        raise BenchError(f"conformance: --kind is one of {', '.join(KINDS)}, got {kind!r}")
    found = [one for one in kinds_of(name) if kind in ("", one)]
    if not found:
        known = [f"{k}: {n}" for k, ns in _known().items() if kind in ("", k) for n in ns]
        raise UnknownName(kind.removesuffix("s") or "card or plug-in", name, known)
    if len(found) > 1:
        raise BenchError(f"conformance: {name!r} is among {' and '.join(found)}; say which with --kind")
    return _CHECKS[found[0]](name)


def passed(results: Sequence[Result]) -> bool:
    """No rule is broken, and one was asked."""
    verdicts = [one.verdict for one in results]
    return "failed" not in verdicts and "passed" in verdicts


def terminal(name: str, results: Sequence[Result]) -> str:
    """One row a rule: what must hold, the verdict, and the numbers under it."""
    rows = []
    for one in results:
        told = [*textwrap.wrap(one.holds, WIDTH), *textwrap.wrap(one.detail, WIDTH, initial_indent="  ",
                                                                 subsequent_indent="  ")]  # fmt: skip
        rows.append([one.rule, "\n".join(told), "FAILED" if one.verdict == "failed" else one.verdict])
    table = tabulate(rows, ["rule", "what must hold", "verdict"], tablefmt="simple", disable_numparse=True)
    count = {v: sum(one.verdict == v for one in results) for v in ("passed", "failed", "not applicable")}
    return f"{table}\n\n{name}: " + ", ".join(f"{n} {verdict}" for verdict, n in count.items())


_CHECKS: dict[str, Callable[[str], list[Result]]] = {
    "submissions": lambda name: submission.check(registry.submission_card(name)),
    "codecs": codec.check,
    "datasets": dataset.check,
    "tasks": task.check,
}


def _known() -> dict[str, list[str]]:
    return {
        "submissions": sorted(registry.submission_files()),
        **{kind: sorted(registry.names(kind)) for kind in KINDS[1:]},
    }
