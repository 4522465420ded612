"""The report's templates: everything is escaped, and what goes into a script cannot leave it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from leaderboard.report.names import pretty, short, whole
from leaderboard.text import plain

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent
STATIC = HERE / "static"


def environment() -> jinja2.Environment:
    """Templates with escaping on; an unknown name is an error."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"short": short, "whole": whole, "plain": plain, "pretty": pretty, "embedded": embedded}
    made.filters["figure_svg"] = Markup  # drawn by this package, its texts escaped by who draws
    return made


def embedded(value: Any) -> Markup:
    r"""JSON that may stand in a script element or an attribute.

    >>> str(embedded("</script>"))
    '"\\u003c/script\\u003e"'
    """
    from jinja2.utils import htmlsafe_json_dumps

    return htmlsafe_json_dumps(value, dumps=partial(json.dumps, separators=(",", ":"), ensure_ascii=True))


def render(made: jinja2.Environment, template: str, up: str, shared: Mapping[str, Any], **more: Any) -> str:
    """One page. `up`: the way from it to the site's root, "" or "../"."""
    return made.get_template(template).render(up=up, **shared, **more)
