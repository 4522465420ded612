"""Every card's knobs are parameters that its plug-in takes, and its parts are modules that it has."""

from __future__ import annotations

from typing import Any

import pytest

from bench import registry
from bench.config import merged
from bench.contract import CodecInfo

INFO = CodecInfo("minicodec", 16_000, 1280, 32, codebooks=(64,) * 8)
CARDS = sorted(name for name in registry.submission_files())
KNOBBED = [name for name in CARDS if registry.submission_card(name).knobs]


@pytest.mark.parametrize("name", KNOBBED)
def test_every_value_of_a_knob_is_taken(name: str) -> None:
    card = registry.submission_card(name)
    plugin: Any = registry.load("submissions", card.plugin)
    for knob, values in card.knobs.items():
        assert len(set(values)) == len(values) > 1
        for value in values:
            over: dict[str, Any] = {}
            *path, last = knob.split(".")
            inner = over
            for part in path:
                inner = inner.setdefault(part, {})
            inner[last] = value
            config: Any = plugin(**merged(card.parameters, over)).config
            for part in knob.split("."):
                config = getattr(config, part)
            assert config == value


@pytest.mark.parametrize("name", KNOBBED)
def test_parts_are_modules_and_share_none(name: str) -> None:
    card = registry.submission_card(name)
    network = registry.load("submissions", card.plugin)(**card.parameters).build(INFO)
    named = [module for names in card.parts.values() for module in names]
    assert {"backbone", "head"} <= card.parts.keys() and len(set(named)) == len(named)
    for module in named:
        assert next(network.get_submodule(module).parameters()) is not None


def test_the_families_can_be_swept() -> None:
    assert {"raw_ar_v1", "raw_ar_fm_v1", "rvq_ar_v1", "calm_v1", "rssm_v1", "engram_v1"} <= set(KNOBBED)
