"""Makes text out of logs fit to be shown: short, in one line, nothing invisible."""

from __future__ import annotations

import polars as pl

# Control characters and those that reorder or hide text: a log line is written by strangers.
_INVISIBLE = r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"


def one_line(text: pl.Series, chars_max: int) -> pl.Series:
    """Heads of texts, without characters that cannot be seen."""
    return text.str.head(chars_max).str.replace_all(_INVISIBLE, " ")


def said(text: str) -> str:
    """`user:root` as `user root`; other texts stay as they are."""
    kind, colon, value = text.partition(":")
    return f"{kind} {value}" if colon and kind.isidentifier() else text
