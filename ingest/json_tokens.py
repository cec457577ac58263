"""The words and signs of a JSON text in which nothing is escaped, by place."""

from __future__ import annotations

import re
from collections.abc import Sequence

Places = Sequence[tuple[int, int]]

_TOKEN = re.compile(r'"[^"\\]*"|[{}\[\],:]|[^\s{}\[\],:"\\]+')


def tokens_of(text: str) -> Places:
    """Characters [first, last) of each bracket, comma, colon, text with its quotes, number and word."""
    return [match.span() for match in _TOKEN.finditer(text)]


def behind(text: str, tokens: Places, at: int) -> int:
    """The number of the token behind the bracket that closes what was opened right before token `at`."""
    level = 1
    while level:
        sign = text[tokens[at][0]]
        level += (sign in "[{") - (sign in "]}")
        at += 1
    return at
