"""Texts as HTML."""

from __future__ import annotations

import html
import re

from polydiff.domains.sequence.alphabet import MASKED
from polydiff.domains.sequence.show import COLOURS, LETTERS, SHOWN, coloured, show


def shown(page: str) -> str:
    """What a reader sees of a page."""
    return html.unescape(re.sub(r"<[^>]*>", "", page))


def test_markup_in_a_text_or_caption_is_shown_and_not_run() -> None:
    bad = "<script>alert(1)</script>&amp;\"'"
    page = show([bad], [bad])
    assert "<script" not in page
    assert shown(page) == bad + bad


def test_each_run_of_letters_of_one_kind_is_a_span_of_its_colour() -> None:
    found = re.findall(r'color:(#\w+)">([^<]*)<', coloured(f"47+Cc {MASKED}"))
    assert found == [
        (COLOURS["digit"], "47"),
        (COLOURS["sign"], "+"),
        (COLOURS["capital"], "C"),
        (COLOURS["small"], "c "),
        (COLOURS["masked"], MASKED),
    ]


def test_control_characters_do_not_reach_the_page() -> None:
    assert shown(coloured("a\0b\x1bc\nd")) == "a\ufffdb\ufffdc\nd"


def test_an_empty_text_is_named() -> None:
    assert "(empty)" in show([""], [""])


def test_a_page_has_a_bounded_size_and_at_least_two_texts() -> None:
    assert show(["ab"] * 500, [""] * 500).count("<figure") == SHOWN
    assert show(["a" * LETTERS] * 5, [""] * 5).count("<figure") == 2
