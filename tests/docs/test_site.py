"""The site: built strictly, whole, and asking nothing of any network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.browser import chromium
from tests.docs.blocks import PAGES, ROOT

LINKS = {"a": "href", "link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "audio": "src"}


class Page(HTMLParser):
    """Links as (tag, rel, target), and anchors, of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str, str]] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if (target := given.get(LINKS.get(tag, ""))) is not None:
            self.links.append((tag, given.get("rel", ""), target))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    for package in ("mkdocs", "material", "mkdocstrings"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'latentbench[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    # an address that nobody has: what a build asked of a network would fail
    over = {"NO_MKDOCS_2_WARNING": "1", "HTTPS_PROXY": "http://127.0.0.1:9", "LATENTBENCH_REPOSITORY": ""}
    environment = {**os.environ, **over}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> Mapping[Path, Page]:
    return {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}


def test_every_page_is_there(site: Path, pages: Mapping[Path, Page]) -> None:
    sources = {p.relative_to(ROOT / "docs").with_suffix(".html") for p in PAGES if ROOT / "docs" in p.parents}
    assert {path.relative_to(site) for path in pages} == {*sources, Path("404.html")}


def test_every_link_and_anchor_leads_somewhere(site: Path, pages: Mapping[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for _, _, target in page.links:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = there / "index.html" if there.is_dir() else there
            if not there.is_file():
                broken.append(f"{path.relative_to(site)}: {target}: no such file")
            elif parts.fragment and there.suffix == ".html" and unquote(parts.fragment) not in pages[there].anchors:
                broken.append(f"{path.relative_to(site)}: {target}: no such anchor")
    assert not broken


def test_nothing_is_asked_of_a_network(site: Path, pages: Mapping[Path, Page]) -> None:
    outside = [
        f"{path.relative_to(site)}: <{tag}> {target}"
        for path, page in pages.items()
        for tag, rel, target in page.links
        if tag != "a"
        and rel != "canonical"
        and (urlsplit(target).scheme in ("http", "https") or target.startswith("//"))
    ]
    assert not outside
    styles = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))
    assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", styles)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with chromium() as found:
        yield found


@pytest.mark.parametrize("name", ["index.html", "tasks/delta_nll.html", "faq.html", "api/contract.html"])
def test_a_browser_asks_for_nothing_outside(site: Path, browser: object, name: str) -> None:
    page = browser.new_page()  # type: ignore[attr-defined]
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((site / name).as_uri())
    page.wait_for_load_state("networkidle")
    assert page.locator("h1").count() >= 1
    # a table or a formula may scroll in its own box, never the page
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert said == []


def test_links_between_sources_lead_somewhere_too() -> None:
    broken = []
    for page in PAGES:
        text = re.sub(r"^(```|~~~).*?^\1", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        targets = re.findall(r"\]\(([^)\s#:]+)(?:#[^)]*)?\)", re.sub(r"`[^`\n]*`", "", text))
        broken += [f"{page.relative_to(ROOT)}: {to}" for to in targets if not (page.parent / to).exists()]
    assert not broken
