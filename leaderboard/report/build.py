"""From records to a site, top to bottom: rows, boards, tables, comparisons, figures, samples, pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.config import TaskCard
from bench.errors import BenchError
from bench.progress import Bar
from leaderboard import words
from leaderboard.board import Board, Row, boards
from leaderboard.headings import installed_cards
from leaderboard.references import References, read_references
from leaderboard.report import compared, curves, listening, media, pages, tables
from leaderboard.report.curves import Curve
from leaderboard.report.explained import sources
from leaderboard.report.figure import Figure
from leaderboard.report.forest import forest
from leaderboard.report.names import slug
from leaderboard.report.pairs import ALL_PAIRS
from leaderboard.report.provenance import provenance
from leaderboard.report.site import Site
from leaderboard.report.tables import Leader, Table
from leaderboard.show import only
from leaderboard.store import Gathered, gather
from leaderboard.text import plain
from leaderboard.view import TaskView, task_views

Draw = Callable[[Board, Sequence[TaskView], Mapping[str, Curve]], Sequence[Figure]]


@dataclass(frozen=True)
class Section:
    """One board on the page; `compare`, `figures` and `samples` are pages, "" where there is nothing to show."""

    board: Board
    anchor: str
    title: str
    views: Sequence[TaskView]
    tables: Sequence[Table]
    leaders: Sequence[tuple[str, Sequence[Leader]]]
    about: Sequence[str]
    samples: dict[str, media.Samples]
    utterances: Sequence[listening.Listening] = ()
    figures: Sequence[Figure] = ()
    no_figures: Sequence[str] = ()

    @property
    def compare(self) -> str:
        """The page on which rows are compared."""
        return f"compare/{self.anchor}.html" if len(self.board.rows) > 1 else ""

    @property
    def figures_page(self) -> str:
        """The page of the figures, or of why there are none."""
        return f"figures/{self.anchor}.html" if self.figures or self.no_figures else ""

    @property
    def samples_page(self) -> str:
        """The page of the first utterance."""
        return self.utterances[0].page if self.utterances else ""


@dataclass(frozen=True)
class Built:
    """What a build made, for the command to say."""

    rows: int
    boards: int
    pages: int
    left_out: int


def build(
    out: Path,
    records: Path,
    fresh: Path | None = None,
    suite: str | None = None,
    docs_url: str = "",
    bar: Bar | None = None,
    draw: Draw | None = None,
) -> Built:
    """Write the site of a folder of records.

    Args:
        out: the site's folder.
        fresh: a folder whose rows are laid over those of `records` and marked.
        suite: only this suite, and those shown beside it.
        docs_url: of the documentation's site, for links to formulas.
        draw: what draws a board's figures; None: `leaderboard.report.figures`.

    Raises:
        RecordError: a folder of records that does not exist.
        UnknownName: no such suite.
        BenchError: a folder that cannot be written.
    """
    bar = bar or Bar(quiet=True)
    base, over = gather(records), Gathered() if fresh is None else gather(fresh)
    found = boards(base.rows, over.rows)
    found = found if suite is None else only(found, suite, None, None)
    site = Site(out)
    for path in sorted(pages.STATIC.iterdir()):
        site.write(f"static/{path.name}", path.read_bytes())
    cards = installed_cards({name for board in found for row in board.rows for name in row.record.tasks})
    folders = {False: records, True: fresh or records}
    sections = [_section(b, cards, read_references(), docs_url, folders, site, bar, draw) for b in found]
    sections.sort(key=_place)
    made = pages.environment()
    faults = [(fault, where) for where, part in (("", base), ("fresh", over)) for fault in part.faults]
    shared: dict[str, Any] = {"sections": sections, "faults": faults, "docs_url": docs_url}
    count = sum(len(section.board.rows) for section in sections)
    _pages(site, made, shared, sections, cards, bar, count)
    rows = [row for section in sections for row in section.board.rows]
    search = {tables.row_page(row): _search(row) for row in rows}
    summary = {
        "rows": len(rows),
        "made": max((row.record.created[:10] for row in rows), default=""),
        "left_out": sum(len(section.board.left_out) for section in sections),
        "families": sorted({row.record.submission.plugin for row in rows}),
        "suites": sorted({section.board.suite for section in sections}),
    }
    leading = [section for section in sections if section.leaders]
    more: dict[str, Any] = {"summary": summary, "search": search, "leading": leading}
    more["forest"] = forest(sections[0].board, sections[0].views) if sections else None
    site.finish(pages.render(made, "index.html.j2", "", shared, **more))
    return Built(len(rows), len(sections), sum(name.endswith(".html") for name in site.files), len(faults))


def _place(section: Section) -> tuple[bool, bool, int, str]:
    """Boards of models that are ranked first, and of these the one with most rows."""
    return section.board.of_codecs, not section.leaders, -len(section.board.rows), section.title


def _search(row: Row) -> tuple[str, str]:
    """What the filter looks in, and the row's family."""
    made = row.record.submission
    return plain(f"{row.name} {made.title} {made.plugin} {made.authors}").lower(), made.plugin


