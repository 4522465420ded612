"""Every installed card, codec, dataset and task keeps the rules of its kind."""

import pytest

from bench import registry
from bench.conformance import report
from bench.errors import DataError

INSTALLED = [
    *(("submissions", name) for name in sorted(registry.submission_files())),
    *((kind, name) for kind in ("codecs", "datasets", "tasks") for name in sorted(registry.names(kind))),
]
UNTRAINED = ("encodec24", "encodec48", "mimi", "mimi_vae32")
"""Codecs whose weights are fetched: their rules are asked of random ones."""
FETCHED = ("fma", "librispeech", "ljspeech", "vctk")
"""Corpora of gigabytes: theirs are asked of small ones of the same form, in their own tests."""
SLOW = ("dac16", "dac24", "dac44")
"""Half a minute each: theirs are asked of narrow ones with the same strides, in their own tests."""
LARGE = ("_base", "_paper")
"""Endings of cards with up to thousands of millions of parameters: the same plug-ins as the small ones."""


@pytest.mark.parametrize(("kind", "name"), INSTALLED)
def test_every_installed_plugin_keeps_the_rules(one_thread: None, kind: str, name: str) -> None:
    if kind == "submissions" and name.endswith(LARGE):
        pytest.skip("too large to fit here; tests/baselines builds it without memory, and small cards hold its plug-in")
    if kind == "codecs" and name in SLOW:
        pytest.skip("the rules are asked of a narrow one, in tests/bench/codecs/test_dac.py")
    if kind == "datasets" and name in FETCHED:
        pytest.skip(
            "it fetches gigabytes; tests/bench/datasets/test_corpora.py holds small folders of its form to the rules"
        )
    if kind == "codecs" and name in UNTRAINED:
        name += ":random"
    try:
        results = report.check(name, kind)
    except DataError as needs:  # a folder of audio, or weights, that nobody has given
        pytest.skip(str(needs))
    assert report.passed(results), report.terminal(name, results)
