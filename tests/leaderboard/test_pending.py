"""Every codec has its row or its reason, and random weights fill nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import registry
from bench.codecs.packaged import PackagedCodec
from bench.errors import CardError
from leaderboard.pending import FILE, Pending, PendingCard, as_markdown, as_text, pending
from leaderboard.references import plugin_of

TASK = "codec_predictability"
SHIPPED = {"mdct", "melpca", "minicodec"}
"""Codecs that need no file from elsewhere."""


def row(made: Any, codec: str, task: str = TASK, **more: Any) -> Any:
    entry = made.entry({made.column("gain", "gain"): made.spread(1.0)})
    return made.make(f"probe_{codec}", {task: entry}, codec=codec, **more)


def test_every_installed_codec_is_wanted_once_and_its_weights_are_named() -> None:
    from bench.config import read_card

    card = read_card(FILE, PendingCard)
    names = [plugin_of(wanted.spec) for wanted in card.codecs]
    assert sorted(names) == sorted(registry.names("codecs"))
    assert {plugin_of(wanted.spec) for wanted in card.codecs if not wanted.weights} == SHIPPED
    for wanted in card.codecs:
        factory = registry.load("codecs", plugin_of(wanted.spec))
        if isinstance(factory, type) and issubclass(factory, PackagedCodec):
            source = factory.SOURCE
            assert source.file in wanted.weights and source.repository in wanted.weights
    soundstream = next(wanted for wanted in card.codecs if plugin_of(wanted.spec) == "soundstream")
    from bench.codecs.soundstream import SHA256

    assert all(name in soundstream.weights for name in SHA256)


def test_the_commands_are_those_that_fill_the_table() -> None:
    found = {p.codec: p for p in pending([])}
    start = "bench run --suite codecs --task codec_predictability --codecs"
    assert found["mimi"].command == f"{start} mimi --dataset librispeech"
    assert found["soundstream+stack4"].command == f"{start} soundstream+stack4:FOLDER --dataset librispeech"
    assert found["mimi"].reason.startswith("pending weights: tokenizer-e351c8d8")
    assert found["mdct+stack4"].reason.startswith("pending run")
    registry.suite_card("full")  # which the commands name


def test_a_row_of_the_codec_at_any_tap_fills_its_line(made: Any) -> None:
    everything = {p.codec for p in pending([])}
    left = {p.codec for p in pending([row(made, "mimi@rvq8"), row(made, "dac16+stack4")])}
    assert everything - left == {"mimi", "dac16+stack4"}


def test_random_weights_another_task_and_a_failure_fill_nothing(made: Any) -> None:
    everything = pending([])
    failed = made.make("failed", {TASK: made.entry(status="failed", reason="no")}, codec="mimi")
    empty = made.make("empty", {TASK: made.entry({made.column("gain", "gain"): {"values": {}}})}, codec="mimi")
    for record in (row(made, "mimi", trained=False), row(made, "mimi", "delta_nll"), failed, empty):
        assert pending([record]) == everything


def test_all_rows_leave_nothing_to_say(made: Any) -> None:
    assert as_text(pending(row(made, p.codec) for p in pending([]))) == ""
    assert as_markdown([]) == ""


def test_they_are_shown_with_their_command_whole() -> None:
    long = "reason " * 20
    found = [Pending("mimi", f"pending weights: {long.strip()}", "bench run --codecs mimi"), *pending([])]
    text, shown = as_text(found), as_markdown(found)
    assert all(f"    {p.command}" in text.splitlines() for p in found)
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith("    bench"))
    assert shown.count("\n") == len(found) - 1
    assert all(f"`{p.command}`" in shown for p in found)


def test_a_wrong_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "pending.toml"
    path.write_text(FILE.read_text("utf-8").replace('spec = "melpca"', 'sepc = "melpca"'), encoding="utf-8")
    with pytest.raises(CardError, match="codecs.2") as raised:
        pending([], path)
    assert "\n" not in str(raised.value)
