"""Codecs at one frame rate, and lists of them on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import matching, record, registry
from bench.errors import BenchError, UnknownName
from bench.stacking import Stacked
from tests.conftest import Done
from tests.plugins import Lab

FAST = (
    "from tinylab.codec import Levels as Slow\n\n\nclass Levels(Slow):\n    def __init__(self, argument='', tap=''):\n"
)
HALVES = FAST + (
    "        super().__init__(argument)\n        from dataclasses import replace\n"
    "        self.info = replace(self.info, name='halves' + ('@' + tap if tap else ''), hop={hop})\n\n"
    "    def encode(self, audio):\n        import torch\n"
    "        padded = torch.nn.functional.pad(audio[:, 0], (0, -audio.shape[-1] % {hop}))\n"
    "        return padded.unflatten(-1, (-1, 4, {hop} // 4)).square().mean(-1).clamp(min=1e-8).log()\n\n"
    "    def decode(self, latents):\n"
    "        return (0.5 * latents).exp().repeat_interleave({hop} // 4, 2).flatten(1)[:, None].clamp(-1, 1)\n"
)


def halves(lab: Lab, hop: int) -> None:
    lab.write("halves.py", HALVES.replace("{hop}", str(hop)))
    lab.install("codecs", halves="tinylab.halves:Levels")


def test_a_faster_codec_is_stacked_and_its_spec_says_so(lab: Lab) -> None:
    halves(lab, 320)
    found = matching.matched("halves@low:x")
    assert found.spec == "halves@low+stack4:x" and isinstance(found.codec, Stacked) and found.exact
    assert found.codec.info == registry.build("codecs", found.spec).info


@pytest.mark.parametrize(("hop", "exact"), [(1280, True), (512, False), (2560, False)])
def test_a_rate_that_is_no_multiple_is_left_as_it_is(lab: Lab, hop: int, exact: bool) -> None:
    halves(lab, hop)
    found = matching.matched("halves")
    assert found.spec == "halves" and not isinstance(found.codec, Stacked) and found.exact is exact


def test_a_spec_that_says_how_to_stack_is_left_as_it_is(lab: Lab) -> None:
    halves(lab, 320)
    found = matching.matched("halves+stack2")
    assert found.spec == "halves+stack2" and found.codec.info.frame_rate == 25 and not found.exact


@pytest.mark.parametrize("text", ["", "a,,b", ",a", "a, "])
def test_a_list_with_a_gap_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match="--codecs: expected NAME,NAME,…, got"):
        matching.listed(text)


def test_one_row_a_codec_and_one_that_cannot_be_built_costs_the_others_nothing(
    lab: Lab, bench: Callable[..., Done], tmp_path: Path
) -> None:
    halves(lab, 320)
    lab.write("broken.py", "def broken(argument=''):\n    raise OSError('no weights here')\n")
    lab.install("codecs", broken="tinylab.broken:broken")
    done = bench(
        *("run", "--codecs", "levels,broken,halves", "--submission", "linear_v1"),
        *("--suite", "tiny", "--cache", str(tmp_path / "cache"), "--records", str(tmp_path / "records")),
    )
    assert done.code == 2 and "codec 'broken' raised OSError: no weights here" in done.err
    made = {record.read(path).codec.name for path in (tmp_path / "records").glob("*.json")}
    assert made == {"levels", "halves+stack4"}


def test_what_cannot_be_meant_is_refused_before_anything_is_made(bench: Callable[..., Done], lab: Lab) -> None:
    done = bench("run", "--codecs", "levels", "--codec", "levels")
    assert done.code == 2 and "expected --codec or --codecs, got both" in done.err
    done = bench("run", "--suite", "quick")
    assert done.code == 2 and "expected --submission NAME" in done.err
    done = bench("run", "--codecs", "levels,nonesuch", "--submission", "linear_v1")
    assert done.code == 2 and "no codec 'nonesuch'" in done.err
    with pytest.raises(UnknownName):
        matching.matched("nonesuch")
