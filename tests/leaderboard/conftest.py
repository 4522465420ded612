"""Synthetic records that look like real ones: the planned tasks and columns, chosen values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import record as records
from bench.config import ColumnCard
from bench.record import Record
from leaderboard import store

NATS = {"unit": "nats/frame", "shown": "bit/s"}
UTTERANCES = 40


def column(name: str, title: str, **more: Any) -> ColumnCard:
    """A column card; ranked, headline, higher is better unless told otherwise."""
    settings = {"unit": "", "better": "higher", "ranked": True, "headline": True, "decimals": 2} | more
    return ColumnCard(name=name, title=title, **settings)


def planned_columns() -> dict[str, dict[str, ColumnCard]]:
    """Task → column → card, as the first tasks have them."""
    horizons = (80, 160, 320, 640)
    percent = {"unit": "share", "shown": "%", "better": "lower", "decimals": 1}
    return {
        "delta_nll": {
            **{f"gain_{h}ms": column(f"gain_{h}ms", f"ΔNLL {h} ms", margin=0.05, **NATS) for h in horizons},
            **{
                f"own_gain_{h}ms": column(f"own_gain_{h}ms", f"own ΔNLL {h} ms", margin=0.05, headline=False, **NATS)
                for h in horizons
            },
            "es_skill_80ms": column("es_skill_80ms", "ES skill 80 ms", margin=0.02, decimals=3),
        },
        "rollout_gap": {
            **{
                f"gap_{h}ms": column(f"gap_{h}ms", f"gap {h} ms", better="lower", margin=0.05, **NATS)
                for h in (*horizons, 1280)
            },
            "movement_ratio": column("movement_ratio", "movement ratio", better="one", margin=0.02),
        },
        "innovation_rate": {"rate": column("rate", "innovation rate", better="none", ranked=False, **NATS)},
        "reconstruction": {
            "posterior_pesq": column("posterior_pesq", "PESQ, posterior", margin=0.05),
            "prior_pesq": column("prior_pesq", "PESQ, prior", margin=0.05),
            "posterior_wer_open": column("posterior_wer_open", "WER, posterior", margin=0.01, **percent),
        },
    }


def spread(mean: float, scale: float = 1.0, seed: int = 0, n: int = UTTERANCES) -> dict[str, float]:
    """Values of `n` utterances around `mean`."""
    draws = np.random.default_rng(seed).normal(mean, scale, n)
    return {f"u{i:03d}": float(v) for i, v in enumerate(draws)}


def entry(columns: Mapping[ColumnCard | str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A task of a record. `columns`: (card, values or a dict with values, weights, unscored)."""
    scored = {}
    for card, given in (columns or {}).items():
        assert isinstance(card, ColumnCard)
        full = given if "values" in given else {"values": given}
        scored[card.name] = {"column": card, **full}
    base = {"version": 1, "status": "scored", "scorer_digest": "s1", "parameters": {"steps": 200}}
    return base | {"columns": scored} | more


def planned_tasks(level: float = 1.0, seed: int = 0) -> dict[str, dict[str, Any]]:
    """All planned tasks; `level` moves every mean, `seed` the utterances' common difficulty."""
    tasks = {}
    for i, (task, cards) in enumerate(planned_columns().items()):
        tasks[task] = entry({c: spread(level, 0.3, seed + 7 * i + j) for j, c in enumerate(cards.values())})
    return tasks


def make(name: str = "raw_ar", tasks: Mapping[str, Any] | None = None, **more: Any) -> Record:
    """A sealed record. `more`: suite, codec, dataset, created; and trained, speakers, weights (of the codec),
    dataset_digest, speakers_known, utterances, commit, dirty, control, parameters, selftest (True: passed); of the
    model: weights_digest, code_digest, seed; codebooks and packages."""
    count = more.get("utterances", UTTERANCES)
    speakers = more.get("speakers", 4)
    passed = more.get("selftest", True)
    raw = {
        "suite": more.get("suite", "mini"),
        "suite_digest": "d1",
        "seed": more.get("seed", 0),
        "submission": {
            "name": name,
            "title": name,
            "plugin": "raw_ar",
            "authors": "A. Author",
            "paper": "",
            "training_data": "the training split",
            "control": more.get("control", ""),
            "parameters": more.get("parameters", {}),
            "code_digest": more.get("code_digest", "c1"),
            "weights_digest": more.get("weights_digest", "w1"),
            "parameter_count": 1000,
        },
        "codec": {
            "name": more.get("codec", "minicodec"),
            "sample_rate": 16000,
            "hop": 1280,
            "dim": 32,
            "lookahead": 0,
            "codebooks": more.get("codebooks", ()),
            "weights_digest": more.get("weights", "m1"),
            "trained": more.get("trained", True),
        },
        "dataset": {
            "name": more.get("dataset", "synthspeech"),
            "digest": more.get("dataset_digest", "a1"),
            "split": "test",
            "speakers_known": more.get("speakers_known", True),
            "utterances": {
                f"u{i:03d}": {"speaker": f"s{i % speakers}", "frames": 25, "seconds": 2.0, "seen": True}
                for i in range(count)
            },
            "minutes": {"test": count / 30},
        },
        "tasks": tasks if tasks is not None else planned_tasks(),
        "selftest": None if passed is None else {"digest": "t1", "preset": "fast", "passed": passed},
        "stages": {},
        "environment": {
            "latentbench": "0.1.0",
            "commit": more.get("commit", "0123456789abcdef"),
            "dirty": more.get("dirty", False),
            "python": "3.11.7",
            "platform": "Linux",
            "processor": "x86_64",
            "threads": 2,
            "device": "cpu",
            "packages": more.get("packages", {}),
        },
        "created": more.get("created", "2025-01-02T03:04:05Z"),
        "command": "bench run",
    }
    return Record.model_validate(raw).sealed()


class Factory:
    """The functions above, for tests that take them as one fixture."""

    column = staticmethod(column)
    planned_columns = staticmethod(planned_columns)
    planned_tasks = staticmethod(planned_tasks)
    spread = staticmethod(spread)
    entry = staticmethod(entry)
    make = staticmethod(make)
    write = staticmethod(records.write)


@pytest.fixture
def made() -> Factory:
    return Factory()


@pytest.fixture
def run() -> Callable[..., Any]:
    """Run a command line; BenchError ends it with code 2 and one line, as the main program does."""
    import typer
    from typer.testing import CliRunner

    from bench.errors import BenchError
    from leaderboard.cli import register

    app = typer.Typer()
    register(app)

    def call(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        if isinstance(result.exception, BenchError):
            return 2, str(result.exception)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return call


@pytest.fixture
def committed(tmp_path: Path, made: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the rows a and b, standing for the packaged one."""
    folder = tmp_path / "committed"
    for name, level in (("a", 1.0), ("b", 1.02)):
        made.write(made.make(name, made.planned_tasks(level)), folder)
    monkeypatch.setattr(store, "committed_folder", lambda: folder)
    return folder
