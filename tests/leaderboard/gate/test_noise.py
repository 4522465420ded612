"""Cards of noise: strict, read back as written, found with their suite, and those that ship are of the present rows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from bench import registry
from bench.errors import BenchError, CardError
from bench.record import Record
from leaderboard.gate import noise
from leaderboard.gate.margins import Seeds
from leaderboard.gate.noise import ColumnNoise, Measured, NoiseCard
from leaderboard.gate.replicates import calibrate
from leaderboard.store import committed_folder, read_rows

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "tasks" / "suites" / noise.FOLDER).glob("*.toml"))


def a_column(name: str = "gain_80ms", **more: Any) -> ColumnNoise:
    given = {"task": "delta_nll", "version": 1, "column": name, "dataset": "synthspeech", "codec": "minicodec"}
    return ColumnNoise(**(given | {"unit": "nats/frame", "sd": 0.3, "df": 2, "bootstrap": 0.1} | more))


def a_card(*columns: ColumnNoise) -> NoiseCard:
    return NoiseCard(suite="mini", records=("d1", 'hostile "\\\n\x7f'), columns=columns or (a_column(),))


def asked(record: Record, card: NoiseCard) -> Seeds | str:
    return Measured({"mini": card})(record, "delta_nll", record.tasks["delta_nll"].columns["gain_80ms"])


def test_it_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "mini.toml"
    card = a_card(a_column(sd=1e-9, same=2), a_column("b", sd=123456.0, untouched=1, dataset='a"b'))
    path.write_text(noise.as_toml(card), encoding="utf-8")
    assert noise.read(path) == card
    assert noise.as_toml(noise.read(path)) == path.read_text("utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sd = 0.3", "sd = -0.3", "sd"),
        ("sd = 0.3", "sd = nan", "finite"),
        ("df = 2", "df = 0", "df"),
        ("df = 2", "df = 2\nhand = 1", "hand"),
        ('suite = "mini"', 'suite = "full"', "expected noise of suite mini, got full"),
    ],
)
def test_another_card_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "mini.toml"
    path.write_text(noise.as_toml(a_card()).replace(old, new), encoding="utf-8")
    with pytest.raises((CardError, BenchError), match=message):
        noise.read(path)


def test_it_is_looked_up_by_board_task_and_column(made: Any) -> None:
    assert asked(made.make(), a_card()) == Seeds(0.3, 2)
    elsewhere = "no noise was measured for suite mini on synthspeech and mimi"
    assert asked(made.make(codec="mimi"), a_card()) == elsewhere
    assert (
        asked(made.make(), a_card(a_column("b"))) == "delta_nll gain_80ms: no row under a second seed has this column"
    )
    assert Measured({})(
        made.make(suite="none_such"), "delta_nll", made.make().tasks["delta_nll"].columns["gain_80ms"]
    ) == ("no noise was measured for suite none_such")


def test_noise_of_another_version_or_unit_is_not_used(made: Any) -> None:
    said = asked(made.make(), a_card(a_column(version=2)))
    assert said == "delta_nll: its noise was measured at version 2, the rows have 1: not used"
    assert "its noise is in dB, the rows in nats/frame: not used" in str(
        asked(made.make(), a_card(a_column(unit="dB")))
    )


def test_columns_steady_each_other_within_a_board(made: Any) -> None:
    """Ratios 2 sd² / bootstrap² of 2 everywhere but in one column, which comes nearer to them."""
    alike = [a_column(f"c{i}", sd=0.1 * (i + 1), bootstrap=0.1 * (i + 1)) for i in range(11)]
    found = noise.steadied(a_card(a_column(sd=0.4, bootstrap=0.1), *alike))
    odd = found["synthspeech", "minicodec", "delta_nll", "gain_80ms"]
    assert 0.1 < odd.sd < 0.4 and odd.df > 2
    assert noise.steadied(a_card())["synthspeech", "minicodec", "delta_nll", "gain_80ms"] == Seeds(0.3, 2)


def test_a_column_that_seeds_do_not_reach_stays_without_noise() -> None:
    still = a_column("still", sd=0.0, bootstrap=0.0, df=6)
    found = noise.steadied(a_card(still, *(a_column(f"c{i}") for i in range(9))))
    assert found["synthspeech", "minicodec", "delta_nll", "still"] == Seeds(0.0, 6)


# --- what ships -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows() -> list[Record]:
    return read_rows(committed_folder())


def test_there_are_cards_of_the_suites_with_replicates() -> None:
    assert {"mini", "generation"} <= {path.stem for path in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_card_is_of_the_committed_rows(rows: list[Record], path: Path) -> None:
    made = noise.as_toml(calibrate(rows, path.stem))
    again = f"bench calibrate-noise --suite {path.stem} --write {path.relative_to(ROOT)}"
    assert path.read_text("utf-8") == made, again


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_card_is_found_and_is_no_suite(path: Path) -> None:
    assert noise.file_of(path.stem) == path
    assert path not in registry.suite_files().values()
    assert all(math.isfinite(s.sd) and s.df >= 1 for s in noise.steadied(noise.read(path)).values())


def test_every_judged_column_of_a_replicated_row_has_noise(rows: list[Record]) -> None:
    (row,) = (r for r in rows if r.suite == "mini" and r.submission.name == "rssm_v1")
    measured = Measured()
    for task, entry in row.tasks.items():
        for values in entry.columns.values():
            if values.column.better != "none" and values.column.margin is not None:
                assert isinstance(measured(row, task, values), Seeds), (task, values.column.name)
