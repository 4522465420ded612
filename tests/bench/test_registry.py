"""Looking plug-ins up: lazily, by name, and with one line where one is broken."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench import registry
from bench.errors import BenchError, CardError, PluginError, UnknownName
from tests.plugins import Lab


def test_names_what_is_installed(lab: Lab) -> None:
    assert {"tiny", "synthspeech", "folder"} <= registry.names("datasets").keys()
    assert {"levels", "minicodec"} <= registry.names("codecs").keys()
    assert registry.names("nothing of the kind") == {}


def test_to_list_and_to_read_cards_imports_no_plugin(lab: Lab) -> None:
    code = """
import sys
from bench import listing, registry
registry.task_cards(), registry.suite_card("tiny"), registry.submission_card("linear_v1"), listing.text(None)
listing.tasks_table()
loaded = [m for m in ("torch", "tinylab.model", "tinylab.density", "tasks.delta_nll", "baselines") if m in sys.modules]
sys.exit(", ".join(loaded) or 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(lab.folder)}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("kind", "known"),
    [("codecs", "levels, .*minicodec"), ("submissions", "linear, .*raw_ar, .*rssm"), ("tasks", "density")],
)
def test_an_unknown_name_says_what_there_is(lab: Lab, kind: str, known: str) -> None:
    for look in (registry.load, registry.module_of, registry.find):
        with pytest.raises(UnknownName, match=f"no {kind[:-1]} 'nonesuch'; there are: .*{known}"):
            look(kind, "nonesuch")


def test_an_unknown_card_or_suite_says_what_there_is(lab: Lab) -> None:
    with pytest.raises(UnknownName, match=r"no suite 'nonesuch'; there are: codecs, .*mini, .*quick, .*tiny"):
        registry.suite_card("nonesuch")
    with pytest.raises(UnknownName, match=r"no submission 'nonesuch'; there are: .*control_ceiling, .*linear_v1"):
        registry.submission_card("nonesuch")
    with pytest.raises(CardError, match=r"nonesuch\.toml: No such file"):
        registry.suite_card("nonesuch.toml")


def test_a_card_by_its_path(lab: Lab) -> None:
    assert registry.suite_card(str(lab.path("suites/tiny.toml"))) == registry.suite_card("tiny")


def test_the_argument_is_what_follows_the_first_colon(lab: Lab) -> None:
    assert registry.build("datasets", "tiny").name == "tiny"
    assert registry.build("datasets", "tiny:a:b").name == "tiny:a:b"


def test_a_tap_is_what_follows_the_first_at_sign_of_a_codecs_name(lab: Lab) -> None:
    assert registry.codec_spec("levels@fine:a@b:c") == ("levels", "fine", 1, "a@b:c")
    with pytest.raises(BenchError, match=r"^codec 'levels' has no taps, got 'fine'$"):
        registry.build("codecs", "levels@fine")
    with pytest.raises(UnknownName, match="no codec 'nonesuch'"):
        registry.build("codecs", "nonesuch@fine")
    lab.write("tapped.py", "from tinylab.codec import Levels\n\n\nclass Tapped(Levels):\n"
              "    def __init__(self, argument='', tap='plain'):\n"
              "        super().__init__(argument)\n        self.tap = tap\n")  # fmt: skip
    lab.install("codecs", tapped="tinylab.tapped:Tapped")
    assert registry.build("codecs", "tapped").tap == "plain" and registry.build("codecs", "tapped@fine").tap == "fine"


