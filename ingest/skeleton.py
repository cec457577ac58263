"""The skeleton of a line: the same text with every digit a zero, so that lines that differ in numbers only become one.

A skeleton has the bytes of its line at the same offsets, so what is found once in the skeleton (a field, a mask) is cut
out of all its lines by offset. UUIDs and digests have random letters too: `collapse` zeroes those as well, and is run
on the few skeletons that are new. Whatever reads a skeleton must not ask for particular digits: [0-9], never 2.
"""

from __future__ import annotations

import polars as pl

_ZERO_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_ZEROS = str.maketrans("123456789", "000000000")
_BREAKS = ["\n", "\r"]
_HEX_RUNS = {
    r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b": (
        "00000000-0000-0000-0000-000000000000"
    ),
    r"\b[0-9a-fA-F]{64}\b": "0" * 64,  # SHA-256, container ids
    r"\b[0-9a-fA-F]{40}\b": "0" * 40,  # SHA-1, commits
    r"\b[0-9a-fA-F]{32}\b": "0" * 32,  # MD5, trace ids
}


def skeletons(texts: pl.Series) -> pl.Series:
    """Skeletons of a String series without nulls; line breaks inside a text become other white space."""
    if texts.is_empty():
        return texts
    if texts.str.contains_any(_BREAKS).any():
        texts = texts.str.replace_many(_BREAKS, ["\x0b", "\x0b"])
    joined = texts.str.join("\n")[0].encode().translate(_ZERO_DIGITS)
    return pl.read_lines(joined + b"\n").to_series().alias(texts.name)


def skeleton(text: str) -> str:
    """Skeleton of one text, line breaks as they are."""
    return text.translate(_ZEROS)


def collapse(new: pl.Series) -> pl.Series:
    """Zero the letters of UUIDs and digests too, at the same length."""
    for pattern, zeros in _HEX_RUNS.items():
        new = new.str.replace_all(pattern, zeros)
    return new
