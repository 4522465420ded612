"""The examples run as they stand, and say what the tables say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def ran(path: Path, folder: Path) -> str:
    done = subprocess.run([sys.executable, str(path)], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_is_a_notebook_in_percent_format(path: Path) -> None:
    cells = re.split(r"(?m)^# %% ", path.read_text("utf-8"))
    assert len(cells) > 2
    for cell in cells:
        compile(cell if cell.startswith('"""') else f"# {cell}", str(path), "exec")


def test_the_difference_of_two_rows_is_the_tables(tmp_path: Path) -> None:
    said = ran(ROOT / "examples/compare_two_rows.py", tmp_path)
    lines = [line.rpartition(" (")[0] for line in said.splitlines() if line.startswith("rssm_v1 − calm_v1")]
    page = (ROOT / "docs/leaderboard.md").read_text("utf-8")
    assert len(lines) == 4
    for line in lines:
        # the page has it in the list of paired differences, a sign more before what is above zero
        assert f"- {line}\n" in page, line
    assert "95 % bootstrap over 188 utterances" in said
    # the frame's weighted means are the README's numbers
    row = re.search(r"(?m)^ΔNLL 80 ms +([\d.]+) +([\d.]+)$", said)
    readme = (ROOT / "README.md").read_text("utf-8")
    assert row is not None
    for name, mean in zip(("calm_v1", "rssm_v1"), row.groups(), strict=True):
        assert re.search(rf"(?m)^\| {name} +\| +(\*\*|= )?{re.escape(mean)} \[", readme), (name, mean)
