"""The pipeline on tiny plug-ins: what is cached under what, what survives a kill, and what a fault costs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import environment, fingerprint, record, runner
from bench.cache import Cache
from bench.errors import BenchError, CacheError, CardError, PluginError
from bench.progress import Bar
from bench.record import Record
from bench.runner import Request, Row
from bench.seeding import generator
from tests.plugins import Lab, values, written

STAGES = ["encode", "fit", "density", "moves"]


@pytest.fixture
def make(lab: Lab, tmp_path: Path) -> Callable[..., Record]:
    """Make the tiny row; a new process' memory, the same cache."""

    def call(**more: Any) -> Record:
        lab.forget()
        defaults: dict[str, Any] = {"submission": "linear_v1", "suite": "tiny", "cache": tmp_path / "cache"}
        return runner.run(Request(**{**defaults, **more}))

    return call


def missed(made: Record) -> list[str]:
    """The stages that were really done."""
    return [name for name, stage in made.stages.items() if not stage.cached]


def test_a_row_has_all_its_stages_and_values(make: Callable[..., Record], tmp_path: Path) -> None:
    made = make()
    assert list(made.stages) == STAGES == missed(made)
    assert {name: task.status for name, task in made.tasks.items()} == {"density": "scored", "moves": "scored"}
    nll = made.tasks["density"].columns["nll"]
    assert list(nll.values) == list(made.dataset.utterances) == [f"test{i:02d}" for i in range(8)]
    assert nll.weights == {u: e.frames for u, e in made.dataset.utterances.items()}
    assert made.tasks["density"].notes == {"frames": sum(e.frames for e in made.dataset.utterances.values())}
    assert made.tasks["density"].parameters == {"scale": 1.0, "deep": {"draws": 2}}
    assert made.dataset.minutes.keys() == {"train", "valid", "test"}
    assert {e.speaker: e.seen for e in made.dataset.utterances.values()} == {f"s{i}": True for i in range(4)}
    assert made.submission.parameter_count == 4 * 4 + 4 + 4 + 4
    assert made.codec.frame_rate == 12.5
    assert all(stage.seconds > 0 and stage.peak_mib > 10 for stage in made.stages.values())
    path = record.write(made, tmp_path / "records")
    assert record.read(path) == made.sealed()


def test_a_second_run_computes_nothing_and_says_the_same(make: Callable[..., Record]) -> None:
    first = make()
    again = make()
    assert missed(again) == []
    assert json.dumps(values(again)) == json.dumps(values(first))
    # what a stage took when it was really done
    assert {n: (s.seconds, s.peak_mib) for n, s in again.stages.items()} == {
        n: (s.seconds, s.peak_mib) for n, s in first.stages.items()
    }


def test_a_fresh_cache_gives_the_same_values(make: Callable[..., Record], tmp_path: Path) -> None:
    assert values(make()) == values(make(cache=tmp_path / "other"))


def test_the_global_generator_decides_nothing_and_is_left_alone(make: Callable[..., Record], tmp_path: Path) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = make()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert values(make(cache=tmp_path / "other")) == values(first)


# --- keys --------------------------------------------------------------------------------------------------


def edited(name: str, old: str, new: str) -> Callable[[Lab], dict[str, Any]]:
    def change(lab: Lab) -> dict[str, Any]:
        lab.change(name, old, new)
        return {}

    return change


def asked(**more: Any) -> Callable[[Lab], dict[str, Any]]:
    return lambda lab: more


SUITE, CARD, TASK = "suites/tiny.toml", "cards/linear_v1.toml", "density.toml"


def sweeping(lab: Lab) -> dict[str, Any]:
    """The first task asks for the row's knobs, and the row has some."""
    lab.change(TASK, "version = 1", "version = 1\nsweeps = true")
    lab.change(CARD, "[parameters.fit]", "[knobs]\nnoise = [0.1, 0.2]\n[parameters.fit]")
    return {}


