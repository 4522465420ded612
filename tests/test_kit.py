"""What `bench new` writes works for a stranger: built, installed in a fresh environment outside the tree, tested there,
and a submission run to a row of the table."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from bench import record
from bench.new import package
from bench.record import Record
from leaderboard.board import boards
from leaderboard.view import task_views

ROOT = Path(__file__).parents[1]
PACKAGES = ("bench", "tasks", "baselines", "leaderboard", "submissions")
SCORED = {"delta_nll", "rollout_gap", "matched_rate", "reconstruction"}
"""Tasks of the suite `quick` that the generated submission answers."""


class Stranger:
    """A fresh virtual environment with this package's wheel, and no sight of the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python, self.bench = (folder / "venv/bin" / name for name in ("python", "bench"))
        venv.create(folder / "venv", with_pip=False)
        (site,) = (folder / "venv/lib").glob("python*/site-packages")
        # other people's packages come from the environment that runs the tests; ours, found first, from its wheel
        known = [path for path in sys.path if path.endswith("site-packages")]
        (site / "known.pth").write_text("\n".join(known) + "\n", encoding="utf-8")
        self.install(_copied(folder / "latentbench"))

    def install(self, source: Path) -> None:
        """Build the wheel of a folder, and install it; nothing is fetched."""
        wheels = self.folder / f"wheels-{source.name}"
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        self._done([*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(wheels), str(source)])
        (wheel,) = wheels.glob("*.whl")
        into = ["--python", str(self.python), "install", "--no-deps", "--no-index", str(wheel)]
        self._done([*pip, *into])

    def run(self, *command: object, cwd: Path) -> str:
        """What a command prints; it must succeed."""
        return self._done([str(part) for part in command], cwd)

    def failing(self, *command: object, cwd: Path) -> str:
        """What a command prints that ends with code 1."""
        return self._done([str(part) for part in command], cwd, 1)

    def _done(self, command: list[str], cwd: Path | None = None, code: int = 0) -> str:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        more = {"NO_COLOR": "1", "COLUMNS": "80", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        environment = {**kept, **more, "LATENTBENCH_CACHE": str(self.folder / "cache")}
        done = subprocess.run(command, cwd=cwd or self.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == code, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout


def _copied(source: Path) -> Path:
    """What the wheel is built from, so that the checkout stays as it is."""
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "samples"))
    return source


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    return Stranger(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module", params=package.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def installed(kind: str, stranger: Stranger) -> Path:
    """The folder of a new package of that kind, installed for the stranger."""
    package.write(kind, f"my_{kind}", stranger.folder)
    stranger.install(stranger.folder / f"my_{kind}")
    return stranger.folder / f"my_{kind}"


def test_its_own_tests_pass_where_it_is_installed(kind: str, installed: Path, stranger: Stranger) -> None:
    said = stranger.run(stranger.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=installed)
    assert "failed" not in said and "skipped" not in said
    where = stranger.run(stranger.python, "-c", f"import bench, my_{kind}; print(bench.__file__)", cwd=installed)
    assert where.startswith(str(stranger.folder / "venv"))


def test_the_command_line_finds_it_and_its_rules_hold(kind: str, installed: Path, stranger: Stranger) -> None:
    assert f"my_{kind}" in stranger.run(stranger.bench, "list", f"{kind}s", cwd=stranger.folder)
    said = stranger.run(stranger.bench, "conformance", f"my_{kind}", "--kind", f"{kind}s", cwd=stranger.folder)
    assert " 0 failed" in said


def test_a_new_submission_becomes_a_ranked_row(stranger: Stranger) -> None:
    name, home = "my_row", stranger.folder
    package.write("submission", name, home)
    stranger.install(home / name)
    stranger.run(stranger.bench, "run", "--submission", name, "--suite", "quick", "--quiet", cwd=home)
    made = record.read(home / "records" / f"{name}--minicodec--synthspeech--quick.json")
    assert {task for task, entry in made.tasks.items() if entry.status == "scored"} == SCORED
    assert made.tasks["innovation_rate"].reason == f"needs innovation, which {name} does not offer"
    # what a wheel's row cannot have, and what nobody has written yet, is found; the rest holds, to the last bit
    said = stranger.failing(stranger.bench, "submit", home / "records" / made.filename, "--quiet", cwd=home)
    assert said.count("[FAILED]") == 2 and said.count("[ok]") == 7
    assert "no commit is known" in said and "authors is not filled in" in said and "equal to the last bit" in said
    # a row is ranked among others: the same model, held so tightly that it hardly listens to the past
    card = (home / name / "src" / name / f"{name}.toml").read_text("utf-8")
    (home / "deaf.toml").write_text(card.replace(f'name = "{name}"', 'name = "deaf"').replace("1e-3", "1e3"))
    among = ("--submission", "deaf.toml", "--suite", "quick", "--task", "rollout_gap", "--quiet")
    table = stranger.run(stranger.bench, "run", *among, cwd=home)
    assert name in table and "deaf" in table
    ranks = _ranks([made, record.read(home / "records" / "deaf--minicodec--synthspeech--quick.json")], "rollout_gap")
    assert set(ranks) == {name, "deaf"} and sorted(ranks.values()) in (["behind", "best"], ["best", "tied"])
    best = next(row for row, rank in ranks.items() if rank == "best")
    said = json.loads(stranger.run(stranger.bench, "leaderboard", *_json(home), cwd=home))
    columns = [c for task in said[0]["tasks"] if task["name"] == "rollout_gap" for c in task["columns"] if c["ranked"]]
    assert columns[0]["cells"][best]["rank"] == "best" and columns[0]["cells"][name]["rank"]


def _ranks(rows: list[Record], task: str) -> dict[str, str]:
    (board,) = boards(rows)
    view = next(view for view in task_views(board) if view.name == task)
    column = next(column for column in view.columns if column.judged.best)
    return {name: cell.rank for name, cell in column.cells.items()}


def _json(home: Path) -> tuple[str, ...]:
    return ("--records", str(home / "records"), "--format", "json")
