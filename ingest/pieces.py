"""Cuts pieces out of many texts at once, by the offsets of their bytes, and gathers them into lists."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

Codes = np.typing.NDArray[np.uint32]
Offsets = np.typing.NDArray[np.integer]


def offsets_in(text: str) -> Sequence[int]:
    """The byte at which each character begins."""
    if text.isascii():
        return range(len(text) + 1)
    offsets = [0]
    for character in text:
        offsets.append(offsets[-1] + len(character.encode()))
    return offsets


def cut(texts: pl.Series, starts: Offsets, lengths: Offsets) -> pl.Series:
    """The bytes [start, start + length) of each text; they must begin and end between characters."""
    frame = pl.DataFrame({"text": texts.cast(pl.Binary), "start": starts, "length": lengths})
    return frame.select(pl.col("text").bin.slice("start", "length").cast(pl.String)).to_series()


def cut_some(texts: pl.Series, codes: Codes, places: Sequence[tuple[int, int]]) -> pl.Series:
    """Start and length by the code of each text; null where the length is 0."""
    if not any(length for _, length in places):
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(texts))
    table = np.array(places, np.int32)[codes]
    pieces = cut(texts, table[:, 0], table[:, 1])
    return pieces.set(pl.Series(table[:, 1] == 0), None)


def spread(codes: Codes, counts: Sequence[int]) -> tuple[Codes, Offsets]:
    """One place for each thing that a row has.

    Args:
        codes: of each row.
        counts: how many things rows of a code have, by code.

    Returns:
        The row of each thing, in order, and its number when the things of all codes stand one after another.
    """
    many = np.array(counts, np.int64)
    of_row = many[codes]
    rows = np.repeat(np.arange(len(codes), dtype=np.uint32), of_row)
    first = np.cumsum(many) - many
    shift = first[codes] - (np.cumsum(of_row) - of_row)
    return rows, np.arange(len(rows)) + np.repeat(shift, of_row)


def numbered(texts: pl.Series) -> tuple[Codes, pl.Series]:
    """The number of each text, and the distinct texts in the order they first appear."""
    codes, distinct = numbered_rows(texts.to_frame("key"))
    return codes, distinct["key"]


def numbered_rows(keys: pl.DataFrame) -> tuple[Codes, pl.DataFrame]:
    """The number of each row, and the distinct rows in the order they first appear."""
    distinct = keys.unique(maintain_order=True).with_row_index("number")
    codes = keys.join(distinct, on=keys.columns, how="left", maintain_order="left", nulls_equal=True)["number"]
    return codes.to_numpy(), distinct.drop("number")


def lists(rows: Codes, texts: pl.Series, count: int) -> pl.Series:
    """Texts as lists by row.

    Args:
        rows: of each text, ascending.
        texts: without nulls.
        count: of rows; those without a text have an empty list.
    """
    frame = pl.DataFrame({"row": pl.Series(rows).set_sorted(), "text": texts})
    found = frame.group_by("row", maintain_order=True).agg("text")
    if found.height == count:
        return found["text"]
    every = pl.DataFrame({"row": pl.int_range(count, dtype=pl.UInt32, eager=True)})
    joined = every.join(found, on="row", how="left", maintain_order="left")
    return joined.select(pl.col("text").fill_null(pl.lit([], dtype=pl.List(pl.String)))).to_series()


def empty_lists(count: int) -> pl.Series:
    """Lists without texts."""
    return pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, count)
