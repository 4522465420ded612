"""The site without a browser: what is in it, that it is the same again, and what is said of what is missing."""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.errors import BenchError
from bench.record import TaskEntry
from leaderboard.board import Board
from leaderboard.report import build as building
from leaderboard.report.build import build
from leaderboard.report.figure import Figure
from leaderboard.report.site import LISTING, Site
from leaderboard.shown import bounds, number
from leaderboard.store import committed_folder
from leaderboard.view import TaskView
from tests.leaderboard.report.conftest import draw, keep_samples, put


def text_of(page: Path) -> str:
    """The words of a page, without its tags."""
    return html.unescape(re.sub(r"<[^>]+>", " ", page.read_text("utf-8").replace("<wbr>", "")))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_committed_row_and_interval_is_on_the_page(tmp_path: Path) -> None:
    viewed: list[tuple[Board, Sequence[TaskView]]] = []

    def look(board: Board, views: Sequence[TaskView], curves: Any) -> list[Figure]:
        viewed.append((board, views))
        return []

    built = build(tmp_path, committed_folder(), draw=look)
    names = sorted(path.name for path in committed_folder().glob("*.json"))
    assert sorted(row.record.filename for board, _ in viewed for row in board.rows) == names
    assert built.rows == len(names) and built.left_out == 0
    page = text_of(tmp_path / "index.html")
    words = " ".join(page.split())
    intervals = set(re.findall(r"[−\d.e+]+ \[[^\]]+\]", words))
    for board, views in viewed:
        for row in board.rows:
            assert row.name in words
        for view in views:
            assert view.columns
            for column in view.columns:
                for cell in column.cells.values():
                    if cell.interval is not None:
                        value = number(cell.interval.value, column.card.decimals)
                        assert f"{value} {bounds(cell.interval, column.card.decimals)}" in intervals
    listed = json.loads((tmp_path / LISTING).read_text("utf-8"))
    assert set(listed) | {LISTING} == set(digests(tmp_path))


def test_every_local_address_of_the_site_is_there(tmp_path: Path, made: Any) -> None:
    first, second = (made.make(f"row/{k}", made.planned_tasks(k)) for k in (1, 2))
    folder = put(tmp_path / "records", first, second)
    keep_samples(first, folder, {"original": 200.0, "prior": 300.0})
    build(tmp_path / "site", folder, draw=draw)
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) == 1 + 2 + 1 + 1 + 2
    for page in pages:
        for address in re.findall(r'(?:href|src)="([^"#]*)[^"]*"', page.read_text("utf-8")):
            assert "://" not in address, address
            assert not address or (page.parent / address).is_file(), f"{page}: {address}"


def test_the_same_records_give_the_same_bytes(tmp_path: Path, made: Any) -> None:
    record = made.make()
    folder = put(tmp_path / "records", record, made.make("other", made.planned_tasks(1.1, 3)))
    keep_samples(record, folder, {"original": 200.0, "prior": 300.0})
    build(tmp_path / "a", folder, draw=draw)
    build(tmp_path / "b", folder, draw=draw)
    again = digests(tmp_path / "a")
    assert again == digests(tmp_path / "b")
    build(tmp_path / "a", folder, draw=draw)
    assert digests(tmp_path / "a") == again


