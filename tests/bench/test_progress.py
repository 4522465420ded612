"""The bar on a terminal, lines elsewhere, and silence where it is asked for."""

from __future__ import annotations

import io
import sys
import time

import pytest

from bench.progress import Bar

LONG = "x" * 300


class Screen(io.StringIO):
    """Standard error, as a terminal or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def shown(monkeypatch: pytest.MonkeyPatch, terminal: bool, quiet: bool = False) -> str:
    screen = Screen(terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    with Bar(quiet) as bar:
        bar.row("rssm_v1")
        for done in range(5):
            bar.update("fit rssm", done, 40)
            time.sleep(0.06)
        bar.finished("fit", 12.6, cached=False)
        bar.update("delta_nll: states", 1, 2)
        bar.finished("delta_nll", 3.0, cached=True)
        bar.failed("rollout_gap", f"[bold]boom {LONG}")
    return screen.getvalue()


def test_a_terminal_shows_stage_count_rate_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    text = shown(monkeypatch, terminal=True)
    for part in ("fit rssm", "/40", "/s", "-:--:--", "\x1b[?25l", "\x1b[?25h"):
        assert part in text


def test_a_long_name_is_cut_and_not_the_count_or_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    screen = Screen(True)
    monkeypatch.setattr(sys, "stderr", screen)
    with Bar() as bar:
        for done in range(1, 6):
            bar.update("delta_nll: fit twin, probe, shuffled control, half the frames", 100 * done, 1200)
            time.sleep(0.12)
    text = screen.getvalue()
    assert "delta_nll: fit" in text and "…" in text and "half the frames" not in text
    assert " 500/1200" in text and "/s" in text and "0:00:0" in text


def test_a_loss_stands_beside_the_stage_whose_bar_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen(True)
    monkeypatch.setattr(sys, "stderr", screen)
    with Bar() as bar:
        bar.scalars(0, {"loss": 99.0})  # of no stage
        for done in range(1, 5):
            bar.scalars(done, {"loss": 12.34 - done, "gradient norm": 7.7})
            bar.update("fit raw_ar", done, 4)
            bar.scalars(done, {"validation loss": 55.5})
            if done == 1:
                task = bar._task
            time.sleep(0.06)
        assert bar._task == task
        bar.update("delta_nll: states", 1, 2)
        time.sleep(0.12)
        assert bar._progress is not None
        assert [task.description for task in bar._progress.tasks] == ["delta_nll: states"]
    text = screen.getvalue()
    assert "fit raw_ar · loss 8.34" in text
    assert "99" not in text and "7.7" not in text and "55.5" not in text


def test_elsewhere_there_is_a_line_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, terminal=False).splitlines() == [
        "rssm_v1: fit (13 s)",
        "rssm_v1: delta_nll (from the cache)",
        f"rssm_v1: rollout_gap failed: [bold]boom {LONG}",
    ]


@pytest.mark.parametrize("variables", [{"FORCE_COLOR": "1"}, {"TERM": "dumb"}, {"CI": "true", "FORCE_COLOR": "3"}])
def test_a_log_file_gets_no_bar_whatever_the_colours(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    text = shown(monkeypatch, terminal=False)
    assert "\r" not in text
    assert "\x1b[?25l" not in text
    assert len(text.splitlines()) == 3


def test_hours_of_audio_are_told_in_place_of_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen(True)
    monkeypatch.setattr(sys, "stderr", screen)
    with Bar() as bar:
        bar.update("check shards", 1, 7)
        time.sleep(0.12)
        bar.audio("encode", 3.21, 10.49, 41.3)
        time.sleep(0.12)
    text = screen.getvalue()
    assert "1/7" in text
    assert "3.2 of 10.5 h, 41 × real time" in text
    assert "3.21/" not in text


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_says_nothing(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    assert shown(monkeypatch, terminal, quiet=True) == ""


def test_a_bar_that_was_never_opened_can_be_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Screen(False))
    Bar(quiet=True).update("fit", 1, 2)
