"""The text of tables: width, marks, footnotes, and names that try to break out."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest
from rich.cells import cell_len

from bench.config import ColumnCard, TaskCard
from bench.record import Record
from leaderboard.board import boards
from leaderboard.table import Format, tables

LONG = "calm_flow_matching_engram_with_an_unreasonably_long_name_v12"
HOSTILE = [
    "a | b | c",
    "x\n\n# heading",
    "<!-- leaderboard:end -->",
    "<script>alert(1)</script>",
    "[click](http://example.org)",
    "\x1b[31mred\x1b[0m",
    "\u202egnp.exe",
    "=HYPERLINK(1)",
    "名前" * 30,
    "**bold** `code` \\",
    "",
    r"\input{secret} $x$ 100% _a_",
]


def text(*records: Record, form: Format = "terminal", wide: bool = False, **more: Any) -> str:
    return tables(boards(records, more.pop("fresh", ())), form, wide, **more)


def full_board(made: Any, names: list[str]) -> list[Record]:
    """Rows with everything that can go wrong in one of them."""
    rows = []
    for i, name in enumerate(names):
        tasks = made.planned_tasks(1.0 + 0.02 * i, seed=i)
        if i == 1:
            reason = "RuntimeError: " + "the state is not finite " * 20
            tasks["rollout_gap"] = made.entry(status="failed", reason=reason)
            tasks["innovation_rate"] = made.entry(status="skipped", reason="needs innovation")
            tasks["delta_nll"]["notes"] = {"bounds": {"gain_80ms": "lower"}}
            values = tasks["reconstruction"]["columns"]["prior_pesq"]["values"]
            values.pop("u000")
            tasks["reconstruction"]["columns"]["prior_pesq"]["unscored"] = {"u000": "no speech found " * 9}
        rows.append(made.make(name, tasks, commit=f"{i:040d}", dirty=i == 2))
    return rows


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["short", "long", "hostile"])
def test_a_terminal_table_fits_80_columns(made: Any, kind: str, count: int, wide: bool) -> None:
    names = {
        "short": [f"rssm_v{i}" for i in range(count)],
        "long": [f"{LONG}{i}" for i in range(count)],
        "hostile": (HOSTILE[8:] + HOSTILE)[:count],
    }[kind]
    found = text(*full_board(made, names), wide=wide)
    assert max(cell_len(line) for line in found.splitlines()) <= 80
    for card in made.planned_columns()["delta_nll"].values():
        assert (card.title in found) == (wide or card.headline)


def test_the_worst_cell_still_fits(made: Any) -> None:
    """The longest label beside the widest numbers and a heading without a space."""
    card = made.column("gain", "Very" * 30, unit="furlongs/fortnight" * 3, decimals=99)
    values = {u: v * 1e5 - 5e5 for u, v in made.spread(1.0).items()}
    huge = made.column("huge", "huge")
    rows = [
        made.make(
            LONG + n,
            {"t": made.entry({card: values, huge: dict.fromkeys(values, -1e300)})},
            trained=n == "a",
            selftest=None,
        )
        for n in "abc"
    ]
    found = text(*rows[:1], fresh=rows[1:])
    assert max(cell_len(line) for line in found.splitlines()) <= 80
    assert "−1.00e+300" in found


def test_columns_that_do_not_fit_are_stacked_not_lost(made: Any) -> None:
    found = text(made.make("raw_ar", {"delta_nll": made.planned_tasks()["delta_nll"]}), wide=True)
    for card in made.planned_columns()["delta_nll"].values():
        assert found.count(f" {card.title}") + found.count(f"\n{card.title}") >= 1
    # nine columns of about 22 characters: three to a table
    assert found.count("\nraw_ar ") == 3


def test_a_cell_is_value_and_interval(made: Any) -> None:
    card = made.column("wer", "WER", unit="share", shown="%", better="lower", decimals=1)
    values = {f"u{i:03d}": 0.25 for i in range(40)}
    assert "25.0 [25.0, 25.0]" in text(made.make(tasks={"t": made.entry({card: values})}))
    single = text(made.make(tasks={"t": made.entry({card: {"u000": 0.25}})}))
    assert "25.0 [n = 1]" in single


def test_headers_have_unit_and_direction(made: Any) -> None:
    cards = {
        "↑": made.column("a", "A"),
        "bit/s ↓": made.column("b", "B", unit="nats/frame", shown="bit/s", better="lower"),
        "→1": made.column("c", "C", better="one", unit="1"),
        "median s": made.column("d", "D", better="none", unit="s", aggregate="median"),
        "dB ↑": made.column("e", "E", unit="dB", shown="bel"),
    }
    tasks = {"t": made.entry({card: made.spread(1.0) for card in cards.values()})}
    found = text(made.make(tasks=tasks), form="md")
    header = found.splitlines()[4]
    assert [cell.strip() for cell in header.strip("|").split("|")][1:] == [
        f"{card.title}<br>{below}" for below, card in cards.items()
    ]


def test_marks_and_their_legend(made: Any) -> None:
    card = made.column("gain", "gain", bound=True)
    base = made.spread(5.0, 3.0)
    rows = {
        "best": made.entry({card: base}),
        "tied": made.entry({card: {u: v - (0.1 if i % 2 else -0.09) for i, (u, v) in enumerate(base.items())}}),
        "behind": made.entry({card: {u: v - 1 for u, v in base.items()}}, notes={"bounds": {"gain": "lower"}}),
        "upper": made.entry({card: {u: v - 2 for u, v in base.items()}}, notes={"bounds": {"gain": "upper"}}),
        "partial": made.entry({card: {"values": dict(list(base.items())[3:]), "unscored": {"u000": "too short"}}}),
        "skips": made.entry(status="skipped", reason="needs log_prob"),
        "fails": made.entry(status="failed", reason="OutOfMemory"),
    }
    records = [made.make(n, {"t": e}) for n, e in rows.items()]
    found = text(*records, made.make("random", {"t": rows["best"]}, trained=False))
    table = found.split("Paired differences")[0]
    line = {cells[0]: cells[1:] for raw in table.splitlines() if (cells := raw.split())}
    assert line["best"][0] == "*"
    assert line["tied"][0] == "="
    assert line["behind"][0].startswith("≥")
    assert line["upper"][0].startswith("≤")
    assert line["partial"][0] == "†"
    assert line["skips"] == ["–"]
    assert line["fails"] == ["failed"]
    assert re.match(r"\d", line["UNTRAINED"][1])
    for expected in (
        "\n* best\n",
        "= tied with the best: the 95 % interval of the paired difference covers 0",
        "† some utterances have no value: not ranked",
        "† partial: 3 of 40 utterances without a value (2 × no value, 1 × too short);",
        "≥ a lower bound of the value",
        "≤ an upper bound of the value",
        "– skips: skipped: needs log_prob",
        "failed fails: OutOfMemory",
        "UNTRAINED: a codec with random weights, never ranked",
    ):
        assert expected in found


def test_the_legend_names_only_what_is_used(made: Any) -> None:
    found = text(made.make(tasks={"t": made.entry({made.column("g", "g"): made.spread(1.0)})}))
    for mark in ("*", "†", "≥", "≤", "UNTRAINED", "tied"):
        assert mark not in found


def test_paired_differences_are_in_words(made: Any) -> None:
    """3.1 bit/s less on every utterance is 3.1 bit/s less, without uncertainty."""
    card = made.column("gain_80ms", "ΔNLL 80 ms", unit="nats/frame", shown="bit/s", decimals=1)
    base = made.spread(2.0)
    less = {u: v - 3.1 / 18.0337 for u, v in base.items()}
    found = text(*(made.make(n, {"t": made.entry({card: v})}) for n, v in (("raw_ar_v1", base), ("rssm_v1", less))))
    assert "\nrssm_v1 − raw_ar_v1: ΔNLL 80 ms −3.1 [−3.1, −3.1] bit/s\n" in found


def test_differences_say_what_is_compared(made: Any) -> None:
    one = made.column("ratio", "movement ratio", better="one")
    median = made.column("rtf", "speed", better="lower", aggregate="median", unit="s")
    quiet = made.column("quiet", "quiet", headline=False)
    rows = {"a": (1.1, 2.0), "b": (0.5, 3.0)}
    records = [
        made.make(n, {"t": made.entry({one: made.spread(x, 0), median: made.spread(y, 0), quiet: made.spread(x, 0)})})
        for n, (x, y) in rows.items()
    ]
    found = text(*records, wide=True)
    assert "b − a: movement ratio, distance from 1 +0.40 [0.40, 0.40]\n" in found
    assert "b − a: speed, median of the differences +1.00 [1.00, 1.00] s\n" in found
    assert "b − a: quiet" not in found


def test_provenance_stands_under_the_board(made: Any) -> None:
    found = text(made.make("a", dirty=True), made.make("b", dirty=True))
    for line in (
        "[low, high]: 95 % bootstrap over 40 utterances, conditional on these voices",
        "codec minicodec, 12.5 frames/s",
        "made 2025-01-02",
        "commit 0123456789+dirty",
        "on cpu (x86_64), 2 threads",
    ):
        assert found.count(line) == 1


def test_rows_of_several_commits_are_told_apart(made: Any) -> None:
    found = text(made.make("a"), made.make("b", commit="f" * 40), made.make("c", commit=None))
    assert "commit 0123456789 (a); ffffffffff (b); unknown (latentbench 0.1.0) (c)" in found


def test_unknown_speakers_are_not_called_speakers(made: Any) -> None:
    found = text(made.make(speakers=40, speakers_known=False))
    assert "95 % bootstrap over 40 utterances; their speakers are not known" in found
    assert "over 40 speakers" not in found
    assert "40 speakers" in text(made.make(speakers=40))


def test_old_versions_and_left_out_rows_are_listed(made: Any) -> None:
    card = made.column("gain", "gain")
    old, new = (made.entry({card: made.spread(1.0)}, version=v) for v in (1, 2))
    rows = [made.make("a", {"t": old}), made.make("b", {"t": old}), made.make("c", {"t": new}, created="2026")]
    found = text(*rows, made.make("d", {"t": new}, dataset_digest="other"))
    assert "not in this table: a, b (older version 1)" in found
    assert "d is not shown: its synthspeech has other content than the newest row's" in found


def test_fresh_rows_are_marked(made: Any) -> None:
    found = text(made.make("a"), fresh=[made.make("b")])
    assert "\nb (new) " in found
    assert "a (new)" not in found


def test_titles_come_from_cards_of_the_same_version(made: Any) -> None:
    card = TaskCard(
        name="delta_nll",
        version=1,
        title="Predictability",
        question="How many bits does the past save?",
        columns=(ColumnCard(name="x", title="x", unit="1", better="none"),),
    )
    record = made.make(tasks={"delta_nll": made.planned_tasks()["delta_nll"]})
    for form, question in (("terminal", "How many bits"), ("md", "\nHow many bits"), ("json", '"How many bits')):
        found = text(record, form=form, cards={"delta_nll": card})
        assert "Predictability" in found
        assert question in found
    newer = card.model_copy(update={"version": 2})
    assert "Predictability" not in text(record, cards={"delta_nll": newer})


# --- other formats -----------------------------------------------------------------------------------------


def test_markdown_bolds_the_best(made: Any) -> None:
    card = made.column("gain", "gain")
    rows = [made.make(n, {"t": made.entry({card: made.spread(m, 0)})}) for n, m in (("a", 1.0), ("b", 2.0))]
    found = text(*rows, form="md")
    assert re.search(r"\| b +\| \*\*2\.00 \[2\.00, 2\.00\]\*\* \|", found)
    assert re.search(r"\| a +\| +1\.00 \[1\.00, 1\.00\] \|", found)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text_in_markdown(made: Any, name: str) -> None:
    tasks = made.planned_tasks()
    tasks["rollout_gap"] = made.entry(status="failed", reason=name)
    rows = [made.make(name, tasks), made.make("b")]
    found = text(*rows, form="md")
    for line in found.splitlines():
        if line.startswith("|"):
            assert unescaped_pipes(line) == unescaped_pipes(header_of(found, line))
    assert "<!--" not in found
    assert "<script" not in found
    assert "\x1b" not in found
    assert "\u202e" not in found
    assert "](http" not in found
    assert "\n# heading" not in found


def unescaped_pipes(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line))


def header_of(found: str, line: str) -> str:
    """The header of the table that `line` stands in."""
    lines = found.splitlines()
    position = lines.index(line)
    while position and lines[position - 1].startswith("|"):
        position -= 1
    return lines[position]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("form", ["terminal", "latex", "csv", "json"])
def test_hostile_names_break_no_format(made: Any, form: Format, name: str) -> None:
    found = text(made.make(name), made.make("b"), form=form)
    if form == "csv":
        lines = list(csv.DictReader(io.StringIO(found)))
        assert {line["submission"].removeprefix("'") for line in lines} == {name, "b"}
        assert not any(value.startswith(("=", "@", "+")) for line in lines for value in line.values())
    elif form == "json":
        assert {row["submission"] for row in json.loads(found)[0]["rows"]} == {name, "b"}
    else:
        assert "\x1b" not in found
        assert "\u202e" not in found
        assert r"\input{" not in found or form == "terminal"


def test_long_names_stay_apart(made: Any) -> None:
    names = ["x" * 60 + tail for tail in ("1", "2")] + ["y" * 12 + m + "z" * 12 for m in ("a" * 30, "b" * 30)]
    found = text(*(made.make(n, {"t": made.entry({made.column("g", "g"): made.spread(1.0)})}) for n in names))
    labels = [line.split()[0] for line in found.splitlines() if line.startswith(("xx", "yy")) and "[" in line]
    assert len(set(labels)) == 4


def test_csv_holds_unrounded_numbers(made: Any) -> None:
    card = made.column("wer", "WER", unit="share", shown="%", better="lower", decimals=0)
    failed = made.entry(status="failed", reason="why, exactly")
    rows = [
        made.make("a", {"t": made.entry({card: made.spread(1 / 3, 0)})}),
        made.make("b", {"t": made.entry({card: made.spread(0.5, 0)})}),
        made.make("c", {"t": failed}),
    ]
    lines = {line["submission"]: line for line in csv.DictReader(io.StringIO(text(*rows, form="csv")))}
    assert float(lines["a"]["value"]) == pytest.approx(100 / 3, abs=1e-12)
    assert (lines["a"]["unit"], lines["a"]["rank"], lines["b"]["rank"]) == ("%", "best", "behind")
    assert (lines["c"]["value"], lines["c"]["status"], lines["c"]["reason"]) == ("", "failed", "why, exactly")


def test_json_holds_cells_and_differences(made: Any) -> None:
    card = made.column("gain", "gain", unit="nats/frame", shown="bit/s")
    rows = [made.make(n, {"t": made.entry({card: made.spread(m, 0)})}) for n, m in (("a", 1.0), ("b", 2.0))]
    (board,) = json.loads(text(*rows, form="json"))
    (column,) = board["tasks"][0]["columns"]
    assert column["cells"]["b"]["value"] == pytest.approx(2 * 18.0337, abs=1e-3)
    assert column["minus_best"]["a"]["value"] == pytest.approx(-18.0337, abs=1e-3)
    assert column["best"] == "b"


def test_the_same_records_give_the_same_text(made: Any) -> None:
    rows = full_board(made, ["a", "b", "c"])
    assert text(*rows) == text(*reversed(rows))


def test_a_brief_table_is_of_the_first_task_and_its_best_models(made: Any) -> None:
    rows = [made.make(f"m{i:02d}", made.planned_tasks(i / 10)) for i in range(15)]
    rows.append(made.make("floor", made.planned_tasks(9.0), control="floor"))
    text = tables(boards(rows), "md", brief=True)
    shown = [line.split()[1] for line in text.splitlines() if line.startswith("| m")]
    assert shown == [f"m{i:02d}" for i in range(14, 2, -1)]
    assert "3 more rows are in the whole table" in text
    assert "! the floor floor beats" in text
    assert "rollout_gap" not in text and "detectable" not in text and "Paired" not in text and "| floor" not in text
