"""Why a column's values differ: the model was made again, the scorer was changed, or the machine was.

A record names what it was made with: the digest of the model's weights, that of the scorer's code, of kept outputs
their names (which are digests of what they depend on), package versions and processor. Where outputs were kept they
decide whether the scorer heard the same; elsewhere the weights do. `bench score` knows more, where it was run.
"""

from __future__ import annotations

from typing import Literal

from bench.record import ARITHMETIC, Record, TaskEntry

Cause = Literal["", "model", "scorer", "model and scorer", "environment", "unexplained"]
WORDS: dict[Cause, str] = {
    "model": "model drift: other weights or outputs, the same scorer",
    "scorer": "scorer drift: the same weights and outputs, other scorer code",
    "model and scorer": "model and scorer both changed; `bench score` tells whether the scorer matters",
    "environment": "the same weights, outputs and scorer code; other packages, processor or threads",
    "unexplained": "the same weights, outputs, scorer code and environment, yet other values",
}
OUTPUTS = "outputs"
"""The note of a task that keeps what was generated."""


def cause(old: Record, new: Record, task: str, moved: bool | None = None) -> Cause:
    """Why values of a column of this task differ between two records of one row.

    Args:
        moved: whether the committed record's stored outputs score differently now; None where nobody tried. It
            overrules the digests: a scorer whose code differs may score as before.
    """
    before, after = old.tasks[task], new.tasks[task]
    model, scorer = _other_model(old, new, before, after), before.scorer_digest != after.scorer_digest
    if moved is False:
        return "model" if model else "unexplained"
    # scored differently by the same code, it was the machine or its packages
    scorer = scorer or bool(moved and model)
    if model or scorer:
        return "model and scorer" if model and scorer else "model" if model else "scorer"
    return "environment" if other_environment(old, new) else "unexplained"


def fitted_again(old: Record, new: Record, task: str) -> bool:
    """Whether another draw of a seed, or what amounts to one, may have moved the values: the model's weights differ,
    the root seed does, or the arithmetic, under which a task fits its probes anew."""
    before, after = old.tasks[task], new.tasks[task]
    return old.seed != new.seed or _other_model(old, new, before, after) or other_environment(old, new)


def other_environment(old: Record, new: Record) -> bool:
    """Whether what decides the last bits of a number differs, beside code and inputs."""
    return any(getattr(old.environment, name) != getattr(new.environment, name) for name in ARITHMETIC)


def _other_model(old: Record, new: Record, before: TaskEntry, after: TaskEntry) -> bool:
    kept = before.notes.get(OUTPUTS), after.notes.get(OUTPUTS)
    if None not in kept:
        return bool(kept[0] != kept[1])
    names = ("weights_digest", "code_digest", "plugin", "parameters")
    return any(getattr(old.submission, name) != getattr(new.submission, name) for name in names)
