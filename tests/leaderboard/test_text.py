"""Text of strangers is shown, not obeyed; shortened names stay apart."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from leaderboard.shown import number
from leaderboard.text import latex, markdown, plain, shortened, wrapped


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [
        (1.005, 1, "1.0"),
        (-3.14159, 2, "−3.14"),
        (-0.004, 2, "0.00"),
        (0.0, 0, "0"),
        (-0.0, 0, "0"),
        (123456.7, 0, "123457"),
        (-2.5e9, 1, "−2.50e+09"),
        (0.123456789, 99, "0.1235"),
        (1.5, -3, "2"),
    ],
)
def test_numbers(value: float, decimals: int, expected: str) -> None:
    assert number(value, decimals) == expected


def test_plain_drops_what_moves_the_cursor() -> None:
    assert plain("a\x00\x1b[2Jb\u202ec\td\r\n e\u200b") == "a[2Jbc d e"
    assert plain("x" * 500) == "x" * 299 + "…"


def test_markdown_leaves_ordinary_names_readable() -> None:
    assert markdown("rssm_v1 − raw_ar_v1: ΔNLL 80 ms −3.1 [−4.0, −2.2] bit/s") == (
        "rssm_v1 − raw_ar_v1: ΔNLL 80 ms −3.1 [−4.0, −2.2] bit/s"
    )
    assert markdown("_x_ & <!-- y -->") == r"\_x\_ &amp; &lt;!-- y --&gt;"


def test_latex_escapes_every_active_character() -> None:
    assert latex(r"\a{b}_c^d~e&f%g$h#i") == (
        r"\textbackslash{}a\{b\}\_c\textasciicircum{}d\textasciitilde{}e\&f\%g\$h\#i"
    )


def test_shortened_names_are_short_and_distinct() -> None:
    names = ["a" * 80 + str(i) + "b" * 80 for i in range(12)] + ["名" * 40, "名" * 41, "short", ""]
    found = shortened(names, 20)
    assert len(set(found.values())) == len(names)
    assert all(0 < cell_len(label) <= 20 for label in found.values())
    assert found["short"] == "short"


def test_wide_characters_wrap_by_columns() -> None:
    found = wrapped("名前" * 100, 80)
    assert max(cell_len(line) for line in found.splitlines()) <= 80
    assert found.replace("\n", "") == "名前" * 100
