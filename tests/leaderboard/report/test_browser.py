"""The site in headless Chromium, from file://: what a reader does, on a desk and on a phone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench.config import ColumnCard
from leaderboard.board import boards
from leaderboard.compare import difference
from leaderboard.comparisons import holm, p_value
from leaderboard.report.build import build
from leaderboard.shown import bounds, factor, number, scaled
from leaderboard.store import gather
from tests.leaderboard.conftest import Factory
from tests.leaderboard.report.conftest import draw, keep_samples, put

PAYLOAD = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`--></script>{{ 7*7 }}"
TURNED = "abc\u202egnp.exe\u2066\u200f"
MODES = {"original": 200.0, "codec": 220.0, "prior": 300.0}


class Visit(NamedTuple):
    """An open page and everything that went wrong on it."""

    page: Any
    wrong: list[str]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five rows on one board, one of them a control, and one on another board."""
    made = Factory()
    rows = [made.make(f"row_{k}", made.planned_tasks(1 + 0.15 * k, k), parameters={"k": k}) for k in range(4)]
    rows.append(made.make("floor", made.planned_tasks(0.1, 9), control="floor"))
    folder = put(tmp_path_factory.mktemp("records"), *rows, made.make("elsewhere", suite="quick"))
    for place, record in enumerate(rows[:2]):
        keep_samples(record, folder, MODES | {"prior": 300.0 + place})
    return folder


