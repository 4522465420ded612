"""The workflows and the page about them: they parse, ask for few rights, and every `bench` line in them is one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAGE = ROOT / "docs" / "guide" / "ci.md"


def workflows() -> dict[str, dict[Any, Any]]:
    """Every workflow of the repository, and those that the page shows."""
    found = {path.name: yaml.safe_load(path.read_text("utf-8")) for path in FILES}
    shown = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M)
    return found | {f"page {i}": yaml.safe_load(text) for i, text in enumerate(shown, 1)}


def steps(workflow: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job.get("steps", ())


def bench_lines() -> dict[str, list[str]]:
    """Command lines of `bench`, as text → words after `bench`, without what the shell does with their outcome."""
    texts = [step["run"] for workflow in workflows().values() for step in steps(workflow) if "run" in step]
    texts.append("\n".join(line[4:] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("    bench ")))
    found = {}
    for line in "\n".join(texts).splitlines():
        command = re.sub(r"\s*(\|\||&&|;|>).*", "", line.strip())
        if match := re.match(r"(?:\.venv/bin/)?bench\s+(.*)", command):
            found[command] = shlex.split(match[1])
    return found


def test_the_workflows_are_there() -> None:
    assert {"ci.yml", "check-rows.yml", "page 1", "page 2"} <= set(workflows())
    assert len(bench_lines()) >= 8


@pytest.mark.parametrize("name", sorted(workflows()))
def test_a_workflow_has_what_github_needs(name: str) -> None:
    workflow = workflows()[name]
    # YAML 1.1 reads `on` as true
    assert workflow.get("on", workflow.get(True))
    assert workflow["jobs"]
    assert isinstance(workflow.get("permissions"), dict), "a token has all rights unless told"
    for job in workflow["jobs"].values():
        assert "uses" in job or (job["runs-on"] and job["timeout-minutes"])
    for step in steps(workflow):
        assert ("run" in step) != ("uses" in step)
        # a template in a command would run what a pull request's author wrote
        assert "${{" not in step.get("run", "")


def test_rights_to_write_stand_beside_no_code_of_a_pull_request() -> None:
    workflow = workflows()["check-rows.yml"]
    assert "pull_request_target" not in (ROOT / ".github/workflows/check-rows.yml").read_text("utf-8")
    assert workflow["permissions"] == {}
    check, comment = workflow["jobs"]["check"], workflow["jobs"]["comment"]
    assert check["permissions"] == {"contents": "read"}
    assert comment["permissions"] == {"pull-requests": "write"}
    used = [step["uses"].partition("@")[0] for step in comment["steps"] if "uses" in step]
    assert used == ["actions/download-artifact"]
    assert "head.repo.full_name == github.repository" in comment["if"]


@pytest.mark.parametrize("line", sorted(bench_lines()))
def test_every_bench_line_is_one(line: str) -> None:
    """Parsed by the real commands and their options; nothing is run."""
    from importlib.metadata import entry_points

    import typer

    from bench.cli import app

    if "check" not in {command.name for command in app.registered_commands}:
        for point in entry_points(group="latentbench.commands"):
            point.load()(app)
    name, *arguments = bench_lines()[line]
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    with commands[name].make_context(name, arguments) as parsed:
        assert parsed.params


def test_a_misspelt_line_is_seen() -> None:
    import typer

    from bench.cli import app

    with pytest.raises(Exception, match="No such option"):
        typer.main.get_command(app).commands["run"].make_context("run", ["--nonesuch"])  # type: ignore[attr-defined]
