"""Hashes of text that stay the same for ever, so that what was known before an upgrade is known after it.

Not `Series.hash` of polars: its values may change with its version, and then everything would be new.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_CHARS = 200  # characters of a text that count, with its length
_BYTES = 4 * _CHARS
_WIDTHS = (0, 16, 32, 64, _BYTES)  # of the tables in which texts of about one length are hashed together
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def hash64(texts: pl.Series) -> Hashes:
    """Hash a String series without nulls: multilinear over its bytes (Carter and Wegman 1979), then mixed."""
    if len(texts) == 0:
        return np.zeros(0, np.uint64)
    full = texts.str.len_bytes().to_numpy().astype(np.uint64)
    heads = texts.str.head(_CHARS)
    lengths = heads.str.len_bytes().to_numpy().astype(np.int64)
    content = np.frombuffer(heads.str.join("")[0].encode(), np.uint8)
    starts = np.cumsum(lengths) - lengths
    sums = _ONES[lengths]
    for shorter, width in pairwise(_WIDTHS):
        rows = np.flatnonzero((lengths > shorter) & (lengths <= width))
        if len(rows):
            # Short texts side by side in one table: many times faster than byte by byte through all of them.
            places = np.minimum(starts[rows, None] + np.arange(width), len(content) - 1)
            letters = content[places] * (np.arange(width) < lengths[rows, None])
            sums[rows] += letters.astype(np.uint64) @ _FACTORS[:width]
    return finish(sums ^ (full * _GOLDEN))


def hash_text(text: str) -> np.uint64:
    """Hash one text."""
    return np.uint64(hash64(pl.Series([text], dtype=pl.String))[0])


def combine(first: Hashes | np.uint64, second: Hashes | np.uint64) -> Hashes:
    """Hash of an ordered pair of hashes."""
    with np.errstate(over="ignore"):
        return finish(np.atleast_1d(first) * _GOLDEN + np.atleast_1d(second))


def finish(values: Hashes) -> Hashes:
    """Spread every bit over all (the finaliser of splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        values = values + _GOLDEN
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


_FACTORS: Hashes = finish(np.arange(1, _BYTES + 1, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95)) | np.uint64(1)
_ONES: Hashes = np.concatenate([np.zeros(1, np.uint64), np.cumsum(_FACTORS)])  # each byte counts as one more than it is
