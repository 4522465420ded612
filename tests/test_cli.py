"""The command line: a whole run on the shipped audio and codec, and one clear line for everything that is wrong."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import record
from tests.bench.test_record import made as a_record
from tests.conftest import Done
from tests.plugins import Lab, values, written

Bench = Callable[..., Done]

SUITE = """
name = "tiny_real"
description = "A minute of synthspeech and next to no training: everything runs, no number means anything."
codec = "minicodec"
dataset = "synthspeech"
tasks = ["delta_nll", "rollout_gap", "innovation_rate", "reconstruction"]

[minutes]
train = 0.6
valid = 0.2
test = 0.3

[parameters.delta_nll]
controls = false

[parameters.delta_nll.probe]
width = 16
components = 2

[parameters.delta_nll.probe.fit]
steps = 4
batch = 4

[parameters.delta_nll.rollout]
draws = 2

[parameters.rollout_gap]
draws = 2

[parameters.reconstruction]
open_wer_minutes = 0.02
"""
CARD = """
name = "rssm_tiny"
plugin = "rssm"
title = "RSSM, hardly trained"
description = "Steps enough to be resumed."
authors = "Nobody"

[parameters]
mode = "strict"
importance_samples = 2

[parameters.sizes]
width = 32
state = 8
innovation = 4