def test_marks_and_reasons(tmp_path: Path, made: Any) -> None:
    tasks = made.planned_tasks()
    failed = {**tasks, "rollout_gap": made.entry(status="failed", reason="exploded at frame 7")}
    old = {**tasks, "delta_nll": made.entry(version=0)}
    rows = [
        made.make("good", tasks),
        made.make("also", made.planned_tasks(1.2, 5)),
        made.make("failing", failed),
        made.make("older", old),
        made.make("random", tasks, trained=False),
        made.make("unbelieved", tasks, selftest=None),
        made.make("floor", tasks, control="floor"),
        made.make("elsewhere", tasks, dataset_digest="other", created="2020-01-01T00:00:00Z"),
    ]
    build(tmp_path / "site", put(tmp_path / "records", *rows), draw=draw)
    page = (tmp_path / "site" / "index.html").read_text("utf-8")
    words = " ".join(text_of(tmp_path / "site" / "index.html").split())
    assert "failed failing: exploded at frame 7" in words
    assert "not in this table: older (older version 0)" in words
    assert "untrained : a codec with random weights, never ranked" in words
    assert "‡ : no passed self-test for this code" in words
    assert "Controls, never ranked floor floor" in words
    assert "elsewhere : its synthspeech has other content than the newest row's" in words
    assert 'class="n best"' in page and 'class="n failed"' in page


def test_rows_laid_over_are_marked(tmp_path: Path, made: Any) -> None:
    fresh = made.make(created="2026-01-02T03:04:05Z")
    keep_samples(fresh, put(tmp_path / "fresh", fresh), {"prior": 300.0})
    build(tmp_path / "site", put(tmp_path / "records", made.make()), tmp_path / "fresh", draw=draw)
    assert ">new<" in (tmp_path / "site" / "index.html").read_text("utf-8")
    assert list((tmp_path / "site" / "samples").iterdir())


def test_help_names_the_formula_or_the_card(tmp_path: Path, made: Any) -> None:
    folder = put(tmp_path / "records", made.make())
    build(tmp_path / "a", folder, draw=draw)
    build(tmp_path / "b", folder, draw=draw, docs_url="https://docs.example/latentbench/")
    assert "<code>tasks/delta_nll.toml</code>" in (tmp_path / "a" / "index.html").read_text("utf-8")
    address = '<a href="https://docs.example/latentbench/tasks/delta_nll.html">'
    assert address in (tmp_path / "b" / "index.html").read_text("utf-8")


def test_provenance_is_whole(tmp_path: Path, made: Any) -> None:
    record = made.make(parameters={"width": 192, "note": "</pre>"}, dirty=True)
    build(tmp_path / "site", put(tmp_path / "records", record), draw=draw)
    (page,) = (tmp_path / "site" / "rows").iterdir()
    words = text_of(page)
    facts = [record.environment.commit, record.digest, record.submission.code_digest, "A. Author", "the training split"]
    for fact in [*facts, record.suite_digest, record.dataset.digest, "git checkout", "bench run", '"width": 192', "t1"]:
        assert str(fact) in words
    assert "the checkout had changes" in words


# what is missing or broken


def test_an_empty_folder_makes_a_page_that_says_so(tmp_path: Path, run: Callable[..., Any]) -> None:
    (tmp_path / "records").mkdir()
    code, said = run("report", "--html", tmp_path / "site", "--records", tmp_path / "records", "--quiet")
    assert code == 0 and "0 rows" in said
    assert "There are no records here" in text_of(tmp_path / "site" / "index.html")