def test_a_name_claimed_by_two_packages_is_no_ones(lab: Lab) -> None:
    other = lab.folder / "other-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[latentbench.codecs]\nlevels = other:Levels\n")
    lab.forget()
    with pytest.raises(PluginError, match=r"codec 'levels' is claimed twice: other:Levels, tinylab\.codec:Levels"):
        registry.build("codecs", "levels")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def broken(:", "SyntaxError: invalid syntax"),
        ("1 / 0", r"ZeroDivisionError: division by zero \(broken\.py:1\)"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise RuntimeError('one\\ntwo')", "RuntimeError: one two"),
        ("", "AttributeError: .*Thing"),
    ],
)
def test_a_plugin_that_does_not_import(lab: Lab, source: str, expected: str) -> None:
    lab.write("broken.py", source)
    lab.install("codecs", broken="tinylab.broken:Thing")
    with pytest.raises(
        PluginError, match=rf"codec 'broken' \(tinylab\.broken:Thing\) does not import: {expected}"
    ) as e:
        registry.build("codecs", "broken")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def Thing(a): return 3", "codec 'odd': expected a codec, got int, which has no info"),
        ("class Thing:\n    def __init__(s, a): s.info = s.to = 1", "expected a codec, got Thing, which has no encode"),
        (
            "class Thing:\n    info = to = encode = decode = 1\n    def __init__(self, a): pass",
            "codec 'odd': info must be a CodecInfo, got int",
        ),
        ("class Thing: pass", r"codec 'odd' raised TypeError: .*Thing.*arguments?"),
        ("def Thing(a): raise KeyError(a)", r"codec 'odd' raised KeyError: 'x' \(odd\.py:1\)"),
        ("def Thing(a): raise SystemExit", "codec 'odd' raised SystemExit"),
    ],
)
def test_a_factory_that_makes_something_else(lab: Lab, source: str, expected: str) -> None:
    lab.write("odd.py", source)
    lab.install("codecs", odd="tinylab.odd:Thing")
    with pytest.raises(PluginError, match=expected):
        registry.build("codecs", "odd:x")


def test_a_plugins_own_clear_errors_pass_through() -> None:
    def refuse() -> None:
        raise CardError("so and so")

    with pytest.raises(CardError, match="^so and so$"):
        registry.calling("somebody", refuse)


def test_a_plugins_parameters_may_have_any_name() -> None:
    def keep(**given: int) -> dict[str, int]:
        return given

    for name in ("kind", "who", "factory", "function", "self"):
        assert registry.calling("somebody", keep, **{name: 1}) == {name: 1}
        with pytest.raises(PluginError, match="expected a submission, got dict"):
            registry.made("submissions", "somebody", keep, **{name: 1})


def test_ctrl_c_in_a_plugin_is_ctrl_c() -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        registry.calling("somebody", stopped)


def test_a_task_whose_card_has_another_name(lab: Lab) -> None:
    lab.install("tasks", other="tinylab.density:Density")
    with pytest.raises(CardError, match=r"density\.toml: the card's name is 'density', its entry point's 'other'"):
        registry.task_card_of("other")


@pytest.mark.parametrize("value", ["tinylab.nowhere:Task", "nowhere.at.all:Task", "tinylab.density.deeper:Task"])
def test_a_task_that_is_not_there(lab: Lab, value: str) -> None:
    lab.install("tasks", lost=value)
    with pytest.raises(BenchError, match="not installed|does not import"):
        registry.task_card_of("lost")


def test_a_card_package_that_is_broken(lab: Lab) -> None:
    lab.write("bad/__init__.py", "import no_such_module")
    lab.install("cards", bad="tinylab.bad.cards")
    with pytest.raises(PluginError, match=r"tinylab\.bad\.cards: the package that holds it does not import"):
        registry.submission_card("linear_v1")


def test_progress_goes_to_the_factories_that_take_it(lab: Lab) -> None:
    def told(what: str, done: int, total: int) -> None: ...

    assert registry.build("datasets", "tiny", told).name == "tiny"
    lab.change("data.py", 'def __init__(self, argument=""):', 'def __init__(self, argument="", progress=None):')
    lab.change("data.py", "        self.digest", "        self.told = progress\n        self.digest")
    assert registry.build("datasets", "tiny", told).told is told
    assert registry.build("datasets", "tiny").told is None