[parameters.fit]
steps = 6
batch = 4
warmup = 2
evaluate_every = 2
"""


# --- the real thing ----------------------------------------------------------------------------------------


class Real:
    """A suite and a card by their paths, run in processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "suite.toml").write_text(SUITE)
        (folder / "card.toml").write_text(CARD)

    def start(self, cache: str, records: str, *more: str, **variables: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "bench.cli", "run", "--suite", "suite.toml", "--submission", "card.toml"]
        command += ["--cache", cache, "--records", records, *more]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
        return subprocess.Popen(command, cwd=self.folder, env=environment, **pipes)

    def run(self, cache: str, records: str, *more: str, **variables: str) -> Done:
        process = self.start(cache, records, *more, **variables)
        out, err = process.communicate(timeout=300)
        return Done(process.returncode, out, err)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Real:
    return Real(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def first(real: Real) -> Done:
    """The first run, with an empty cache."""
    return real.run("cache", "first")


def test_a_run_shows_a_table_and_writes_a_whole_record(real: Real, first: Done) -> None:
    assert first.code == 0, first.err
    made = written(real.folder / "first")
    assert {n: t.status for n, t in made.tasks.items()} == dict.fromkeys(
        ["delta_nll", "rollout_gap", "innovation_rate", "reconstruction"], "scored"
    )
    assert list(made.stages) == ["encode", "fit", "delta_nll", "rollout_gap", "innovation_rate", "reconstruction"]
    assert not any(stage.cached for stage in made.stages.values())
    assert max(stage.peak_mib for stage in made.stages.values()) < 4096
    assert {"gain_80ms", "own_gain_80ms", "es_skill_80ms"} <= made.tasks["delta_nll"].columns.keys()
    assert {"codec_pesq", "prior_wer_open"} <= made.tasks["reconstruction"].columns.keys()
    assert 0 < made.dataset.minutes["test"] <= 0.3
    assert 0.4 < made.dataset.minutes["train"] <= 0.6
    assert made.command == "bench run --submission card.toml --suite suite.toml"
    for words in ("ΔNLL 80 ms", "rssm_tiny", "bench show ROW"):
        assert words in first.out


def test_a_log_gets_lines_and_no_control_characters(first: Done) -> None:
    lines = first.err.splitlines()
    assert [re.sub(r"\d+ s", "N s", line) for line in lines] == [
        f"rssm_tiny: {stage} (N s)"
        for stage in ("encode", "fit", "delta_nll", "rollout_gap", "innovation_rate", "reconstruction")
    ]
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", first.err + first.out)


def test_a_second_run_is_all_from_the_cache_and_says_the_same(real: Real, first: Done) -> None:
    again = real.run("cache", "second")
    assert again.code == 0, again.err
    assert len(again.err.splitlines()) == 6
    assert all(line.endswith("(from the cache)") for line in again.err.splitlines())
    assert values(written(real.folder / "second")) == values(written(real.folder / "first"))
    table = re.compile("^(made|commit) .*$", re.M)
    assert table.sub("", again.out) == table.sub("", first.out)


def test_quiet_prints_the_table_alone(real: Real, first: Done) -> None:
    quiet = real.run("cache", "quiet", "--quiet", FORCE_COLOR="1")
    assert (quiet.code, quiet.err) == (0, "")
    assert "rssm_tiny" in quiet.out


def test_a_terminal_that_knows_only_ascii_still_gets_its_table(real: Real, first: Done) -> None:
    plain = real.run("cache", "ascii", "--quiet", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (plain.code, plain.err) == (0, "")
    assert "rssm_tiny" in plain.out


def test_another_seed_differs(real: Real, first: Done) -> None:
    other = real.run("cache", "seed", "--seed", "1", "--task", "innovation_rate", "--quiet")
    assert other.code == 0, other.err
    made, base = written(real.folder / "seed"), written(real.folder / "first")
    assert made.seed == 1
    # a row of its own, beside the suite's and not over it
    assert made.submission.name == base.submission.name + "@seed1"
    assert made.command.endswith("--seed 1 --task innovation_rate")
    assert made.submission.weights_digest != base.submission.weights_digest
    rates = [m.tasks["innovation_rate"].columns["rate"].values for m in (made, base)]
    assert rates[0].keys() == rates[1].keys()
    assert all(rates[0][u] != rates[1][u] for u in rates[0])


def files(folder: Path, pattern: str) -> list[Path]:
    return list(folder.rglob(pattern)) if folder.exists() else []


def test_killed_while_encoding_fitting_and_scoring_it_ends_the_same(real: Real, first: Done) -> None:
    cache = real.folder / "killed"
    # what there is to see when the run is in that stage
    signs = ("latents/*/*.safetensors", "fit/*/*.checkpoint", "shared/*/*.safetensors.lock", "stages/*/*.json")
    for sign, count in zip(signs, (3, 1, 1, 4), strict=True):
        process = real.start("killed", "resumed")
        while process.poll() is None and len(files(cache, sign)) < count:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, f"done before {sign}"
    assert not (real.folder / "resumed").exists() or not list((real.folder / "resumed").iterdir())
    done = real.run("killed", "resumed", "--quiet")
    assert done.code == 0, done.err
    assert values(written(real.folder / "resumed")) == values(written(real.folder / "first"))
    assert not [p for p in files(cache, "*") if p.suffix in (".tmp", ".checkpoint")]


# --- what is loaded and printed ----------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["list"], ["list", "tasks", "--format", "md"]])
def test_what_needs_no_tensor_loads_no_torch(arguments: list[str]) -> None:
    code = f"""
import sys
from bench.cli import main
sys.argv = ["bench", *{arguments!r}]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
heavy = [m for m in ("torch", "scipy", "pandas", "sklearn", "soundfile") if m in sys.modules]
sys.exit(", ".join(heavy) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_list_names_everything(bench: Bench, lab: Lab) -> None:
    done = bench("list")
    assert done.code == 0
    for name in ("linear_v1", "rssm_v1", "levels", "minicodec", "tiny", "folder", "density", "quick"):
        assert re.search(rf"^  {name}\b", done.out, re.M), name
    only = bench("list", "codecs")
    assert only.out.split()[0] == "codecs:"
    assert "rssm_v1" not in only.out


def test_list_writes_between_markers(bench: Bench, lab: Lab, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- tasks:start -->\n<!-- tasks:end -->\nb\n")
    assert bench("list", "tasks", "--format", "md", "--write", page).code == 0
    text = page.read_text()
    assert "| `density` | How likely is it? | NLL | nats/frame | ↓ | 1 |  |" in text
    assert text.startswith("a\n")
    assert text.endswith("\nb\n")


def test_encode_says_what_came_out(bench: Bench, lab: Lab, tmp_path: Path) -> None:
    done = bench("encode", "--suite", "tiny", "--cache", tmp_path / "c")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "tiny × levels: 4 dimensions at 12.5 Hz"
    assert re.fullmatch(r"  train: 24 utterances, 0\.\d min, \d+ frames", lines[1])
    before = len(list(tmp_path.rglob("*.safetensors")))
    # and a run finds them
    assert bench("run", "--submission", "linear_v1", "--suite", "tiny", "--cache", tmp_path / "c").code == 0
    assert len(list(tmp_path.rglob("latents/*/*.safetensors"))) == before


# --- one line and exit code 2 ------------------------------------------------------------------------------


@pytest.fixture
def row(bench: Bench, lab: Lab, tmp_path: Path) -> Callable[..., Done]:
    """`bench run --quiet` of the tiny row, with more or other options."""

    def call(*more: object, submission: object = "linear_v1", suite: object = "tiny", cache: object = "") -> Done:
        where = ("--cache", cache or tmp_path / "cache", "--records", tmp_path / "records")
        return bench("run", "--quiet", "--submission", submission, "--suite", suite, *where, *more)

    return call


def refused(done: Done, expected: str) -> None:
    """One line on standard error, nothing on standard output, exit code 2."""
    assert done.code == 2, done
    assert done.out == ""
    lines = done.err.splitlines()
    assert len(lines) == 1, done.err
    assert lines[0].startswith("bench: ")
    assert re.search(expected, lines[0]), lines[0]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"submission": "nonesuch"}, "no submission 'nonesuch'; there are: .*linear_v1, mimi_ar_v1, .*rssm_v1"),
        (
            {"suite": "nonesuch"},
            "no suite 'nonesuch'; there are: codecs, .*full, .*mini, music, quick, stability, tiny",
        ),
        ({"codec": "nonesuch"}, "no codec 'nonesuch'; there are: .*levels, .*minicodec"),
        ({"dataset": "nonesuch"}, "no dataset 'nonesuch'; there are: .*folder, .*synthspeech, tiny"),
        ({"task": "nonesuch"}, "no task 'nonesuch'; there are: .*delta_nll, density, .*moves"),
        ({"device": "nonesuch"}, "no device 'nonesuch'; there are: auto, cpu, cuda"),
        ({"submission": "nonesuch.toml"}, r"nonesuch\.toml: No such file or directory"),
        ({"suite": "nonesuch.toml"}, r"nonesuch\.toml: No such file or directory"),
        ({"dataset": "folder:/nonesuch"}, "no directory '/nonesuch'"),
        ({"dataset": "folder"}, "expected folder:PATH"),
        ({"dataset": "synthspeech:x"}, "synthspeech: expected no argument, got 'x'"),
        ({"codec": "minicodec:x"}, "codec minicodec takes no argument, got 'x'"),
    ],
    ids=str,
)
def test_an_unknown_name_says_what_there_is(
    row: Callable[..., Done], tmp_path: Path, more: dict[str, str], expected: str
) -> None:
    given = {"submission": "linear_v1", "suite": "tiny", **more}
    options = [part for k, v in given.items() if k not in ("submission", "suite") for part in (f"--{k}", v)]
    refused(row(*options, submission=given["submission"], suite=given["suite"]), expected)
    assert not (tmp_path / "cache").exists()
    assert not list((tmp_path / "records").iterdir())


def test_a_name_misspelt_last_costs_no_time(row: Callable[..., Done], tmp_path: Path) -> None:
    refused(row("--submission", "nonesuch"), "no submission 'nonesuch'")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("steps = 12", "steps = ", r"bad\.toml: not TOML: .*line \d+"),
        ("steps = 12", "stepz = 12", r"linear: parameter fit\.stepz is unknown; there are: .*steps"),
        ("steps = 12", 'steps = "12"', r"linear: parameter fit\.steps: input should be a valid integer, got '12'"),
        ("steps = 12", "steps = 0", "greater than or equal to 1, got 0"),
        ("steps = 12", "lr = nan", r"bad\.toml: parameters\.fit\.lr: expected a finite number"),
        ('title = "Linear"', "", r"bad\.toml: title: Field required"),
        ('title = "Linear"', 'title = "Linear"\ntitel = 1', r"bad\.toml: titel: Extra inputs"),
        ('plugin = "linear"', 'plugin = "nonesuch"', "no submission 'nonesuch'; there are: .*linear, .*raw_ar, .*rssm"),
    ],
)
def test_a_bad_card(row: Callable[..., Done], lab: Lab, old: str, new: str, expected: str) -> None:
    text = lab.path("cards/linear_v1.toml").read_text()
    assert old in text
    refused(row(submission=lab.write("extra/bad.toml", text.replace(old, new))), expected)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("[minutes]\ntrain = 0.0", r"bad\.toml: minutes\.train: Input should be greater than 0"),
        ("[minutes]\ntest = 0.001", "dataset tiny: 0.001 minutes of test hold no whole utterance"),
        ("[parameters.density]\nscales = 2.0", "density: parameter scales is unknown; there are: deep, scale"),
        ('[parameters.density]\nscale = "2"', "density: parameter scale must be of type float, got '2'"),
        ("[parameters.nonesuch]\nx = 1", r"bad\.toml: .*parameters\.nonesuch is for no task of the suite"),
        ("[extra]\nx = 1", r"bad\.toml: extra: Extra inputs"),
        ("\x00", r"bad\.toml: not TOML"),
    ],
)
def test_a_bad_suite(row: Callable[..., Done], lab: Lab, more: str, expected: str) -> None:
    text = lab.path("suites/tiny.toml").read_text()
    refused(row(suite=lab.write("extra/bad.toml", f"{text}\n{more}\n")), expected)


NOT_A_MODEL = "class Model:\n    def __init__(self, **k): pass\n"
MODEL = "from tinylab.model import Linear\n\n\nclass Model(Linear):\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import no_such_module", r"submission 'odd' \(tinylab\.odd:Model\) does not import: ModuleNotFoundError"),
        ("def broken(:", "does not import: SyntaxError"),
        ("raise RuntimeError('a\\nb')", "does not import: RuntimeError: a b"),
        ("", "does not import: AttributeError"),
        (NOT_A_MODEL, "submission 'odd': expected a submission, got Model, which has no fit"),
        (MODEL + "    def fit(self, *a): raise ValueError('no luck')", r"raised ValueError: no luck \(odd\.py:5\)"),
        (MODEL + "    def state(self): return 3", "state must be a dictionary of tensors by name, got int"),
        (MODEL + "    def state(self): return {'w': super().state()['a.bias'] / 0}", "w is not finite after fit"),
        (MODEL + "    def load_state(self, *a): 1 / 0", "raised ZeroDivisionError: division by zero"),
    ],
)
def test_a_broken_submission(row: Callable[..., Done], lab: Lab, tmp_path: Path, source: str, expected: str) -> None:
    refused(row(submission=lab.submission("odd", source)), expected)
    assert not list((tmp_path / "records").iterdir())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (MODEL + "    def represent(self, x, generator): return x[0]", r"represent must be \(1, \d+, any\), got"),
        (MODEL + "    def represent(self, x, generator): return x / 0", r"represent: \d+ of \d+ values are not finite"),
        (MODEL + "    def represent(self, x, generator): raise KeyError('k')", "raised KeyError: 'k'"),
        (MODEL + "    def represent(self): pass", "raised TypeError: .*positional argument"),
    ],
)
def test_a_broken_capability_costs_its_tasks_alone(
    row: Callable[..., Done], lab: Lab, tmp_path: Path, source: str, expected: str
) -> None:
    done = row(submission=lab.submission("odd", source))
    assert done.code == 2
    assert re.fullmatch(rf"bench: odd: moves: submission 'odd'.*{expected}.*\n", done.err), done.err
    # the table is there, and so is the record, with the other task's values
    assert "nats/frame ↓" in done.out
    assert "failed odd" in done.out
    made = written(tmp_path / "records")
    assert (made.tasks["moves"].status, made.tasks["density"].status) == ("failed", "scored")
    assert re.search(expected, made.tasks["moves"].reason)
    assert made.tasks["density"].columns["nll"].values


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("codec.py", ".log()", ".log()[:, 1:]", r"codec 'levels': latents of \d+ samples must be \(1, "),
        ("codec.py", "clamp(min=1e-8)", "mul(-1)", "codec 'levels': latents of train00 are not finite"),
        ("codec.py", "killed.at", "kill.at", r"codec 'levels' raised NameError: .*\(codec\.py:\d+\)"),
        ("codec.py", "import torch", "import torhc", "codec 'levels' .* does not import: ModuleNotFoundError"),
        ("codec.py", "        return self\n", "        raise OSError('no')\n", "codec 'levels' raised OSError: no"),
        ("codec.py", "def decode", "def decoder", "codec 'levels': expected a codec, got Levels, which has no decode"),
        ("data.py", '"valid": 4', '"valid": 0', "dataset tiny: the valid split is empty"),
        (
            "data.py",
            "astype(np.float32)",
            "astype(np.float32) * np.nan",
            "dataset tiny: audio of train00 is not finite",
        ),
        ("data.py", "level = np", "level = pn", "dataset tiny raised NameError"),
    ],
)
def test_a_broken_codec_or_dataset(
    row: Callable[..., Done], lab: Lab, tmp_path: Path, name: str, old: str, new: str, expected: str
) -> None:
    lab.change(name, old, new)
    refused(row(), expected)
    assert not list((tmp_path / "records").iterdir())


def test_a_failing_row_leaves_the_others(row: Callable[..., Done], lab: Lab, tmp_path: Path) -> None:
    broken = lab.submission("odd", MODEL + "    def fit(self, *a): raise ValueError('no luck')")
    done = row("--submission", "linear_v1", submission=broken)
    assert done.code == 2
    assert re.fullmatch(r"bench: odd: submission 'odd' raised ValueError: no luck .*\n", done.err), done.err
    assert written(tmp_path / "records").submission.name == "linear_v1"
    assert "linear_v1" in done.out


def test_a_cache_below_a_file(row: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    refused(
        row(cache=tmp_path / "file" / "cache"), r"cannot write .*/file/.*Not a directory; choose another with --cache"
    )
    assert (tmp_path / "file").read_text() == "precious"


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, Callable[[str], bool]], None]]:
    """Make every write to a path that is chosen fail with an error number."""

    def fail(number: int, chosen: Callable[[str], bool]) -> None:
        true = tempfile.mkstemp

        def mkstemp(*args: Any, **options: Any) -> Any:
            if chosen(str(options.get("dir"))):
                raise OSError(number, os.strerror(number))
            return true(*args, **options)

        monkeypatch.setattr(tempfile, "mkstemp", mkstemp)

    return fail


def test_a_read_only_cache_is_one_line_but_serves_what_it_has(
    row: Callable[..., Done], tmp_path: Path, failing: Callable[..., None]
) -> None:
    assert row().code == 0
    failing(errno.EROFS, lambda folder: "/cache/" in folder)
    assert row().code == 0
    refused(row("--seed", "1"), "cannot write .*Read-only file system; choose another with --cache")


@pytest.mark.parametrize("stage", ["latents", "fit", "scores", "stages"])
def test_a_full_disk_is_one_line(
    row: Callable[..., Done], tmp_path: Path, failing: Callable[..., None], stage: str
) -> None:
    failing(errno.ENOSPC, lambda folder: f"/cache/{stage}/" in folder)
    refused(row(), f"no space left on the disk of .*/{stage}/")
    assert not list(tmp_path.rglob("*.tmp"))
    assert not list((tmp_path / "records").iterdir())


def test_records_that_cannot_be_written_are_known_before_the_work(bench: Bench, lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = bench(
        "run", "--submission", "linear_v1", "--suite", "tiny", "--cache", tmp_path / "c", "--records", tmp_path / "file"
    )
    refused(done, "cannot write records to .*/file: File exists")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonesuch"],
        ["run"],
        ["run", "--nonesuch"],
        ["run", "--submission"],
        ["run", "--submission", "a", "--seed", "x"],
        ["list", "nonesuch"],
        ["list", "codecs", "--format", "md"],
    ],
    ids=str,
)
def test_misuse_has_no_traceback(bench: Bench, arguments: list[str]) -> None:
    done = bench(*arguments)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert done.out + done.err


def test_exit_codes_of_commands_from_above_are_kept(bench: Bench, tmp_path: Path) -> None:
    fresh, committed = tmp_path / "fresh", tmp_path / "committed"
    record.write(a_record(suite="mini"), fresh)
    for suite in ("mini", "quick"):
        record.write(a_record(suite=suite), committed)
    arguments = ("check", "--fresh", fresh, "--committed", committed)
    assert bench(*arguments).code == 0
    # a committed row that was not run
    assert bench(*arguments, "--all").code == 2
    (fresh / "x.json").write_text("{")
    assert bench(*arguments).code == 2


def test_ctrl_c_says_how_to_go_on(bench: Bench, lab: Lab, tmp_path: Path) -> None:
    broken = lab.submission("odd", MODEL + "    def fit(self, *a): raise KeyboardInterrupt")
    done = bench(
        "run", "--submission", broken, "--suite", "tiny", "--cache", tmp_path / "c", "--records", tmp_path / "r"
    )
    assert done.code == 130
    assert done.err.splitlines()[-1] == "bench: stopped; the same command goes on from here"


def test_a_plugins_traceback_can_be_had(lab: Lab, tmp_path: Path) -> None:
    broken = lab.submission("odd", MODEL + "    def fit(self, *a): raise ValueError('no luck')")
    command = [sys.executable, "-m", "bench.cli", "run", "--submission", str(broken), "--suite", "tiny"]
    command += ["--cache", str(tmp_path / "c"), "--records", str(tmp_path / "r")]
    environment = {**os.environ, "PYTHONPATH": str(lab.folder), "LATENTBENCH_DEBUG": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "raise ValueError('no luck')" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("bench: odd: submission 'odd' raised ValueError: no luck")


def test_threads_that_wait_do_not_spin(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    bench("list", "codecs")
    assert os.environ.pop("GOMP_SPINCOUNT") == "1000"
    # who has chosen is not overruled
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    bench("list", "codecs")
    assert "GOMP_SPINCOUNT" not in os.environ
