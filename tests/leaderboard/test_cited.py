"""Where published figures stand: in full under the tables of their codec, in short elsewhere, ranked nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from leaderboard import cited
from leaderboard.board import boards
from leaderboard.references import Entry, Metric, Reference, References, read_references
from leaderboard.table import tables
from leaderboard.text import widest

Run = Callable[..., tuple[int, str]]
PESQ = Metric(title="PESQ-WB", unit="MOS-LQO", better="higher", column="reconstruction:codec_pesq")
STOI = Metric(title="STOI", unit="1", better="higher")


def reference(name: str, rows: tuple[Entry, ...], headline: tuple[str, ...] = ()) -> Reference:
    return Reference(
        name=name,
        title="Some codecs",
        authors="A. Author",
        year=2025,
        source="a paper",
        tasks=("reconstruction",),
        dataset="speech",
        protocol="Decoded against the recording.",
        differs="Other speech. And more.",
        headline=headline,
        rows=rows,
    )


@pytest.fixture
def read() -> References:
    mine = Entry(model="Mini 8", codec="minicodec@8", values={"pesq": 2.5, "stoi": 0.9})
    other = Entry(model="Grand", codec="grand", values={"pesq": 4.0, "stoi": 0.99})
    nobodys = Entry(model="Third", values={"stoi": 0.5})
    return References(
        metrics={"pesq": PESQ, "stoi": STOI},
        references=(
            reference("both", (mine, other), headline=("pesq",)),
            reference("grand-only", (other,), headline=("pesq",)),
            reference("quiet", (nobodys,)),
        ),
    )


def test_rows_of_the_tables_codec_come_in_full_and_others_with_their_headline(read: References) -> None:
    lines = cited.under(read, "reconstruction", "minicodec@4+stack2")
    assert lines == [
        "both (A. Author 2025; speech): PESQ-WB MOS-LQO ↑ / STOI ↑: Mini 8 2.5/0.9. Other speech",
        "grand-only (A. Author 2025; speech): PESQ-WB MOS-LQO ↑: Grand 4. Other speech",
    ]


def test_wide_adds_what_is_no_headline(read: References) -> None:
    assert len(cited.under(read, "reconstruction", "third")) == 2
    wide = cited.under(read, "reconstruction", "third", wide=True)
    assert wide[-1] == "quiet (A. Author 2025; speech): STOI ↑: Third 0.5. Other speech"


def test_nothing_stands_under_a_task_it_does_not_concern(read: References) -> None:
    assert cited.under(read, "delta_nll", "minicodec") == []


@pytest.mark.parametrize("form", ["terminal", "md", "latex"])
def test_they_stand_beside_the_rows_and_change_none(made: Any, read: References, form: Any) -> None:
    found = boards([made.make("a"), made.make("b", made.planned_tasks(1.02))])
    without, beside = tables(found, form), tables(found, form, references=read)
    measured = [line for line in without.splitlines() if line]
    assert [line for line in beside.splitlines() if line in measured] == measured
    added = [line for line in beside.splitlines() if line not in measured]
    assert "never ranked" in " ".join(added) and "Mini 8 2.5/0.9" in " ".join(added)
    assert form != "terminal" or widest(beside) <= 80


def test_csv_and_json_hold_measured_rows_alone(made: Any, read: References) -> None:
    found = boards([made.make("a")])
    for form in ("csv", "json"):
        assert tables(found, form, references=read) == tables(found, form)  # type: ignore[arg-type]


def test_the_command_lists_them_in_80_columns(run: Run) -> None:
    code, said = run("references")
    assert (code, widest(said) <= 80) == (0, True)
    for part in ("llasa: Codecs on LibriSpeech test-clean", "arXiv 2502.04128", "−761868", "--against llasa-mimi"):
        assert part in said
    assert all(f"\n{r.name}: " in f"\n{said}" for r in read_references().references)


def test_the_command_takes_a_codec_and_a_task(run: Run) -> None:
    code, said = run("references", "--codec", "mimi@rvq6", "--task", "reconstruction")
    assert code == 0
    assert "1.99" in said and "2.25" not in said
    assert "--against llasa-mimi" in said and "llasa-dac" not in said
    code, said = run("references", "--codec", "nonesuch")
    assert (code, "\n" in said) == (2, False)
    assert "no published figure on codec 'nonesuch'" in said and "mimi@rvq8" in said


def test_the_readmes_lines_stay_few() -> None:
    """Of any task, on a codec that nobody has published on: a line or two."""
    read = read_references()
    for task in {name for reference in read.references for name in reference.tasks}:
        assert len(cited.under(read, task, "minicodec")) <= 2