CHANGES: dict[str, tuple[Callable[[Lab], dict[str, Any]], list[str]]] = {
    "nothing": (asked(), []),
    # what is asked
    "the seed": (asked(seed=1), ["fit", "density", "moves"]),
    "the dataset": (asked(dataset="tiny:b"), STAGES),
    "the codec's argument": (asked(codec="levels:b"), STAGES),
    "fewer tasks": (asked(tasks=("moves",)), []),
    # cards
    "a suite's parameter": (
        edited(SUITE, 'y", "moves"]', 'y", "moves"]\n[parameters.density]\nscale = 2'),
        ["density"],
    ),
    "a suite's nested parameter": (
        edited(SUITE, 'y", "moves"]', 'y", "moves"]\n[parameters.density.deep]\ndraws = 3'),
        ["density"],
    ),
    "a suite's limit": (
        edited(SUITE, 'y", "moves"]', 'y", "moves"]\n[minutes]\ntest = 0.1'),
        ["fit", "density", "moves"],
    ),
    "a suite's description": (edited(SUITE, "Noise.", "More noise."), []),
    "a suite's order of tasks": (edited(SUITE, '"density", "moves"', '"moves", "density"'), []),
    "a suite without a task": (edited(SUITE, '"density", "moves"', '"moves"'), []),
    "a row's parameter": (edited(CARD, "steps = 12", "steps = 11"), ["fit", "density", "moves"]),
    "a row's parameter in its suite": (
        edited(CARD, "warmup = 2", "warmup = 2\n[suite_parameters.tiny]\nnoise = 0.2"),
        ["fit", "density", "moves"],
    ),
    "a row's parameter in another suite": (
        edited(CARD, "warmup = 2", "warmup = 2\n[suite_parameters.mini]\nnoise = 0.2"),
        [],
    ),
    "a row's knobs": (edited(CARD, "[parameters.fit]", "[knobs]\nnoise = [0.1, 0.2]\n[parameters.fit]"), []),
    "a row's knobs, which a task sweeps": (sweeping, ["density"]),
    "a row's description": (edited(CARD, "A linear autoregression.", "Linear."), []),
    "a task's version": (edited(TASK, "version = 1", "version = 2"), ["density"]),
    "a task's parameter": (edited(TASK, "scale = 1.0", "scale = 1.5"), ["density"]),
    "a task's question": (edited(TASK, "How likely is it?", "How unlikely is it?"), []),
    "how a column is shown": (edited(TASK, "ranked = true", 'ranked = false\nmargin = 0.5\nhelp = "NLL."'), []),
    "a column's unit": (edited(TASK, 'unit = "nats/frame"', 'unit = "nats"'), ["density"]),
    # code
    "the scorer": (edited("density.py", '"frames"', '"all frames"'), ["density"]),
    "another scorer": (edited("moves.py", '"noise"', '"other noise"'), ["moves"]),
    "the scorer's comments": (
        edited("density.py", "class Density:", 'class Density:\n    """A docstring."""\n    # x\n'),
        [],
    ),
    "the model": (edited("model.py", "+ 0.1", "+ 0.2"), ["fit", "density", "moves"]),
    "the codec": (edited("codec.py", "min=1e-8", "min=1e-7"), STAGES),
    "the codec's weights": (edited("codec.py", '"w1"', '"w2"'), STAGES),
    "the dataset's code": (edited("data.py", "integers(10)", "integers(11)"), STAGES),
    "what all of them import": (edited("killed.py", "seen = {}", "seen = dict()"), STAGES),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_decides_a_number_is_in_its_key(make: Callable[..., Record], lab: Lab, what: str) -> None:
    change, expected = CHANGES[what]
    first = make()
    asked_for = change(lab)
    changed = make(**asked_for)
    assert missed(changed) == expected
    # what hits still says what it said
    for name, task in changed.tasks.items():
        if name not in expected:
            assert task.columns.keys() == first.tasks[name].columns.keys()
            for column, found in task.columns.items():
                assert found.values == first.tasks[name].columns[column].values


@pytest.mark.parametrize(
    ("package", "expected"),
    [("torch", STAGES), ("numpy", STAGES), ("pesq", ["density", "moves"]), ("pocketsphinx", ["density", "moves"])],
)
def test_another_version_of_a_package_misses(
    make: Callable[..., Record], monkeypatch: pytest.MonkeyPatch, package: str, expected: list[str]
) -> None:
    make()
    true = environment._version
    monkeypatch.setattr(environment, "_version", lambda name: "99" if name == package else true(name))
    assert missed(make()) == expected


def test_a_package_that_only_a_plugin_imports_is_in_its_key(
    make: Callable[..., Record], lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.change("moves.py", "import torch", "import filelock\nimport torch")
    make()
    true = fingerprint._version
    monkeypatch.setattr(fingerprint, "_version", lambda name: "99" if name == "filelock" else true(name))
    assert missed(make()) == ["moves"]


def test_another_number_of_threads_misses(make: Callable[..., Record], monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 97)
    assert missed(make()) == STAGES


def test_going_back_finds_everything_again(make: Callable[..., Record], lab: Lab) -> None:
    first = make()
    lab.change("density.py", '"frames"', '"all frames"')
    make(seed=1)
    lab.change("density.py", '"all frames"', '"frames"')
    again = make()
    assert missed(again) == []
    assert values(again) == values(first)


def test_what_submissions_share_is_made_once(make: Callable[..., Record], lab: Lab, tmp_path: Path) -> None:
    make()
    shared = sorted((tmp_path / "cache" / "shared").rglob("*.json"))
    text = lab.path("cards/linear_v1.toml").read_text().replace("linear_v1", "other_v1").replace("= 12", "= 8")
    other = make(submission=str(lab.write("extra/other.toml", text)))
    assert missed(other) == ["fit", "density", "moves"]
    assert sorted((tmp_path / "cache" / "shared").rglob("*.json")) == shared
    assert len(shared) == 1


def test_a_tasks_own_key_may_use_any_word(make: Callable[..., Record], lab: Lab) -> None:
    # "seed" and "code" are words of the harness's own keys, too
    lab.change(
        "density.py",
        'context.note("frames"',
        'context.note("two", [context.cached_json({"seed": s, "code": s}, lambda: s) for s in (1, 2)])\n'
        '        context.note("frames"',
    )
    assert make().tasks["density"].notes["two"] == [1, 2]


def test_a_task_that_writes_into_its_parameters_moves_nothing(make: Callable[..., Record], lab: Lab) -> None:
    lab.change("density.py", "values = {}", "values = {}\n        context.parameters['deep']['draws'] = 99")
    assert make().tasks["density"].parameters["deep"] == {"draws": 2}
    assert missed(make()) == []


def test_a_damaged_entry_is_made_again_and_said_to_be(make: Callable[..., Record], tmp_path: Path) -> None:
    first = make()
    for path in (tmp_path / "cache" / "fit").rglob("*.safetensors"):
        path.write_bytes(b"")
    again = make()
    assert missed(again) == ["fit"]
    assert values(again) == values(first)
    for path in (tmp_path / "cache").rglob("*.json"):
        path.write_text("{")
    again = make()
    assert missed(again) == ["density", "moves"]
    assert values(again) == values(first)


# --- processes ---------------------------------------------------------------------------------------------


def start(lab: Lab, tmp_path: Path, kill: str = "", **streams: Any) -> subprocess.Popen[str]:
    """`bench run` of the tiny row in a process of its own."""
    paths = os.pathsep.join([str(lab.folder), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "bench.cli", "run", "--submission", "linear_v1", "--suite", "tiny", "--quiet"]
    where = ["--cache", str(tmp_path / "cache"), "--records", str(tmp_path / "records")]
    variables = {**os.environ, "PYTHONPATH": paths, "TINY_KILL": kill}
    return subprocess.Popen([*command, *where], env=variables, text=True, **streams)


def test_killed_at_every_stage_it_resumes_and_ends_the_same(
    lab: Lab, make: Callable[..., Record], tmp_path: Path
) -> None:
    whole = make(cache=tmp_path / "uninterrupted")
    # counts start anew in each process: the second one is killed 14 utterances after where the first one was,
    # and the fourth at step 4 + 6
    for kill in ("encode:20", "encode:20", "step:6", "step:6", "score:3"):
        process = start(lab, tmp_path, kill)
        assert process.wait(120) == -signal.SIGKILL, kill
        assert not list((tmp_path / "records").glob("*"))
    assert start(lab, tmp_path).wait(120) == 0
    assert values(written(tmp_path / "records")) == values(whole)
    # nothing is left of the killed ones
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.suffix in (".tmp", ".checkpoint")]
    assert missed(make()) == []


def test_two_runs_at_once_end_the_same(lab: Lab, make: Callable[..., Record], tmp_path: Path) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    pair = [start(lab, tmp_path, **pipes) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], outputs
    assert values(written(tmp_path / "records")) == values(make(cache=tmp_path / "alone"))
    assert [err for _, err in outputs] == ["", ""]


# --- what a fit says of itself -----------------------------------------------------------------------------


def speaking(lab: Lab) -> None:
    """The tiny model tells its losses, and its state has a history."""
    lab.change(
        "model.py", '            killed.at("step")\n', "            context.scalars(step + 1, {'loss': 10.0 - step})\n"
    )
    lab.change(
        "model.py",
        "return dict(self.net.state_dict())",
        "return {**self.net.state_dict(), 'history.loss': torch.zeros(12)}",
    )
    lab.change("model.py", "dict(state))", "{n: t for n, t in state.items() if 'history' not in n})")


def test_what_a_fit_went_through_is_no_parameter(make: Callable[..., Record], lab: Lab) -> None:
    speaking(lab)
    assert make().submission.parameter_count == 4 * 4 + 4 + 4 + 4


def test_scalars_of_a_fit_become_tensorboard_events(make: Callable[..., Record], lab: Lab, tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    speaking(lab)
    plain = values(make(cache=tmp_path / "plain"))
    assert values(make(tensorboard=tmp_path / "events")) == plain
    (row,) = (tmp_path / "events").iterdir()
    assert row.name == "linear_v1"
    events = reader(str(row))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(i + 1, 10.0 - i) for i in range(12)]
    # a fit from the cache says nothing
    make(tensorboard=tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_without_tensorboard_the_command_that_installs_it_is_named(
    make: Callable[..., Record], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(BenchError, match=r"pip install 'latentbench\[tensorboard\]'"):
        make(tensorboard=tmp_path / "events")
    assert not (tmp_path / "cache").exists()


# --- faults ------------------------------------------------------------------------------------------------


def test_a_failing_task_leaves_the_others(make: Callable[..., Record], lab: Lab) -> None:
    lab.change("density.py", "values = {}", "raise ValueError('boom')")
    made = make()
    assert made.tasks["density"].status == "failed"
    assert made.tasks["density"].reason.startswith("task 'density' raised ValueError: boom (density.py:")
    assert made.tasks["density"].columns == {}
    assert made.tasks["moves"].status == "scored"
    assert "density" not in made.stages
    # a failure is not kept: the next run tries again
    lab.change("density.py", "raise ValueError('boom')", "values = {}")
    assert make().tasks["density"].status == "scored"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("from bench.contract import Score", "import no_such_module", "does not import: ModuleNotFoundError"),
        ("class Density:", "class Density(:", "does not import: SyntaxError"),
        ("    card = task_card(__file__)", "", "expected a task, got Density, which has no card"),
        ("    card = task_card(__file__)", "    card = 1\n    def __init__(self): 1 / 0", "raised ZeroDivisionError"),
        ("-float(log_p.mean())", "float('nan')", "nll: test00 is not finite"),
        ("-float(log_p.mean())", "-log_p.mean()", "nll: expected a number for test00, got Tensor"),
        ('"nll"', '"other"', "column 'other' is not in its card"),
        ("return [", "return None and [", "expected Score or Skipped, got NoneType"),
        ("sum(base.values())", "float('inf')", "its note 'frames' is not JSON"),
        ("sum(base.values())", "context", "its note 'frames' is not JSON"),
        ("len(u.x) for u", "u for u", "raised TypeError: .*not JSON serializable"),
        ("values = {}", "import sys; sys.exit()", "raised SystemExit"),
    ],
)
def test_a_task_that_breaks_its_contract_fails_with_a_reason(
    make: Callable[..., Record], lab: Lab, old: str, new: str, expected: str
) -> None:
    lab.change("density.py", old, new)
    made = make()
    assert made.tasks["density"].status == "failed"
    assert made.tasks["density"].reason.startswith("task 'density'")
    assert re.search(expected, made.tasks["density"].reason), made.tasks["density"].reason
    assert made.tasks["moves"].status == "scored"


def test_a_missing_capability_is_a_skip(make: Callable[..., Record], lab: Lab) -> None:
    lab.change("model.py", "    def log_prob(self, context", "    def density(self, context")
    made = make()
    assert (made.tasks["density"].status, made.tasks["moves"].status) == ("skipped", "scored")
    assert made.tasks["density"].reason == "needs log_prob, which linear_v1 does not offer"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("return self._log_prob(context", "return 1 / 0 or (context", "raised ZeroDivisionError"),
        ("return self._log_prob(context, target)", "return target", r"log_prob must be \(1, \d+\), got"),
        ("return self._log_prob(context, target)", "return target[..., 0] / 0", "log_prob: .* are not finite"),
    ],
)
def test_a_capability_that_breaks_its_contract_fails_its_tasks(
    make: Callable[..., Record], lab: Lab, old: str, new: str, expected: str
) -> None:
    lab.change("model.py", old, new)
    made = make()
    assert re.match(f"submission 'linear_v1'.*{expected}", made.tasks["density"].reason)
    assert made.tasks["moves"].status == "scored"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("self._build(context.codec, context.seed)", "1 / 0", "raised ZeroDivisionError"),
        ("return dict(self.net.state_dict())", "return None", "state must be a dictionary of tensors"),
        ("return dict(self.net.state_dict())", "return {'a': self.net['a'].weight / 0}", "a is not finite after fit"),
        ("self.net.load_state_dict(dict(state))", "self.net.load_state_dict({})", "raised RuntimeError: .*Missing key"),
        (
            "def nll(x, mask):",
            "def nll(x, mask):\n            return x.sum() * torch.nan",
            "fit linear: the loss is nan at step 1$",
        ),
        ("def state(self)", "def states(self)", "expected a submission, got Linear, which has no state"),
        ('"linear")\n', '"linear", 3)\n', "raised TypeError"),
    ],
)
def test_a_submission_that_does_not_fit_is_one_line(
    make: Callable[..., Record], lab: Lab, tmp_path: Path, old: str, new: str, expected: str
) -> None:
    lab.change("model.py", old, new)
    with pytest.raises(PluginError, match=expected) as caught:
        make()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache" / "scores").exists()