def test_files_that_cannot_be_read_are_named(tmp_path: Path, made: Any, run: Callable[..., Any]) -> None:
    folder = put(tmp_path / "records", made.make())
    (folder / "broken.json").write_text("{")
    newer = json.loads(next(folder.glob("raw_ar*")).read_text("utf-8"))
    (folder / "newer.json").write_text(json.dumps({**newer, "schema_version": 99}))
    code, said = run("report", "--html", tmp_path / "site", "--records", folder, "--quiet")
    assert code == 0 and "1 rows" in said and "2 files left out" in said
    words = " ".join(text_of(tmp_path / "site" / "index.html").split())
    assert "broken.json : not a record" in words
    assert "newer.json : expected schema version 2, got 99; a newer latentbench wrote it" in words


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda here: (here / "prior/u000.flac").unlink(), "prior/u000.flac is missing"),
        (lambda here: (here / "prior/u000.flac").write_text("no"), "prior/u000.flac is not a flac file"),
        (lambda here: (here / "prior/u000.png").unlink(), "prior/u000.png is missing"),
        (lambda here: (here / "manifest.json").write_text("{"), "manifest.json is damaged"),
        (lambda here: (here / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda here: rename(here, "prior/u000.flac", "../../secret.flac"), "a path outside the folder of samples"),
        (lambda here: rename(here, "prior/u000.flac", "/etc/secret.flac"), "/etc/secret.flac is missing"),
        (lambda here: rename(here, "prior/u000.flac", "prior/u000.html"), "expected .flac"),
    ],
)
def test_broken_samples_are_said_in_place(tmp_path: Path, made: Any, harm: Callable[[Path], Any], said: str) -> None:
    record = made.make()
    folder = put(tmp_path / "records", record)
    here = keep_samples(record, folder, {"original": 200.0, "prior": 300.0})
    (folder / "secret.flac").write_bytes(b"fLaC secret")
    harm(here)
    build(tmp_path / "site", folder, draw=draw)
    pages = [*(tmp_path / "site").rglob("samples/*.html"), *(tmp_path / "site").rglob("rows/*.html")]
    assert said in " ".join(" ".join(text_of(page) for page in pages).split())
    assert not any(b"secret" in path.read_bytes() for path in (tmp_path / "site").rglob("media/*"))


def rename(here: Path, old: str, new: str) -> None:
    manifest = json.loads((here / "manifest.json").read_text("utf-8"))
    manifest["files"][new] = manifest["files"].pop(old)
    (here / "manifest.json").write_text(json.dumps(manifest))


def test_a_link_out_of_the_samples_is_not_followed(tmp_path: Path, made: Any) -> None:
    record = made.make()
    folder = put(tmp_path / "records", record)
    here = keep_samples(record, folder, {"original": 200.0, "prior": 300.0})
    (tmp_path / "secret.flac").write_bytes(b"fLaC secret")
    (here / "prior/u000.flac").unlink()
    (here / "prior/u000.flac").symlink_to(tmp_path / "secret.flac")
    (here / "away").symlink_to(tmp_path)
    rename(here, "original/u000.flac", "away/secret.flac")
    build(tmp_path / "site", folder, draw=draw)
    assert not any(b"secret" in path.read_bytes() for path in (tmp_path / "site").rglob("media/*"))


def test_audio_that_all_rows_share_is_kept_once(tmp_path: Path, made: Any) -> None:
    rows = [made.make(f"row_{k}", made.planned_tasks(k)) for k in range(3)]
    folder = put(tmp_path / "records", *rows)
    for k, record in enumerate(rows):
        keep_samples(record, folder, {"original": 200.0, "prior": 300.0 + k})
    build(tmp_path / "site", folder, draw=draw)
    assert len(list((tmp_path / "site" / "media").glob("*.flac"))) == 1 + 3
    page = (tmp_path / "site" / "samples").iterdir()
    assert next(page).read_text("utf-8").count('class="play"') == 1 + 3


def test_a_thousand_rows_come_out(tmp_path: Path, made: Any) -> None:
    card = made.column("gain_80ms", "gain")
    first = made.make(utterances=4)
    (tmp_path / "records").mkdir()
    for k in range(1000):
        tasks = {"delta_nll": TaskEntry.model_validate(made.entry({card: made.spread(k / 1000, 0.3, k, 4)}))}
        submission = first.submission.model_copy(update={"name": f"row_{k}"})
        record = first.model_copy(update={"submission": submission, "tasks": tasks}).sealed()
        (tmp_path / "records" / record.filename).write_text(record.model_dump_json(), encoding="utf-8")
    built = build(tmp_path / "site", tmp_path / "records", draw=draw)
    assert built.rows == 1000
    page = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert page.count("<tr data-r=") == 1000
    compare = next((tmp_path / "site" / "compare").iterdir()).read_text("utf-8")
    assert "This board has more than 30 rows" in compare


