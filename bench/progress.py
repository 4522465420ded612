"""The run's one progress bar: stage, rate and remaining time on a terminal, a line a stage elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text


class Amount(MofNCompleteColumn):
    """Items done of all, or what the stage says of itself."""

    def render(self, task: Task) -> Text:
        said = task.fields.get("said")
        return super().render(task) if said is None else Text(said, style="progress.download")


class Rate(ProgressColumn):
    """Items a second, where the stage does not say its own."""

    def render(self, task: Task) -> Text:
        if task.fields.get("said") is not None:
            return Text("")
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s", style="dim")


class Bar:
    """Progress of what runs now. Quiet: nothing at all. Not on a terminal: one line as each stage ends.

    All of it goes to standard error.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = Console(file=sys.stderr)
        # not console.is_terminal, which FORCE_COLOR makes true of a log file
        self.live = not quiet and sys.stderr.isatty() and not self.console.is_dumb_terminal
        self._progress: Progress | None = None
        self._task: Any = None
        self._what = self._heard = ""
        self._row = ""
        self._since = time.monotonic()

    def __enter__(self) -> Bar:
        if self.live:
            columns = (
                # of all columns the name alone gives way on a narrow terminal
                TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
                BarColumn(bar_width=16),
                Amount(),
                Rate(),
                TimeRemainingColumn(),
            )
            self._progress = Progress(*columns, console=self.console, transient=True, expand=True)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def row(self, name: str) -> None:
        """The row that the stages which follow belong to."""
        self._row = name

    def update(self, what: str, done: int, total: int) -> None:
        """`done` of `total` items of `what`; a new `what` starts a new bar."""
        self._move(what, done, total, None)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """What the stage that runs now measures of itself: its `loss` stands beside its name until it ends."""
        del step
        if self._progress is not None and self._task is not None and "loss" in values:
            self._heard = f" · loss {values['loss']:.3g}"

    def audio(self, what: str, hours: float, total: float, speed: float) -> None:
        """`hours` of about `total` hours of audio, at `speed` times real time."""
        self._move(what, hours, total, f"{hours:.1f} of {total:.1f} h, {speed:.0f} × real time")

    def _move(self, what: str, done: float, total: float, said: str | None) -> None:
        if self._progress is None:
            return
        if what != self._what:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(what, total=total, said=said)
            self._what, self._heard = what, ""
        # beside the name, not of it: a bar with another name would start again, and know no rate
        self._progress.update(self._task, completed=done, total=total, said=said, description=what + self._heard)

    def finished(self, stage: str, seconds: float, cached: bool) -> None:
        """A stage ended."""
        self._line(f"{stage} ({'from the cache' if cached else f'{seconds:.0f} s'})", "dim")

    def failed(self, stage: str, reason: str) -> None:
        """A stage failed, and the others go on."""
        self._line(f"{stage} failed: {reason}", "red")

    def _line(self, text: str, style: str) -> None:
        if not self.quiet:
            self.console.print(f"{self._row}: {text}", style=style, highlight=False, markup=False, soft_wrap=True)
