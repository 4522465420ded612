"""Codecs side by side: one board, rows that are codecs, and what must be said before two are compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.record import Record
from leaderboard import store
from leaderboard.board import SIDE_BY_SIDE, boards
from leaderboard.codec_figure import draw
from leaderboard.table import tables
from leaderboard.view import task_views

NATS = {"unit": "nats/frame", "shown": "bit/s", "better": "none", "ranked": False}


def codec(made: Any, name: str, gain: float, mel: float, **more: Any) -> Record:
    """A record of one codec. `more`: trained, ahead (frames), half, hop, task."""
    columns = {
        made.column("gain_80ms", "ΔNLL 80 ms", **NATS): made.spread(gain, 0.1),
        made.column("order_80ms", "of order 80 ms", **NATS): made.spread(gain / 2, 0.1, 1),
        made.column("mel", "log-mel L1", better="lower", ranked=False): made.spread(mel, 0.01, 2),
    }
    notes = {"half_data_nats": {"80": more.pop("half", gain)}}
    if "ahead" in more:
        notes["lookahead_frames"] = {"measured": more.pop("ahead")}
    task, hop = more.pop("task", "codec_predictability"), more.pop("hop", 1280)
    tasks = {task: made.entry(columns, notes=notes)}
    record = made.make("codec_itself", tasks, suite="codecs", codec=name, **more)
    if hop == 1280:
        return record
    raw = record.model_dump(mode="json", exclude={"digest"})
    raw["codec"]["hop"] = hop
    return Record.model_validate_json(json.dumps(raw)).sealed()


def test_rows_are_codecs_and_their_order_says_what_compares(made: Any) -> None:
    records = [
        codec(made, "loud", 2.0, 0.2, ahead=1),
        codec(made, "fast", 9.0, 0.2, hop=512),
        codec(made, "noise", 9.0, 0.9, trained=False, weights="other"),
        codec(made, "low", 1.0, 0.3, ahead=0),
        codec(made, "high", 3.0, 0.1, ahead=0, half=2.0),
    ]
    (board,) = boards(records)
    assert board.codec == SIDE_BY_SIDE and board.of_codecs and not board.left_out
    (view,) = task_views(board)
    assert [row.name for row in view.rows] == ["high", "low", "loud", "fast", "noise"]
    text = tables([board])
    assert "UNTRAINED noise" in text and "not causal, so not comparable" in text and "loud (80 ms)" in text
    assert "not at 12.5 Hz: fast (31.25 Hz)" in " ".join(text.split())
    assert "under 90 % of the gain at the first horizon: high" in " ".join(text.split())
    assert "best" not in text and "fast 32 at 31.25 Hz" in " ".join(text.split())


def test_a_record_with_other_tasks_stays_on_its_codecs_board(made: Any) -> None:
    mixed = codec(made, "minicodec", 1.0, 0.2, task="delta_nll")
    (board,) = boards([mixed])
    assert board.codec == "minicodec" and not board.of_codecs and board.rows[0].name == "codec_itself"


def test_the_bit_rate_is_of_each_codecs_own_frame_rate(made: Any) -> None:
    (board,) = boards([codec(made, "a", 1.0, 0.2), codec(made, "b", 1.0, 0.2, hop=640)])
    (view,) = task_views(board)
    cells = view.columns[0].cells
    assert cells["b"].interval.value == pytest.approx(2 * cells["a"].interval.value)


@pytest.fixture
def committed(tmp_path: Path, made: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two codecs and a submission, standing for the packaged one."""
    folder = tmp_path / "committed"
    for record in (codec(made, "one", 1.0, 0.2), codec(made, "two", 2.0, 0.3), made.make("a")):
        made.write(record, folder)
    monkeypatch.setattr(store, "committed_folder", lambda: folder)
    return folder


def test_the_commands_keep_codecs_and_submissions_apart(
    tmp_path: Path, committed: Path, run: Callable[..., tuple[int, str]]
) -> None:
    code, said = run("codecs")
    assert code == 0 and "codecs side by side" in said and "raw_ar" not in said and "two" in said
    assert max(len(line) for line in said.splitlines() if "bench run" not in line) <= 80
    assert "mimi: pending weights" in said and "--codecs mimi --dataset librispeech" in said
    code, said = run("leaderboard")
    assert code == 0 and "side by side" not in said and "delta_nll" in said
    page = tmp_path / "page.md"
    page.write_text("<!-- codecs:start -->\n<!-- codecs:end -->\n")
    figure = tmp_path / "codecs.svg"
    code, said = run("codecs", "--format", "md", "--write", page, "--figure", figure)
    assert code == 0 and "| two" in page.read_text()
    first = figure.read_bytes()
    assert first.startswith(b"<?xml") and b"one" in first and b"ORDER" not in first
    assert run("codecs", "--figure", figure)[0] == 0 and figure.read_bytes() == first


def test_the_figure_needs_a_gain_and_a_distance(made: Any) -> None:
    drawn = draw(boards([codec(made, "one", 1.0, 0.2), codec(made, "<two>&", 2.0, 0.3)]))
    assert "&lt;two&gt;&amp;" in drawn and drawn.count("log-mel L1") == 1


def test_without_records_of_codecs_there_is_one_line(
    tmp_path: Path, made: Any, run: Callable[..., tuple[int, str]]
) -> None:
    made.write(made.make("a"), tmp_path / "r")
    code, said = run("codecs", "--records", tmp_path / "r")
    assert code == 2 and "no records of codecs here" in said and "\n" not in said
