"""Hashes of text that stay the same for ever, so that what was known before an upgrade is known after it.

Not `Series.hash` of polars: its values may change with its version, and then everything would be new.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_CHARS = 200  # characters of a text that count, with its length
_BYTES = 4 * _CHARS
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def hash64(texts: pl.Series) -> Hashes:
    """Hash a String series without nulls: multilinear over its bytes (Carter and Wegman 1979), then mixed."""
    if len(texts) == 0:
        return np.zeros(0, np.uint64)
    full = texts.str.len_bytes().to_numpy().astype(np.uint64)
    heads = texts.str.head(_CHARS)
    lengths = heads.str.len_bytes().to_numpy().astype(np.int64)
    content = np.frombuffer(heads.str.join("")[0].encode(), np.uint8).astype(np.uint64)
    starts = np.cumsum(lengths) - lengths
    places = np.arange(len(content)) - np.repeat(starts, lengths)
    sums = np.zeros(len(texts), np.uint64)
    filled = lengths > 0
    if filled.any():
        sums[filled] = np.add.reduceat((content + np.uint64(1)) * _FACTORS[places], starts[filled])
    return finish(sums ^ (full * _GOLDEN))


def hash_distinct(texts: pl.Series) -> Hashes:
    """Hash a long series of few texts by its distinct ones."""
    frame = pl.DataFrame({"text": texts})
    distinct = frame.unique()
    distinct = distinct.with_columns(pl.Series("hash", hash64(distinct["text"])))
    return frame.join(distinct, on="text", how="left", maintain_order="left")["hash"].to_numpy()


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
