"""The arrows of the house, read from the sources: who may import whom, and what never loads torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bench", "tasks", "baselines", "leaderboard", "submissions")

# Modules of `bench`, lowest first. Each imports from its own rank and from lower ones.
RANKS = (
    ("bench", "bench.errors"),
    (
        "bench.cache",
        "bench.config",
        "bench.contract",
        "bench.device",
        "bench.fingerprint",
        "bench.markers",
        "bench.outputs",
        "bench.overlap",
        "bench.progress",
        "bench.protocol",
        "bench.remarks",
        "bench.seeding",
        "bench.stats",
        "bench.tensorboard",
        "bench.thumbnails",
        "bench.workers",
    ),
    ("bench.metrics", "bench.fitting"),
    ("bench.calibration",),
    (
        "bench.checked",
        "bench.division",
        "bench.environment",
        "bench.latents",
        "bench.record",
        "bench.registry",
        "bench.stacking",
    ),
    ("bench.batching", "bench.curves", "bench.room", "bench.store"),
    (
        "bench.conformance",
        "bench.encoding",
        "bench.latent_plots",
        "bench.latent_summary",
        "bench.listing",
        "bench.matching",
        "bench.new",
        "bench.selftest",
        "bench.selftest_report",
    ),
    ("bench.runner", "bench.validation"),
    ("bench.api", "bench.diagnose", "bench.rescoring"),
    ("bench.submitting", "bench.validation_report"),
    ("bench.cli", "bench.cli_kit", "bench.cli_latents"),
    ("bench.validation_cli",),
)
# Built-in plug-ins use what a stranger's would, each its own kind, and are found through entry points only.
PLUGINS = ("bench.codecs", "bench.datasets")
FOR_PLUGINS = (
    "bench.cache",
    "bench.config",
    "bench.contract",
    "bench.errors",
    "bench.fingerprint",
    "bench.metrics",
    "bench.overlap",
    "bench.seeding",
)

# What each upper package may take from below, itself included.
FOR_MODELS = (
    "bench.calibration",
    "bench.config",
    "bench.contract",
    "bench.errors",
    "bench.fitting",
    "bench.metrics",
    "bench.seeding",
    "bench.stats",
    "bench.workers",
)
ALLOWED = {
    # a task may keep waveforms, and names the code that made them in their key
    "tasks": ("tasks", *FOR_MODELS, "bench.fingerprint", "bench.outputs"),
    "baselines": ("baselines", *FOR_MODELS),
    "leaderboard": (
        "leaderboard",
        "bench.config",
        "bench.division",
        "bench.errors",
        "bench.markers",
        "bench.progress",
        "bench.protocol",
        "bench.remarks",
        "bench.record",
        "bench.stats",
    ),
    "submissions": (),
}
HEAVY = ("torch", "torchmetrics", "safetensors", "zuko")


def covers(name: str, module: str) -> bool:
    """Whether `module` is `name` or lies inside it; the bare `bench` covers only itself."""
    return module == name or (name != "bench" and module.startswith(name + "."))


FRONT = ("bench", "bench.api")
"""The one arrow upwards: `from bench import run` looks its name up when it is asked for."""


def rank(module: str) -> int | None:
    """Index into RANKS, or None."""
    return next((i for i, names in enumerate(RANKS) if any(covers(n, module) for n in names)), None)


def violation(module: str, imported: str) -> str | None:
    """Why `module` must not import `imported`, or None."""
    package, top = module.partition(".")[0], imported.partition(".")[0]
    if package == "leaderboard" and top in HEAVY:
        return f"{module}: leaderboard reads records; it never imports {top}"
    if top not in PACKAGES:
        return None
    if package != "bench":
        allowed = ALLOWED[package]
        return None if any(covers(a, imported) for a in allowed) else f"{module}: {imported} is not for {package}"
    if top != "bench":
        return f"{module}: bench imports nothing above it, got {imported}"
    kind = next((p for p in PLUGINS if covers(p, module)), None)
    if kind:
        fine = any(covers(a, imported) for a in (kind, *FOR_PLUGINS)) or imported == "bench"
        return None if fine else f"{module}: {imported} is not for plug-ins"
    if any(covers(p, imported) for p in PLUGINS):
        return f"{module}: {imported} is a plug-in; plug-ins are found through entry points"
    if (module, imported) == FRONT:
        return None
    low, high = rank(imported), rank(module)
    if low is None or high is None:
        return f"{module}: {imported if low is None else module} has no rank; give it one in {Path(__file__).name}"
    return None if low <= high else f"{module}: {imported} ranks above it"


def imports(source: str, module: str, is_package: bool, known: frozenset[str]) -> Iterator[str]:
    """Every module that `source` imports, wherever in the file, lazily or for types alone."""
    home = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = home.split(".")[: len(home.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            yield from (f"{base}.{a.name}" if f"{base}.{a.name}" in known else base for a in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str))


def modules() -> dict[str, Path]:
    """Dotted name → file, of all packages."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def check(module: str, source: str, is_package: bool, known: frozenset[str]) -> list[str]:
    """All violations of one file."""
    found = (violation(module, name) for name in imports(source, module, is_package, known))
    return sorted({v for v in found if v})


