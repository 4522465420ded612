"""Every command line that the documentation shows exists with every option, and what is cheap is run."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer

from bench import cli
from tests.conftest import Done
from tests.docs.blocks import PAGES, ROOT, Command, commands

EVERY = [command for page in PAGES for command in commands(page)]
CHEAP = {"leaderboard", "references", "list", "findings", "heard", "codecs", "check", "show", "compare"}
"""Commands that read records or cards and nothing else."""
SLOW = {("leaderboard",), ("leaderboard", "--wide"), ("leaderboard", "--suite", "mini", "--wide")}
"""Every board, or every column of one: one board is run as it stands first."""
UNFINISHED = {("show",), ("compare",)}
"""Commands named in a sentence without the rows that they ask for."""
PLACEHOLDER = re.compile(r"^[A-Z_]+$|PATH|FOLDER|…|\.\.\.")


def words(command: Command) -> list[str]:
    """Arguments after `bench`; brackets around what is optional are left out."""
    return shlex.split(re.sub(r"\[(--[^\]]*)\]", r"\1", command.text))[1:]


def runs(command: Command) -> bool:
    """Whether it is cheap, and whole: no `NAME` stands for something else."""
    given = words(command)
    whole = not any(PLACEHOLDER.search(word) for word in given)
    # what `bench score --write` finds needs outputs in a cache
    ready = whole and "--rescored" not in given and tuple(given) not in SLOW | UNFINISHED
    return not command.exempt and given[0] in CHEAP and ready


@pytest.fixture(scope="module")
def tree() -> Any:
    """The command line with what packages add to it."""
    app = typer.Typer()
    app.registered_commands = list(cli.app.registered_commands)
    app.registered_groups = list(cli.app.registered_groups)
    for point in entry_points(group="latentbench.commands"):
        point.load()(app)
    return typer.main.get_command(app)


def parse(tree: Any, given: list[str]) -> None:
    """Parse as the command line does, without running anything.

    Raises:
        Exception: click's, of an unknown command, option, choice or missing argument.
    """
    command, args, name = tree, list(given), "bench"
    while hasattr(command, "commands"):
        if not args or args[0] not in command.commands:
            raise LookupError(f"{name}: no command {args[:1]}; there are: {sorted(command.commands)}")
        name, *args = args
        command = command.commands[name]
    if args != ["--help"]:
        command.make_context(name, args)


@pytest.mark.parametrize("command", [c for c in EVERY if not c.exempt and not c.inline], ids=str)
def test_a_command_line_parses(tree: Any, command: Command) -> None:
    parse(tree, words(command))


@pytest.mark.parametrize("command", [c for c in EVERY if c.inline], ids=str)
def test_a_command_named_in_a_sentence_exists_with_its_options(tree: Any, command: Command) -> None:
    name, *rest = words(command)
    found = tree.commands.get(name)
    assert found is not None, f"no command {name}"
    if hasattr(found, "commands") and rest:
        found, rest = found.commands[rest[0]], rest[1:]
    known = {option for parameter in getattr(found, "params", []) for option in parameter.opts} | {"--help"}
    # a sentence may leave out what is required; what it names must exist
    assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= known


@pytest.mark.parametrize("text", ["bench rnu --submission x", "bench run --submision x", "bench list nothing"])
def test_a_mistake_is_found(tree: Any, text: str) -> None:
    with pytest.raises(Exception, match=r"rnu|submision|nothing"):
        parse(tree, shlex.split(text)[1:])


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the commands read and write, with fresh records that are the committed ones."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "docs", folder / "docs")
    for name in ("records", "baseline"):
        shutil.copytree(ROOT / "leaderboard" / "records", folder / name)
    shutil.copy(ROOT / "README.md", folder)
    return folder


CHEAP_ONES = {tuple(words(c)): c for c in EVERY if runs(c)}


@pytest.mark.parametrize("command", CHEAP_ONES.values(), ids=str)
def test_what_is_cheap_runs(
    command: Command, checkout: Path, bench: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout)
    done = bench(*words(command))
    assert done.code == 0, done.err


def test_commands_are_found_wherever_they_stand(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "See `bench list tasks`.\n\n    bench run --submission a  # the first\n\n"
        "```console\n$ bench check \\\n    --all\nbench: an answer\n```\n\n"
        "```bash\n.venv/bin/bench score x.json | tail\n```\n\n"
        "```yaml\n- run: bench references\n```\n\n"
        "<!-- not run: needs weights -->\n```\nbench validate --against x\n```\n",
        encoding="utf-8",
    )
    found = {c.text: (c.inline, c.exempt) for c in commands(page)}
    assert found == {
        "bench list tasks": (True, ""),
        "bench run --submission a": (False, ""),
        "bench check      --all": (False, ""),
        "bench score x.json": (False, ""),
        "bench references": (False, ""),
        "bench validate --against x": (False, "needs weights"),
    }


def test_no_command_is_passed_over() -> None:
    # counted another way: every line of a page that begins with the command
    lines = [
        line
        for page in PAGES
        for line in page.read_text("utf-8").splitlines()
        if re.match(r"^(?: {4,}|\s*\$ )(?:\$ )?(?:\.venv/bin/)?bench [a-z]", line)
    ]
    shown = [c for c in EVERY if not c.inline]
    assert len(shown) >= len(lines) > 20
    assert len(CHEAP_ONES) >= 8
    assert not [c for c in shown if c.exempt and len(c.exempt.split()) < 2], "say why"