def _section(
    board: Board,
    cards: dict[str, TaskCard],
    references: References,
    docs_url: str,
    folders: dict[bool, Path],
    site: Site,
    bar: Bar,
    draw: Draw | None,
) -> Section:
    title = " · ".join(plain(part, 80) for part in (board.suite, board.dataset, board.codec))
    bar.update(f"{title}: tables", 0, 1)
    views = task_views(board, wide=True)
    places = sources({view.name for view in views})
    about = [
        *words.legend(views, "bold:", tables.named),
        words.interval_label(board, views),
        *words.provenance(board, tables.named),
    ]
    shown = [tables.table(board, view, cards, places, references, docs_url) for view in views]
    leading = [(t.title, tables.leaders(view, board)) for t, view in zip(shown, views, strict=True)]
    found: dict[str, media.Samples] = {}
    for done, row in enumerate(board.rows):
        bar.update(f"{title}: samples", done, len(board.rows))
        found[row.name] = media.samples(row.record, folders[row.new], site)
    bar.update(f"{title}: figures", 0, 1)
    figures, why = _figures(board, views, draw, folders)
    section = Section(
        board=board,
        anchor=slug(board.suite, board.dataset, board.codec),
        title=title,
        views=views,
        tables=shown,
        leaders=[(title, leaders) for title, leaders in leading if leaders],
        about=[line for line in about if line],
        samples=found,
        figures=figures,
        no_figures=why,
    )
    return replace(section, utterances=listening.pages(board, compared.ordered(views, board), found))


def _figures(
    board: Board, views: Sequence[TaskView], draw: Draw | None, folders: Mapping[bool, Path]
) -> tuple[Sequence[Figure], Sequence[str]]:
    """The figures of a board, and what is missing of them: a table is worth having without them."""
    found, said = dict[str, Curve](), list[str]()
    for new in sorted({row.new for row in board.rows}):
        rows = tuple(row for row in board.rows if row.new == new)
        read, faults = curves.of_board(replace(board, rows=rows), folders[new])
        found |= read
        said += [f"training curve of {plain(name)}: {plain(why)}" for name, why in faults.items()]
    try:
        return tuple((draw or _drawn)(board, views, found)), said
    except BenchError as error:
        return (), [plain(str(error)), *said]


def _drawn(board: Board, views: Sequence[TaskView], found: Mapping[str, Curve]) -> Sequence[Figure]:
    # matplotlib takes a second to load
    from leaderboard.report.figures import figures

    return figures(board, views, found)


def _pages(
    site: Site, made: Any, shared: dict[str, Any], sections: Sequence[Section], cards: Any, bar: Bar, count: int
) -> None:
    """Every page but the index."""
    done = 0
    for section in sections:
        columns, at = sum(len(view.columns) for view in section.views), 0

        def advance(title: str = section.title, columns: int = columns) -> None:
            nonlocal at
            at += 1
            bar.update(f"{title}: comparisons", at, columns)

        if section.compare:
            data = compared.data(section.board, section.views, cards, advance)
            label = words.interval_label(section.board, section.views)
            more = {"section": section, "data": data, "interval": label, "limit": ALL_PAIRS}
            page = pages.render(made, "compare.html.j2", "../", shared, **more)
            site.write(section.compare, page)
        if section.figures_page:
            site.write(section.figures_page, pages.render(made, "figures.html.j2", "../", shared, section=section))
        broken = [(name, found.fault) for name, found in section.samples.items() if found.fault]
        for place, heard in enumerate(section.utterances):
            bar.update(f"{section.title}: pages of samples", place, len(section.utterances))
            more = {"section": section, "heard": heard, "place": place, "broken": broken}
            site.write(heard.page, pages.render(made, "samples.html.j2", "../", shared, **more))
        order = compared.ordered(section.views, section.board)
        for row in section.board.rows:
            done += 1
            bar.update("pages of rows", done, count)
            site.write(tables.row_page(row), _row(made, shared, section, row, order.index(row.name)))


def _row(made: Any, shared: dict[str, Any], section: Section, row: Row, index: int) -> str:
    heard = [(h.utterance, h.page) for h in section.utterances if h.utterance in section.samples[row.name].clips]
    return pages.render(
        made,
        "row.html.j2",
        "../",
        shared,
        section=section,
        row=row,
        index=index,
        about=provenance(row, section.board),
        heard=heard,
        fault=section.samples[row.name].fault,
        values=[(t, line) for t in section.tables for line in (*t.models, *t.controls) if line.row is row],
    )
