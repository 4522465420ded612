"""From matplotlib's SVG to one that stands inside a page: no style of its own, the page's colours, ids of its own.

Matplotlib writes `style` attributes and a `<style>` element, which would reach the whole page and which a content
security policy may refuse; presentation attributes say the same. Its ids (clip paths, markers) are the same in every
figure, so that they are prefixed; those that nothing refers to go. What was given as `series:NAME` becomes the
attribute `data-series`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
DROPPED = ("metadata", "style", "title", "script")
PAINTS = ("fill", "stroke")
SERIES = "series:"
_FONT = re.compile(r"(?:(?P<style>italic|oblique)\s+)?(?:(?P<weight>bold|\d{3})\s+)?(?P<size>[\d.]+)px")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def inlined(drawn: str, prefix: str, alt: str, colors: Mapping[str, str]) -> str:
    """An SVG element for a page.

    Args:
        drawn: what matplotlib wrote.
        prefix: of all ids; unique in the page.
        alt: what the figure shows, in words.
        colors: colour → what is written in its place.
    """
    root = ElementTree.fromstring(drawn)
    _without(root)
    used = {i for element in root.iter() for value in element.attrib.values() for i in _REFERENCE.findall(value)}
    used |= {e.attrib[f"{XLINK}href"][1:] for e in root.iter() if f"{XLINK}href" in e.attrib}
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
        element.attrib = _attributes(element.attrib, prefix, used, colors)
        if element.tag == "text":
            element.attrib.setdefault("fill", colors.get("#222222", "currentColor"))
    view = root.attrib["viewBox"]
    root.attrib = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": view,
        "width": "100%",
        "role": "img",
        "aria-label": alt,
        "font-family": "inherit",
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
    }
    root.tail = None
    text = ElementTree.tostring(root, encoding="unicode")
    return "\n".join(line.strip() for line in text.splitlines() if line.strip()) + "\n"


def _without(parent: ElementTree.Element) -> None:
    """Drop what says nothing in a page, and groups that this leaves empty."""
    for child in list(parent):
        _without(child)
        name = child.tag.removeprefix(SVG)
        if name in DROPPED or (name in ("defs", "g") and not len(child)):
            parent.remove(child)


def _attributes(given: Mapping[str, str], prefix: str, used: set[str], colors: Mapping[str, str]) -> dict[str, str]:
    out: dict[str, str] = {}
    for name, value in {**given, **_declarations(given.get("style", ""))}.items():
        if name == "id":
            if value in used:
                out["id"] = prefix + value
            elif value.startswith(SERIES):
                out["data-series"] = value.removeprefix(SERIES)
        elif name == f"{XLINK}href":
            out["href"] = f"#{prefix}{value[1:]}"
        elif name in PAINTS:
            out[name] = colors.get(value.strip().lower(), value)
        elif name not in ("style", "font-family"):
            out[name] = _REFERENCE.sub(lambda found: f"url(#{prefix}{found[1]})", value)
    return out


def _declarations(style: str) -> dict[str, str]:
    """A `style` attribute as presentation attributes; a font keeps its size, weight and slant, never its family.

    >>> _declarations("font: 8px 'DejaVu Sans', sans-serif; text-anchor: middle")
    {'font-size': '8', 'text-anchor': 'middle'}
    """
    out: dict[str, str] = {}
    # no value that matplotlib writes holds a semicolon
    for declaration in filter(None, (part.strip() for part in style.split(";"))):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":
            found = _FONT.match(value)
            if found:
                sizes = {"font-size": found["size"], "font-weight": found["weight"], "font-style": found["style"]}
                out |= {key: text for key, text in sizes.items() if text}
        elif name == "font-size":
            out[name] = value.removesuffix("px")
        elif name not in ("font-family", "white-space"):
            out[name] = value
    return out
