"""A published measurement as something that can be made again: codecs, data, and the figures with their tolerances.

Whoever has published figures offers them through the entry-point group `latentbench.protocols`: a function that
takes a file, or None for its own, and returns protocols by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One published figure.

    Attributes:
        metric: its title, for people.
        measured: the metric of `bench.metrics.fidelity` that answers it.
        unit: of `value` and `tolerance`; "%" is a hundred times the measured share.
        tolerance: how far a measurement may be from `value`, either way.
    """

    metric: str
    measured: str
    unit: str
    value: float
    tolerance: float


@dataclass(frozen=True)
class Case:
    """One codec and its figures. `codec` is a spec NAME[@TAP][+stackF][:ARGUMENT], `model` its published name."""

    codec: str
    model: str
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Protocol:
    """Everything that `bench validate --against NAME` needs.

    Attributes:
        source: authors, year and where it was published.
        dataset: a spec NAME[:ARGUMENT]; "" where no dataset plug-in gives the data.
        splits: of the dataset, measured together.
        data: what the data are and where they are to be had, for people.
        differs: how this measurement differs from the published one.
    """

    name: str
    title: str
    source: str
    dataset: str
    splits: tuple[str, ...]
    data: str
    differs: str
    cases: tuple[Case, ...]


Protocols = Mapping[str, Protocol]
