"""Text of others, made safe to show."""

from __future__ import annotations

import pytest

from alerts.untrusted import neutralised


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode 日本 😀", "plain ünïcode 日本 😀"),
        ("red \x1b[31;1mtext\x1b[0m", "red text"),
        ("title \x1b]0;owned\x07 set", "title  set"),
        ("link \x1b]8;;http://evil\x1b\\here\x1b]8;;\x1b\\", "link here"),
        ("8-bit \x9b31mtext", "8-bit text"),
        ("two\r\nlines\u2028three", "two lines three"),
        ("nul\x00bell\x07", "nul\ufffdbell\ufffd"),
        ("user \u202enimda\u202c", "user \ufffdnimda\ufffd"),
        ("zero\u200bwidth\ufeff", "zero\ufffdwidth\ufffd"),
        ("tag\U000e0041", "tag\ufffd"),
        ("half a pair \ud800", "half a pair \ufffd"),
        ("unfinished \x1b[", "unfinished \ufffd["),
    ],
)
def test_what_hides_or_colours_is_taken_out(text: str, shown: str) -> None:
    assert neutralised(text, 100) == shown


def test_long_text_ends_in_an_ellipsis() -> None:
    assert neutralised("abcdef", 4) == "abc…"
    assert neutralised("abcd", 4) == "abcd"


def test_a_megabyte_of_escapes_costs_no_more_than_what_is_shown() -> None:
    assert neutralised("\x1b[31m" * 200_000 + "end", 10) == "…"
