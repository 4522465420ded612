"""Published figures: the file that ships is whole and true to its own rules, and a wrong one is one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import registry
from bench.errors import CardError
from bench.metrics.fidelity import METRICS
from leaderboard.references import about, plugin_of, protocols, read_references

SMALL = """
[metrics.pesq]
title = "PESQ"
unit = "MOS-LQO"
better = "higher"
measured = "pesq"

[metrics.sim]
title = "SIM"
unit = "1"
better = "higher"

[[references]]
name = "small"
title = "One codec"
authors = "A. Author"
source = "a paper"
tasks = ["reconstruction"]
dataset = "speech"
protocol = "Decoded against the recording."
differs = "Other speech."
headline = ["pesq"]

[[references.rows]]
model = "Codec 8"
codec = "codec@8"
values = { pesq = 2.5, sim = 0.7 }

[[references.rows]]
model = "Codec 4"
codec = "codec@4"
values = { pesq = 2.0 }

[[references.validations]]
name = "small-again"
codecs = ["codec@8", "codec@4"]
dataset = "folder:x"
splits = ["test"]
data = "speech"
tolerances = { pesq = 0.05 }
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "references.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def figures(reference: str, metric: str) -> list[float]:
    found = next(r for r in read_references().references if r.name == reference)
    return [row.values[metric] for row in found.rows if metric in row.values]


def test_what_ships_has_the_published_figures() -> None:
    """Typed a second time, from the sources."""
    assert figures("llasa", "pesq_wb") == [4.64, 4.01, 2.77, 1.56, 2.25, 1.99, 1.64, 2.68, 2.43]
    assert figures("llasa", "pesq_nb") == [4.55, 4.15, 3.18, 1.94, 2.80, 2.51, 2.09, 3.27, 3.04]
    assert figures("llasa", "wer") == [1.96, 2.00, 2.15, 4.90, 2.96, 3.61, 4.89, 2.76, 2.47]
    assert figures("llasa", "stoi") == [1.00, 0.95, 0.94, 0.85, 0.91, 0.89, 0.85, 0.93, 0.92]
    assert figures("codec-superb-tiny", "pesq_wb") == [1.516, 1.984, 2.635, 3.304, 3.658, 3.881, 4.351, 2.382]
    assert figures("lyra", "mel") == [0.164, 0.171, 0.178, 0.198]
    gains = [figures("ae-mimi", f"gain_{k}")[0] for k in (1, 2, 4, 8)]
    cosines = [figures("ae-mimi", f"cos_{k}")[0] for k in (1, 2, 4, 8)]
    assert (gains, cosines) == ([185, 131, 85, 67], [0.61, 0.39, 0.11, 0.04])
    assert figures("note-phase0", "ratio") == [0.997, 0.988]


def test_what_ships_names_codecs_tasks_columns_and_metrics_that_there_are() -> None:
    read = read_references()
    codecs, tasks = registry.names("codecs"), registry.task_cards()
    for reference in read.references:
        assert set(reference.tasks) <= set(tasks), reference.name
        for row in reference.rows:
            assert not row.codec or plugin_of(row.codec) in codecs, row.codec
    for key, metric in read.metrics.items():
        assert metric.measured in ("", *METRICS), key
        task, _, column = metric.column.partition(":")
        assert not column or column in {c.name for c in tasks[task].columns}, key
    used = {metric for reference in read.references for metric in reference.metrics}
    assert used == set(read.metrics)


def test_a_validation_becomes_a_protocol(written: Callable[[str], Path]) -> None:
    (protocol,) = protocols(written(SMALL)).values()
    assert protocol.name == "small-again"
    assert [(case.codec, case.model) for case in protocol.cases] == [("codec@8", "Codec 8"), ("codec@4", "Codec 4")]
    assert [(t.metric, t.measured, t.value, t.tolerance) for case in protocol.cases for t in case.targets] == [
        ("PESQ", "pesq", 2.5, 0.05),
        ("PESQ", "pesq", 2.0, 0.05),
    ]


def test_the_ladder_of_mimi_can_be_validated() -> None:
    protocol = protocols()["llasa-mimi"]
    assert [case.codec for case in protocol.cases] == ["mimi@rvq8", "mimi@rvq6", "mimi@rvq4"]
    assert [t.value for case in protocol.cases for t in case.targets if t.measured == "pesq"] == [2.25, 1.99, 1.64]
    assert "openslr.org/12" in protocol.data


def test_about_takes_a_plug_in_a_whole_spec_or_a_task(written: Callable[[str], Path]) -> None:
    references = read_references(written(SMALL)).references
    assert [row.model for row in about(references, "codec")[0].rows] == ["Codec 8", "Codec 4"]
    assert [row.model for row in about(references, "codec@4")[0].rows] == ["Codec 4"]
    assert about(references, "codec@2") == about(references, task="delta_nll") == []
    assert about(references, task="reconstruction") == list(references)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sim = 0.7", "mos = 0.7", "small: no metric 'mos'; there are: pesq, sim"),
        ("values = { pesq = 2.0 }", 'values = { pesq = "2.0" }', "references.0.rows.1.values.pesq"),
        ("values = { pesq = 2.0 }", "values = { pesq = nan }", "expected a finite number"),
        ("values = { pesq = 2.0 }", "values = {}", "references.0.rows.1.values"),
        ('source = "a paper"', 'source = "a paper"\nyaer = 2025', "references.0.yaer"),
        ('differs = "Other speech."', "", "differs: Field required"),
        ('headline = ["pesq"]', 'headline = ["wer"]', "headline 'wer': no row has it"),
        ('name = "small-again"', 'name = "small"', "the name 'small' is used twice"),
        ('codecs = ["codec@8", "codec@4"]', 'codecs = ["codec@2"]', "small-again: no row has the codec 'codec@2'"),
        ("tolerances = { pesq = 0.05 }", "tolerances = { sim = 0.05 }", "small-again: Codec 4 has no sim"),
        ("tolerances = { pesq = 0.05 }", "tolerances = { pesq = 0.0 }", "tolerances.pesq"),
        ("[metrics.pesq]", "[metrics.pesq", "not TOML"),
    ],
)
def test_a_wrong_file_is_one_line(written: Callable[[str], Path], old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(CardError) as raised:
        read_references(written(SMALL.replace(old, new)))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_nothing_measures_cannot_be_validated(written: Callable[[str], Path]) -> None:
    text = SMALL.replace('["codec@8", "codec@4"]', '["codec@8"]').replace("{ pesq = 0.05 }", "{ sim = 0.05 }")
    with pytest.raises(CardError, match="small-again: nothing here measures 'sim'"):
        read_references(written(text))
