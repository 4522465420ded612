"""The page about a codec: every number from its record, both readings with their evidence, nothing typed."""

from __future__ import annotations

from typing import Any

import pytest

from bench.errors import RecordError
from leaderboard.diagnosis import ROWS, page

NATS = {"unit": "nats/frame", "shown": "bit/s", "better": "none", "ranked": False}
PLAIN = {"unit": "1", "better": "none", "ranked": False}


def codec(made: Any, order: float, **more: Any) -> Any:
    columns = {}
    for ms in (80, 160, 320, 640):
        columns[made.column(f"gain_{ms}ms", f"ΔNLL {ms} ms", **NATS)] = made.spread(order + 1, 0.2, ms)
        columns[made.column(f"order_{ms}ms", f"of order {ms} ms", **NATS)] = made.spread(order, 0.2, ms + 1)
    for name, mean in (
        ("direction_gain_80ms", order), ("direction_gain_null", 0.5), ("linear_gain_80ms", 1.0),
        ("transformer_gain_80ms", 1.0 + order),
    ):  # fmt: skip
        columns[made.column(name, name, **NATS)] = made.spread(mean, 0.1, len(name))
    columns[made.column("learned_next_64", "learned", **PLAIN)] = made.spread(1 - order / 4, 0.01)
    columns[made.column("null_64", "null", **PLAIN)] = made.spread(1.0, 0.01, 1)
    notes = {"half_data_nats": {"80": 1.5}, "flags": ["dithered"], "lookahead_frames": {"measured": 0}}
    skipped = {"pesq": "no recording is long enough"}
    task = made.entry(columns, notes=notes, skipped_columns=skipped)
    return made.make("codec_itself", {"codec_predictability": task}, suite="diagnose", **more)


def raw(made: Any, name: str, gain: float) -> Any:
    own = {
        made.column(f"own_gain_{ms}ms", f"own {ms}", **NATS): made.spread(gain, 0.1, ms) for ms in (80, 160, 320, 640)
    }
    told = {made.column("gain_80ms", "ΔNLL", **NATS): made.spread(gain, 0.1)}
    rollout = {made.column("gap_sampled_160ms", "gap 160 ms", **NATS): made.spread(0.5, 0.1)}
    tasks = {"delta_nll": made.entry({**told, **own}), "rollout_gap": made.entry(rollout)}
    return made.make(name, tasks, suite="diagnose")


def test_a_predictable_codec(made: Any) -> None:
    text = page([codec(made, 2.0), raw(made, "raw_ar_v1", 3.0), raw(made, "rssm_v1", 2.5)])
    assert max(map(len, text.splitlines())) <= 80
    heavy, structure = text.partition("## Two readings")[2].split("Structure that a model can use")
    assert "nothing here speaks for it" in heavy
    for evidence in ("order at 80 ms", "direction of Δx is more predictable", "ladder rises", "closer within learned"):
        assert evidence in " ".join(structure.split())
    assert "(bet at 0.55): HOLDS" in text and "(bet at 0.65): FAILS" in " ".join(text.split())
    assert "80 ms" in text and "36 [" in text  # 2 nats a frame are 36 bit/s
    assert "- pesq: no recording is long enough" in text and "with half the training data" in text
    assert "gap 160 ms" in text


def test_white_noise(made: Any) -> None:
    text = page([codec(made, 0.0), raw(made, "raw_ar_v1", 0.0), raw(made, "rssm_v1", 0.0)])
    heavy, _ = text.partition("## Two readings")[2].split("Structure that a model can use")
    for evidence in ("it may be nothing", "no more predictable", "ladder is flat", "are not closer"):
        assert evidence in " ".join(heavy.split())
    assert "(bet at 0.55): FAILS" in text


def test_what_was_not_run_is_said(made: Any) -> None:
    text = page([codec(made, 2.0, trained=False)])
    assert "UNTRAINED" in text and "rollout_gap was not run." in text and "not run" in text
    assert "no row of rssm_v1 with delta_nll" in text and "the codec is untrained" in text


def test_rows_of_several_codecs_are_no_diagnosis(made: Any) -> None:
    with pytest.raises(RecordError, match="on one codec and dataset"):
        page([codec(made, 1.0, codec="other"), raw(made, "raw_ar_v1", 1.0)])
    with pytest.raises(RecordError, match="needs codec_itself"):
        page([raw(made, "raw_ar_v1", 1.0)])


def test_the_rows_it_asks_for_are_cards_and_tasks() -> None:
    from bench import registry

    for name, tasks in ROWS.items():
        assert registry.submission_card(name).name == name
        assert all(registry.task_card_of(task).name == task for task in tasks)