def test_figures_that_cannot_be_drawn_cost_no_page(tmp_path: Path, made: Any) -> None:
    def no_figures(board: Any, views: Any, curves: Any) -> list[Any]:
        raise BenchError("figures need pip install 'latentbench[figures]'")

    build(tmp_path / "site", put(tmp_path / "records", made.make()), draw=no_figures)
    (page,) = (tmp_path / "site" / "figures").iterdir()
    assert "Not shown: figures need pip install" in text_of(page)


@pytest.mark.parametrize("where", ["records", "fresh"])
def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path, made: Any, run: Callable[..., Any], where: str) -> None:
    folder = put(tmp_path / "there", made.make())
    given = {"records": folder, "fresh": folder, where: tmp_path / "nowhere"}
    options = [part for name, value in given.items() for part in (f"--{name}", value)]
    code, said = run("report", "--html", tmp_path / "site", *options)
    assert code == 2 and "nowhere: no such folder of records" in said and "\n" not in said
    assert not (tmp_path / "site").exists()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, made: Any, run: Callable[..., Any]) -> None:
    folder = put(tmp_path / "records", made.make())
    (tmp_path / "file").write_text("")
    code, said = run("report", "--html", tmp_path / "file" / "site", "--records", folder)
    assert code == 2 and "cannot be written" in said and "\n" not in said


def test_what_others_wrote_is_left_alone(tmp_path: Path, made: Any, run: Callable[..., Any]) -> None:
    folder = put(tmp_path / "records", made.make())
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "index.html").write_text("mine")
    code, said = run("report", "--html", tmp_path / "home", "--records", folder)
    assert code == 2 and "is not of a report" in said
    assert (tmp_path / "home" / "index.html").read_text() == "mine"


def test_a_second_report_removes_its_own_old_files_only(tmp_path: Path, made: Any) -> None:
    first = put(tmp_path / "first", made.make("gone"), made.make("stays"))
    build(tmp_path / "site", first, draw=draw)
    (tmp_path / "site" / "notes.txt").write_text("mine")
    assert any("gone" in path.name for path in (tmp_path / "site" / "rows").iterdir())
    build(tmp_path / "site", put(tmp_path / "second", made.make("stays")), draw=draw)
    assert not any("gone" in path.name for path in (tmp_path / "site" / "rows").iterdir())
    assert (tmp_path / "site" / "notes.txt").read_text() == "mine"


def test_a_killed_build_leaves_no_index(tmp_path: Path, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put(tmp_path / "records", made.make(), made.make("other"))
    build(tmp_path / "site", folder, draw=draw)
    assert (tmp_path / "site" / "index.html").is_file()

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(building, "_row", killed)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "site", folder, draw=draw)
    assert not (tmp_path / "site" / "index.html").exists()
    monkeypatch.undo()
    build(tmp_path / "site", folder, draw=draw)
    assert (tmp_path / "site" / "index.html").is_file()


def test_a_medium_that_was_cut_short_is_written_again(tmp_path: Path) -> None:
    name = Site(tmp_path).medium(b"fLaC whole", ".flac")
    (tmp_path / name).write_bytes(b"fLaC")
    os.utime(tmp_path / name)
    assert Site(tmp_path).medium(b"fLaC whole", ".flac") == name
    assert (tmp_path / name).read_bytes() == b"fLaC whole"


def test_only_one_suite(tmp_path: Path, made: Any, run: Callable[..., Any]) -> None:
    folder = put(tmp_path / "records", made.make(), made.make("other", suite="quick"))
    code, said = run("report", "--html", tmp_path / "site", "--records", folder, "--suite", "quick", "--quiet")
    assert code == 0 and "1 rows" in said
    code, said = run("report", "--html", tmp_path / "site", "--records", folder, "--suite", "nope")
    assert code == 2 and "no suite among these records 'nope'" in said
