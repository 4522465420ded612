"""A folder of committed rows for the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leaderboard import store


@pytest.fixture
def committed(tmp_path: Path, made: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the rows a and b, standing for the packaged one."""
    folder = tmp_path / "committed"
    for name, level in (("a", 1.0), ("b", 1.02)):
        made.write(made.make(name, made.planned_tasks(level)), folder)
    monkeypatch.setattr(store, "committed_folder", lambda: folder)
    return folder