def test_states_that_share_memory_are_kept(make: Callable[..., Record], lab: Lab, tmp_path: Path) -> None:
    whole = make(cache=tmp_path / "plain")
    lab.change(
        "model.py",
        "return dict(self.net.state_dict())",
        "return {**self.net.state_dict(), 'tied': self.net['a'].weight.T}",
    )
    lab.change(
        "model.py", "load_state_dict(dict(state))", "load_state_dict({k: v for k, v in state.items() if k != 'tied'})"
    )
    made = make()
    assert made.tasks["density"].columns == whole.tasks["density"].columns


def test_a_suite_may_only_set_what_its_tasks_declare(make: Callable[..., Record], lab: Lab) -> None:
    lab.change(SUITE, 'y", "moves"]', 'y", "moves"]\n[parameters.density.deep]\ndrawz = 3')
    with pytest.raises(CardError, match="suite 'tiny': density.deep: parameter drawz is unknown; there are: draws"):
        make()


def test_a_full_disk_stops_the_run_and_costs_nothing_that_was_made(
    make: Callable[..., Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if "/scores/" in str(self):
            raise OSError(28, os.strerror(28))
        return true(self, data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        # not a failed task: there is no room for a record either
        with pytest.raises(CacheError, match="no space left on the disk"):
            make()
    assert not list((tmp_path / "cache").rglob("*.tmp"))
    assert missed(make()) == ["density", "moves"]


def test_a_full_disk_while_fitting_leaves_the_last_checkpoint(
    make: Callable[..., Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(cache=tmp_path / "whole")
    true, saves = Path.write_bytes, []

    def full(self: Path, data: bytes) -> int:
        if ".checkpoint" in self.name:
            saves.append(self)
            if len(saves) == 2:
                raise OSError(28, os.strerror(28))
        return true(self, data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(CacheError, match="no space left"):
            make()
    (kept,) = (tmp_path / "cache" / "fit").rglob("*.checkpoint")
    assert torch.load(kept, weights_only=True)["step"] == 4
    assert values(make()) == values(whole)
    assert not kept.exists()


def test_everything_that_can_be_refused_is_refused_before_the_work(lab: Lab, tmp_path: Path) -> None:
    good = Request(submission="linear_v1", suite="tiny", cache=tmp_path / "cache")
    for more in (
        {"submission": "nonesuch"},
        {"suite": "nonesuch"},
        {"codec": "nonesuch"},
        {"dataset": "nonesuch"},
        {"tasks": ("density", "nonesuch")},
        {"device": "nonesuch"},
    ):
        with pytest.raises(BenchError, match=r"no \w+ 'nonesuch'; there are: \w+"):
            Row(Request(**{**vars(good), **more}), Bar(quiet=True))
    assert not (tmp_path / "cache").exists()


def test_rows_share_what_they_are_built_from(lab: Lab, tmp_path: Path) -> None:
    built: dict[tuple[str, str], Any] = {}
    request = Request(submission="linear_v1", suite="tiny", cache=tmp_path)
    one, two = (Row(request, Bar(quiet=True), built) for _ in range(2))
    assert one.dataset is two.dataset
    assert one.codec is two.codec


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, "bench run --submission linear_v1 --suite tiny"),
        ({"seed": 0}, "bench run --submission linear_v1 --suite tiny"),
        ({"seed": 7}, "bench run --submission linear_v1 --suite tiny --seed 7"),
        (
            {"dataset": "tiny:a b", "codec": "levels", "device": "cpu", "tasks": ("moves",)},
            "bench run --submission linear_v1 --suite tiny --codec levels --dataset 'tiny:a b' --device cpu "
            "--task moves",
        ),
    ],
)
def test_a_record_names_the_command_that_makes_it_again(
    make: Callable[..., Record], asked: dict[str, Any], expected: str
) -> None:
    assert make(**asked).command == expected


# --- what a task sees --------------------------------------------------------------------------------------


def test_a_tasks_generators_come_from_seed_task_and_names(lab: Lab, tmp_path: Path) -> None:
    row = Row(Request(submission="linear_v1", suite="tiny", cache=tmp_path, seed=5), Bar(quiet=True))
    context = runner.TaskContext(row, row.tasks["moves"])
    draw = torch.rand(4, generator=context.generator("a", 1))
    assert torch.equal(draw, torch.rand(4, generator=context.generator("a", 1)))
    assert torch.equal(draw, torch.rand(4, generator=generator(5, "moves", "a", 1)))
    others = [context.generator("a", 2), context.generator("a", "1"), generator(5, "density", "a", 1)]
    assert all(not torch.equal(draw, torch.rand(4, generator=g)) for g in others)


def test_tracking_moves_the_bar_to_its_end(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row(Request(submission="linear_v1", suite="tiny", cache=tmp_path), Bar(quiet=True))
    seen: list[tuple[str, int, int]] = []
    monkeypatch.setattr(row.bar, "update", lambda *a: seen.append(a))
    context = runner.TaskContext(row, row.tasks["moves"])
    with context.track("steps", ["a", "b"]) as items:
        assert list(items) == ["a", "b"]
    assert seen == [("moves: steps", 0, 2), ("moves: steps", 1, 2), ("moves: steps", 2, 2)]


def test_a_submission_never_sees_the_test_split(make: Callable[..., Record], lab: Lab) -> None:
    lab.change(
        "model.py",
        "self._build(context.codec, context.seed)\n",
        "self._build(context.codec, context.seed)\n"
        "        assert {u.id[:-2] for u in (*train, *valid)} == {'train', 'valid'}\n"
        "        assert not hasattr(context, 'dataset') and not hasattr(context, 'latents')\n",
    )
    assert make().tasks["density"].status == "scored"


def test_an_unreadable_checkpoint_is_none(tmp_path: Path) -> None:
    checkpoint = runner.FileCheckpoint(tmp_path / "c")
    assert checkpoint.load() is None
    checkpoint.save({"step": 3, "x": torch.ones(2)})
    loaded = checkpoint.load()
    assert loaded is not None
    assert loaded["step"] == 3
    assert torch.equal(loaded["x"], torch.ones(2))
    assert Cache(tmp_path).made == 0


# --- codes -------------------------------------------------------------------------------------------------

READS = """
import torch


class Model:
    codec = None

    def read_codes(self, codec):
        self.codec = codec

    def fit(self, train, valid, context):
        self.mean = self.codec.codes(train[0].x[None]).float().mean().reshape(1)

    def state(self):
        return {"mean": self.mean}

    def load_state(self, state, codec, device):
        assert self.codec is not None
        self.mean = state["mean"]

    def represent(self, x, generator):
        return x + self.mean
"""
CODED = """
    def codes(self, latents):
        return (latents > -6).long()

    def from_codes(self, codes):
        return codes.float()
"""


def test_what_reads_codes_is_refused_on_a_codec_without(lab: Lab, make: Callable[..., Record]) -> None:
    lab.submission("coded", READS)
    said = "^submission 'coded': needs a codec with codes, got 'levels'$"
    with pytest.raises(CardError, match=said):
        make(submission=str(lab.path("extra/coded.toml")), tasks=("moves",))
    # methods alone are not enough: a tap may have none of the codec's codebooks
    lab.write("codec.py", lab.path("codec.py").read_text(encoding="utf-8") + CODED)
    with pytest.raises(CardError, match=said):
        make(submission=str(lab.path("extra/coded.toml")), tasks=("moves",))


def test_what_reads_codes_has_the_codec_before_it_is_fitted_and_loaded(lab: Lab, make: Callable[..., Record]) -> None:
    lab.submission("coded", READS)
    lab.write("codec.py", lab.path("codec.py").read_text(encoding="utf-8") + CODED)
    lab.change("codec.py", 'weights_digest="w1"', 'weights_digest="w1", codebooks=(2,) * 4')
    for missing in (["encode", "fit", "moves"], []):
        made = make(submission=str(lab.path("extra/coded.toml")), tasks=("moves",))
        assert missed(made) == missing
        assert made.tasks["moves"].status == "scored"