def test_every_import_follows_the_arrows() -> None:
    found = modules()
    assert {name.partition(".")[0] for name in found} == set(PACKAGES)
    known = frozenset(found)
    wrong = [v for m, p in found.items() for v in check(m, p.read_text("utf-8"), p.name == "__init__.py", known)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("bench.runner", "import tasks.delta_nll", "nothing above it"),
        ("bench.metrics.energy", "def f():\n    from baselines import rssm", "nothing above it"),
        ("bench.record", "import importlib\nimportlib.import_module('leaderboard.table')", "nothing above it"),
        ("bench.cli", "from submissions import x", "nothing above it"),
        ("bench.cache", "from bench.runner import run", "ranks above it"),
        ("bench.errors", "from . import cache", "ranks above it"),
        ("bench", "from bench.cache import Cache", "ranks above it"),
        ("bench.latents", "from bench.codecs.minicodec import MiniCodec", "through entry points"),
        ("bench.codecs.minicodec", "from bench.datasets import splits", "not for plug-ins"),
        ("bench.codecs.minicodec", "from ..record import Record", "not for plug-ins"),
        ("bench.cli", "import bench.brand_new", "has no rank"),
        ("tasks.delta_nll", "from baselines.layers import mlp", "not for tasks"),
        ("tasks.delta_nll", "from bench.runner import run", "not for tasks"),
        (
            "baselines.rssm",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import tasks",
            "not for baselines",
        ),
        ("baselines.rssm", "import leaderboard", "not for baselines"),
        ("leaderboard.table", "from torch import Tensor", "never imports torch"),
        ("leaderboard.table", "import bench.latents", "not for leaderboard"),
        ("submissions", "import bench.config", "not for submissions"),
    ],
)
def test_checker_sees_a_planted_violation(module: str, source: str, expected: str) -> None:
    known = frozenset({"bench", "bench.cache", "bench.datasets.splits", "baselines.rssm"})
    (message,) = check(module, source, False, known)
    assert message.startswith(f"{module}: ")
    assert expected in message


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("bench.runner", "from bench import latents, __version__\nfrom bench.errors import BenchError\nimport torch"),
        ("bench.codecs.minicodec", "from .minicodec_model import Minicodec\nfrom bench.contract import CodecInfo"),
        ("tasks.delta_nll", "from bench.metrics import gaussian\nfrom tasks.probes import mdn"),
        ("leaderboard.gate.judge", "import numpy\nfrom bench.stats import paired_interval"),
    ],
)
def test_checker_lets_the_rest_pass(module: str, source: str) -> None:
    assert check(module, source, False, frozenset({"bench.latents", "bench.metrics.gaussian"})) == []


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_the_leaderboard_loads_no_torch() -> None:
    code = """
import importlib, pkgutil, sys
import leaderboard
for module in pkgutil.walk_packages(leaderboard.__path__, "leaderboard."):
    importlib.import_module(module.name)
sys.exit("torch was loaded" if "torch" in sys.modules else 0)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_the_package_itself_loads_next_to_nothing() -> None:
    code = """
import sys
import bench
assert bench.__version__
heavy = {"torch", "numpy", "pydantic", "bench.api"} & sys.modules.keys()
assert not heavy, heavy
from bench import load_records
sys.exit("torch was loaded" if "torch" in sys.modules and load_records else 0)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_help_loads_no_torch() -> None:
    code = """
import sys
from bench.cli import main
sys.argv = ["bench", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
sys.exit("torch was loaded" if "torch" in sys.modules else 0)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    for command in (
        "run",
        "list",
        "encode",
        "new",
        "submit",
        "validate",
        "leaderboard",
        "references",
        "check",
        "calibrate-noise",
        "report",
        "show",
        "compare",
        "export",
    ):
        assert command in done.stdout