@pytest.fixture(scope="module")
def site(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build(folder, records, draw=draw)
    return folder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that a stranger writes is an attack, or 10,000 characters long."""
    made = Factory()
    long = "long" * 2500

    def card(text: str) -> ColumnCard:
        return made.column("gain_80ms", text).model_copy(update={"help": text, "unit": text, "shown": ""})

    rows = []
    for k, text in enumerate((PAYLOAD, TURNED, long)):
        tasks = {
            "delta_nll": made.entry({card(PAYLOAD): made.spread(k)}, notes={text: text}),
            "broken": made.entry(status="failed", reason=text),
        }
        record = made.make("name", tasks, parameters={text: text})
        submission = {"name": text, "title": text, "authors": text, "paper": text, "plugin": text}
        submission["training_data"] = text
        rows.append(
            record.model_copy(
                update={
                    "submission": record.submission.model_copy(update=submission),
                    "command": f"bench run {text}",
                    "environment": record.environment.model_copy(update={"processor": text, "packages": {text: text}}),
                }
            ).sealed()
        )
    folder = tmp_path_factory.mktemp("hostile")
    for k, record in enumerate(rows):
        (folder / f"{k}.json").write_text(record.model_dump_json())
    keep_samples(rows[0], folder, MODES, {"u000": PAYLOAD, "u001": long})
    (folder / "<img src=x onerror=alert(3)>.json").write_text("{")
    out = tmp_path_factory.mktemp("hostile-site")
    build(out, folder, draw=draw)
    return out


@pytest.fixture
def visit(browser: Any) -> Iterator[Any]:
    """Open a page of a site; at the end nothing may have gone wrong on any."""
    opened: list[Visit] = []
    contexts = []

    def call(site: Path, name: str, width: int = 1280, **settings: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, reduced_motion="reduce", **settings)
        contexts.append(context)
        page, wrong = context.new_page(), []
        page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        # a request that the next page cut off did not fail
        page.on(
            "requestfailed", lambda r: None if r.failure == "net::ERR_ABORTED" else wrong.append(f"failed: {r.url}")
        )
        page.on("request", lambda r: None if r.url.startswith("file://") else wrong.append(f"asked for {r.url}"))
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto((site / name).as_uri())
        opened.append(Visit(page, wrong))
        return page

    yield call
    wrong = [text for one in opened for text in one.wrong]
    for context in contexts:
        context.close()
    assert not wrong


def every_page(site: Path) -> list[str]:
    return sorted(str(path.relative_to(site)) for path in site.rglob("*.html"))


def only(site: Path, kind: str, where: str = "mini") -> str:
    return sorted(str(p.relative_to(site)) for p in (site / kind).glob("*.html") if where in p.name)[0]


def until(page: Any, condition: str, seconds: float = 10.0) -> None:
    """Wait for a condition. The library's own way evaluates text in the page, which its policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(20)


def test_sorting_turns_the_order_and_says_so(site: Path, visit: Any) -> None:
    page = visit(site, "index.html")
    task = page.locator("section.task", has_text="rollout_gap").first
    head = task.locator("thead th", has_text="gap 160").first
    names = task.locator("tbody.models tr[data-r] th")

    def values() -> list[float]:
        cells = task.locator("tbody.models tr[data-r] td:nth-child(3)")
        return [float(v) for v in cells.evaluate_all("cells => cells.map(cell => cell.dataset.v)")]

    assert head.get_attribute("aria-sort") == "none"
    head.locator(".sort").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert values() == sorted(values()) and len(values()) == 4
    first = names.first.inner_text()
    head.locator(".sort").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert values() == sorted(values(), reverse=True)
    assert names.first.inner_text() != first
    task.locator("thead th.name .sort").click()
    assert head.get_attribute("aria-sort") == "none"
    assert names.all_inner_texts() == ["row_0", "row_1", "row_2", "row_3"]
    # controls stay apart
    assert task.locator("tbody").last.locator("tr[data-r] th").all_inner_texts() == ["floor floor"]


def test_filters_hide(site: Path, visit: Any) -> None:
    page = visit(site, "index.html")
    visible = page.locator("tr[data-r]:visible")
    whole = visible.count()
    page.fill("#f-text", "ROW_2")
    assert {text.split()[0] for text in page.locator("tr[data-r]:visible th").all_inner_texts()} == {"row_2"}
    assert page.locator("#f-count").inner_text() == "1 of 6 rows"
    page.fill("#f-text", "nobody")
    assert visible.count() == 0 and page.locator(".nothing:visible").count() > 0
    page.fill("#f-text", "")
    page.uncheck("#f-controls")
    assert page.locator("tr[data-r]:visible", has_text="floor").count() == 0
    page.check("#f-controls")
    page.select_option("#f-suite", "quick")
    assert page.locator(".boardsection:visible").count() == 1
    page.select_option("#f-suite", "")
    assert visible.count() == whole


def test_columns_ranks_and_help(site: Path, visit: Any) -> None:
    page = visit(site, "index.html")
    task = page.locator("section.task").first
    assert task.locator("thead th:visible").count() == 1 + 5
    task.locator(".more").click()
    assert task.locator("thead th:visible").count() == 1 + 9
    assert task.locator(".more").get_attribute("aria-pressed") == "true"
    assert task.locator("td i:visible").count() == 0
    page.check("#f-ranks")
    assert task.locator("td i:visible").count() > 0
    task.locator("button.q").first.click()
    words = page.locator("#help").inner_text()
    for part in ("ΔNLL 80 ms", "bit/s", "higher is better", "delta_nll:gain_80ms", "weighted mean", "delta_nll.toml"):
        assert part in words
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()


@pytest.mark.parametrize("order", [(0, 1, 2), (3, 1)])
def test_compare_shows_what_python_gives(site: Path, records: Path, visit: Any, order: tuple[int, ...]) -> None:
    page = visit(site, only(site, "compare"))
    places = page.locator("#r0 option").all_inner_texts()
    for k in range(4):
        name = f"row_{order[k]}" if k < len(order) else ""
        page.select_option(f"#r{k}", str(places.index(name)) if name else "")
    page.check("#every")
    (board, *_) = [b for b in boards(gather(records).rows) if b.suite == "mini"]
    rows = {row.name: row.record for row in board.rows}
    reference, *others = (f"row_{k}" for k in order)
    seen = 0
    for task, entry in rows[reference].tasks.items():
        for column, values in entry.columns.items():
            card = values.column
            changes = {}
            for name in others:
                change = difference(card, values, rows[name].tasks[task].columns[column], board.rows[0].speakers)
                changes[name] = scaled(change, factor(card, 12.5))
            adjusted = holm({name: p_value(change) for name, change in changes.items()})
            line = page.locator(f'tr[data-column="{column}"]').first.locator("td").all_inner_texts()[1:]
            for name, shown in zip(others, line, strict=True):
                change, text = changes[name], " ".join(shown.split()).replace("+", "")
                assert number(change.value, card.decimals) == text.split()[0]
                assert bounds(change, card.decimals) in text
                p = adjusted[name]
                assert ("p < 0.001" if p < 0.001 else f"p = {p:.3f}") in text
                better = {"higher": change.value > 0, "lower": change.value < 0, "one": change.value < 0}
                told = change.low > 0 or change.high < 0
                mark = "◆" if card.better == "none" else "▲" if better.get(card.better) else "▼"
                assert (mark in text) == told
                seen += 1
    assert seen == 19 * len(others)
    named = [name for name in page.locator("#compared tbody th").all_inner_texts() if name.startswith("gap ")]
    assert [name.split()[1] for name in named] == ["80", "160", "320", "640", "1280"]


def test_playing_plays_one_at_a_time(site: Path, visit: Any) -> None:
    page = visit(site, only(site, "samples"))
    clips = page.locator("a.play")
    assert clips.count() == 2 + 2
    assert page.locator("img").evaluate_all("all => all.every(i => i.alt && i.loading === 'lazy')")
    assert page.locator("audio").get_attribute("preload") == "none"
    clips.first.click()
    until(page, "document.getElementById('audio').currentTime > 0.1")
    assert clips.first.get_attribute("aria-pressed") == "true"
    clips.nth(2).press(" ")
    until(page, "document.getElementById('audio').currentTime > 0.1")
    assert clips.evaluate_all("all => all.map(a => a.getAttribute('aria-pressed'))") == ["false"] * 2 + [
        "true",
        "false",
    ]
    assert "row_" in page.locator("#now").inner_text()
    clips.nth(2).click()
    assert page.evaluate("document.getElementById('audio').paused")
    assert page.locator("audio").count() == 1


def test_figures_have_words_and_numbers(site: Path, visit: Any) -> None:
    page = visit(site, only(site, "figures"))
    drawn = page.locator("[role=img]")
    assert drawn.get_attribute("aria-label") == "Gain falls."
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert drawn.locator("path").evaluate("p => getComputedStyle(p).stroke") == "rgb(130, 184, 255)"
    page.locator("summary", has_text="The numbers").click()
    assert page.locator("section.figure tbody tr:visible").count() == 5


def test_the_theme_turns_and_stays(site: Path, visit: Any) -> None:
    page = visit(site, "index.html", color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    for theme in ("light", "dark"):
        page.click("#theme")
        assert page.locator("#theme").inner_text() == f"Theme: {theme}"
    assert page.evaluate(ground) == "rgb(16, 19, 23)"
    page.goto((site / only(site, "rows")).as_uri())
    assert page.evaluate(ground) == "rgb(16, 19, 23)"
    dark = visit(site, "index.html", color_scheme="dark")
    assert dark.evaluate(ground) == "rgb(16, 19, 23)"


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_scrolls_sideways(site: Path, hostile: Path, visit: Any, width: int) -> None:
    page = visit(site, "index.html", width)
    for where in (site, hostile):
        for name in every_page(where):
            page.goto((where / name).as_uri())
            page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name}: {wide} px"


def test_what_strangers_wrote_is_text(hostile: Path, visit: Any) -> None:
    page = visit(hostile, "index.html")
    assert PAYLOAD[:20] in page.locator("main").inner_text()
    for name in every_page(hostile):
        page.goto((hostile / name).as_uri())
        assert page.locator("[onerror], img[src=x], main script:not([type='application/json'])").count() == 0
        words = page.evaluate("document.body.textContent")
        assert not any(mark in words for mark in "\u202e\u2066\u200f")
        assert "49" not in page.title()
        biggest = page.evaluate(
            "Math.max(...[...document.querySelectorAll('th, h1, h2, h3, option')]"
            ".map(e => e.textContent.trim().length))"
        )
        assert biggest < 400, name
    rows = [name for name in every_page(hostile) if name.startswith("rows/")]
    whole = ""
    for name in rows:
        page.goto((hostile / name).as_uri())
        whole += page.locator("main").text_content()
    assert "long" * 2500 in whole and PAYLOAD in whole
    page.goto((hostile / only(hostile, "compare")).as_uri())
    assert "<script>alert(1)</script>" in page.locator("#compared").inner_text()


def test_keyboard_reaches_everything_and_shows_where(site: Path, visit: Any) -> None:
    page = visit(site, "index.html")
    seen = []
    for _ in range(14):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "(() => { const e = document.activeElement; return [e.id || e.className || e.textContent.trim(),"
            " getComputedStyle(e).outlineStyle !== 'none' && e.matches(':focus-visible')]; })()"
        )
        seen.append(found[0])
        assert found[1], f"{found[0]}: the focus is not seen"
    assert {"skip", "theme"} <= set(seen)
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every(e => e.tabIndex === 0)")
    assert page.evaluate("[...document.querySelectorAll('main table')].every(t => t.caption)")
    assert page.evaluate("[...document.querySelectorAll('thead th')].every(t => t.scope === 'col')")
    unnamed = "[...document.querySelectorAll('button, a, input, select')].filter(e => !(e.textContent.trim()"
    assert page.evaluate(f"{unnamed} || e.labels?.length || e.getAttribute('aria-label'))).length") == 0


CONTRAST = """
() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const bad = new Set();
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest("svg, option, select")) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.add(`${e.tagName}.${e.className}: ${ratio.toFixed(2)}`);
  }
  return [...bad];
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_enough_in_both_themes(site: Path, visit: Any, scheme: str) -> None:
    page = visit(site, "index.html", color_scheme=scheme)
    for name in ("index.html", only(site, "compare"), only(site, "samples"), only(site, "rows")):
        page.goto((site / name).as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        assert page.evaluate(CONTRAST) == []


def test_a_command_can_be_copied(site: Path, visit: Any) -> None:
    page = visit(site, only(site, "rows"), permissions=["clipboard-read", "clipboard-write"])
    page.locator("[data-copy]").click()
    until(page, "document.querySelector('[data-copy]').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()").endswith("bench run")
