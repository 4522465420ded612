"""Digests of code: what changes a number changes them, and nothing else does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench import fingerprint
from bench.fingerprint import closure, code_key, code_tokens, package_versions, source_digest
from tests.plugins import Lab

CODE = '''
"""About the module."""
import math

LIMIT = 3  # why


def area(r, unit="m"):
    """About the function."""
    if r > LIMIT:
        r = LIMIT
    return math.pi * r


class Thing:
    """About the class."""

    name = "thing"
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""About the module."""', '"""Something else."""'),
        ('"""About the module."""', '"""Of\n\nmore\nlines."""'),
        ('"""About the module."""\n', ""),
        ('    """About the function."""\n', ""),
        ("    if r > LIMIT", "    # a comment\n\n    if r > LIMIT"),
        ("  # why", ""),
        ('(r, unit="m")', '(\n    r,\n    unit="m"\n)'),
        ("        r = LIMIT", "            r = LIMIT"),
        ("\n\n\nclass", "\nclass"),
        ("r > LIMIT", "r>LIMIT"),
    ],
)
def test_prose_and_layout_do_not_count(old: str, new: str) -> None:
    assert old in CODE
    assert code_tokens(CODE.replace(old, new)) == code_tokens(CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("r > LIMIT", "r >= LIMIT"),
        ('unit="m"', 'unit="km"'),
        ('name = "thing"', 'name = "another"'),
        ("area", "surface"),
        # the same words, but inside the block
        ("    return math", "        return math"),
        ("math.pi * r", "math.pi *r if 0 else r"),
        ('name = "thing"', '"thing"'),
    ],
)
def test_code_counts(old: str, new: str) -> None:
    assert old in CODE
    assert code_tokens(CODE.replace(old, new)) != code_tokens(CODE)


def test_every_python_sees_the_same_tokens() -> None:
    source = 'x = f"a{b!r:>{w}}c" f\'{f"{d}"}\'\ny = rf"""{e}\n  {{}}"""; z = "p" if q else 0x1F\n'
    parts = ["x", "=", 'f"a{b!r:>{w}}c"', "f'{f\"{d}\"}'", "<line>"]
    parts += ["y", "=", 'rf"""{e}\n  {{}}"""', ";", "z", "=", '"p"', "if", "q", "else", "0x1F", "<line>", ""]
    assert code_tokens(source) == " ".join(parts)


@pytest.fixture
def package(lab: Lab) -> Lab:
    lab.write("deep/__init__.py", "")
    lab.write("deep/inner.py", "VALUE = 1\n")
    lab.write("relative.py", "from .deep import inner\nfrom . import sibling\n")
    lab.write("sibling.py", "import tinylab.leaf\n")
    lab.write("leaf.py", "def late():\n    from bench.metrics import gaussian\n    import numpy\n")
    lab.write("lonely.py", "VALUE = 1\n")
    return lab


def test_follows_its_own_package_and_the_metrics(package: Lab) -> None:
    followed = closure("tinylab.relative")
    assert {"tinylab.relative", "tinylab.deep.inner", "tinylab.sibling", "tinylab.leaf", "tinylab"} <= followed
    assert {"bench.metrics", "bench.metrics.gaussian"} <= followed
    assert not followed & {"tinylab.lonely", "numpy", "bench", "bench.runner"}


@pytest.mark.parametrize(
    ("name", "moves"),
    [
        ("relative.py", True),
        ("deep/inner.py", True),
        ("deep/__init__.py", True),
        ("sibling.py", True),
        ("leaf.py", True),
        ("__init__.py", True),
        ("lonely.py", False),
    ],
)
def test_a_change_moves_those_who_import_it(package: Lab, name: str, moves: bool) -> None:
    before = source_digest("tinylab.relative"), source_digest("tinylab.sibling")
    text = package.path(name).read_text()
    package.write(name, text + "# no code\n")
    assert (source_digest("tinylab.relative"), source_digest("tinylab.sibling")) == before
    package.write(name, text + "\nMORE = 1\n")
    assert (source_digest("tinylab.relative") != before[0]) is moves
    assert (source_digest("tinylab.sibling") != before[1]) is (name in ("sibling.py", "leaf.py", "__init__.py"))


def test_first_party_plugins_know_what_they_stand_on() -> None:
    assert {"baselines.rssm_network", "baselines.family", "bench.fitting", "bench.seeding"} <= closure("baselines.rssm")
    assert {"tasks.probes.mdn", "bench.metrics.mixture", "bench.fitting"} <= closure("tasks.delta_nll")
    assert "bench.metrics.distortion" in closure("tasks.reconstruction")
    assert "bench.codecs.minicodec_model" in closure("bench.codecs.minicodec")
    assert "bench.datasets.audio" in closure("bench.datasets.synthspeech")
    # and not on each other
    assert not {"baselines.raw_ar", "tasks.delta_nll"} & closure("baselines.rssm")
    assert not {"tasks.delta_nll", "tasks.rollout_gap"} & closure("tasks.reconstruction")
    assert not {"bench.runner", "bench.cli", "bench.record", "bench.config"} & closure("tasks.delta_nll")


def test_of_other_packages_the_version_counts(package: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy

    assert package_versions("tinylab.relative") == {
        "numpy": numpy.__version__,
        "torch": package_versions("tasks.delta_nll")["torch"],
    }
    assert package_versions("tinylab.lonely") == {}
    before = code_key("tinylab.relative")
    package.forget()
    monkeypatch.setattr(fingerprint, "_version", lambda name: "99")
    assert code_key("tinylab.relative")["source"] == before["source"]
    assert code_key("tinylab.relative") != before


def test_a_package_that_is_imported_under_another_name(package: Lab) -> None:
    package.write("lonely.py", "def f():\n    import sklearn.svm\n    import no_such_package\n")
    assert package_versions("tinylab.lonely").keys() == {"sklearn"}


def test_the_metrics_packages_are_in_the_key_of_reconstruction() -> None:
    assert {"pesq", "pystoi", "soxr", "jiwer", "pocketsphinx", "numpy"} <= package_versions(
        "tasks.reconstruction"
    ).keys()


@pytest.mark.parametrize("content", [b"def broken(:", b"\x00", b"# coding: nonsense\n", b"\xff\xfe", b""])
def test_what_is_no_python_still_has_a_digest(lab: Lab, content: bytes) -> None:
    lab.path("broken.py").write_bytes(content)
    first = source_digest("tinylab.broken")
    lab.path("broken.py").write_bytes(content + b"\n\nx = 1")
    lab.forget()
    assert source_digest("tinylab.broken") != first


def test_a_module_that_is_nowhere_has_the_digest_of_nothing(lab: Lab) -> None:
    assert closure("tinylab.nowhere") == {"tinylab.nowhere", "tinylab"}
    assert source_digest("nowhere.at.all") != source_digest("nowhere.else")


def test_looking_loads_neither_torch_nor_scipy() -> None:
    code = """
import sys
from bench.fingerprint import code_key
for module in ("tasks.delta_nll", "tasks.reconstruction", "baselines.rssm", "bench.codecs.minicodec"):
    code_key(module)
sys.exit(", ".join(m for m in ("torch", "scipy", "sklearn", "numpy") if m in sys.modules) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
