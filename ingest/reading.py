"""Reads many lines of text at once: the template, the parameters and the entities of each, by its shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ingest.entities import written
from ingest.pieces import Codes, cut, cut_some, empty_lists, lists, spread
from ingest.shapes import OWN, Plan, Shape, Shapes, kind_of
from ingest.templates import StreamTemplates
from tocsin.record import UNPARSED

#: What is read of a line.
READ: dict[str, pl.DataType] = {
    "row": pl.UInt32(),
    "template_id": pl.String(),
    "parameters": pl.List(pl.String()),
    "entities": pl.List(pl.String()),
    "trace": pl.String(),
    "span": pl.String(),
}


@dataclass(frozen=True, slots=True)
class Texts:
    """Lines of text, and the shape of each."""

    rows: Codes  # their places among all lines
    bodies: pl.Series
    codes: Codes
    shapes: Sequence[Shape]

    def where(self, chosen: np.typing.NDArray[np.bool_]) -> Texts:
        """Some of them."""
        return Texts(self.rows[chosen], self.bodies.filter(pl.Series(chosen)), self.codes[chosen], self.shapes)


def read_texts(texts: Texts, shapes: Shapes, batch: Codes, streams: Sequence[StreamTemplates]) -> pl.DataFrame:
    """READ of texts.

    Args:
        texts: lines of text.
        shapes: makes the plans.
        batch: of each line.
        streams: templates by batch.
    """
    if not len(texts.rows):
        return pl.DataFrame(schema=READ)
    codes, distinct, known_of = _by_stream(texts, batch, streams)
    found = [
        known.find(shape.message.masked.text) if shape.is_text else None
        for shape, known in zip(distinct, known_of, strict=True)
    ]
    identities = [template.template_id if template else UNPARSED for template in found]
    # A later line may have made an earlier one's template more general, so these come after all of them
    plans = [
        shapes.plan(shape, template.tokens if template else ()) for shape, template in zip(distinct, found, strict=True)
    ]
    columns = {
        "row": pl.Series(texts.rows),
        "template_id": pl.Series(identities, dtype=pl.String).gather(codes),
        "parameters": _parameters(texts.bodies, codes, plans),
        "entities": _entities(texts.bodies, codes, plans, shapes.constants),
    }
    for name in OWN:
        places = [plan.own.get(name, (0, 0)) for plan in plans]
        columns[name] = cut_some(texts.bodies, codes, places)
    return pl.DataFrame(columns, schema=READ)


def _by_stream(
    texts: Texts, batch: Codes, streams: Sequence[StreamTemplates]
) -> tuple[Codes, list[Shape], list[StreamTemplates]]:
    """Codes of shape and stream together, and both by code, in the order they first appear."""
    shapes = texts.shapes
    numbers: dict[int, int] = {}
    owners = np.array([numbers.setdefault(id(known), place) for place, known in enumerate(streams)], np.uint64)
    pairs = texts.codes.astype(np.uint64) * len(streams) + owners[batch]
    frame = pl.DataFrame({"pair": pairs})
    distinct = frame.unique(maintain_order=True).with_row_index("code")
    codes = frame.join(distinct, on="pair", how="left", maintain_order="left")["code"].to_numpy()
    places = [divmod(pair, len(streams)) for pair in distinct["pair"].to_list()]
    return codes, [shapes[shape] for shape, _ in places], [streams[owner] for _, owner in places]


def _parameters(bodies: pl.Series, codes: Codes, plans: Sequence[Plan]) -> pl.Series:
    """Lists of parameters."""
    rows, picked = spread(codes, [len(plan.parameters) for plan in plans])
    if not len(rows):
        return empty_lists(len(bodies))
    table = np.concatenate([plan.parameters for plan in plans])[picked]
    return lists(rows, cut(bodies.gather(rows), table[:, 0], table[:, 1]), len(bodies))


def _entities(bodies: pl.Series, codes: Codes, plans: Sequence[Plan], constants: pl.Series) -> pl.Series:
    """Lists of entities."""
    rows, picked = spread(codes, [len(plan.entities) for plan in plans])
    if not len(rows):
        return empty_lists(len(bodies))
    kinds, starts, lengths, numbers = np.concatenate([plan.entities for plan in plans])[picked].T
    is_constant = numbers >= 0
    places = [np.flatnonzero(is_constant)]
    pieces = [constants.gather(numbers[places[0]])]
    for kind in np.unique(kinds[~is_constant]).tolist():
        at = np.flatnonzero((kinds == kind) & ~is_constant)
        places.append(at)
        pieces.append(written(kind_of(kind), cut(bodies.gather(rows[at]), starts[at], lengths[at])))
    order = np.empty(len(rows), np.uint32)
    order[np.concatenate(places)] = np.arange(len(rows), dtype=np.uint32)
    texts = _in_order(pl.concat(pieces).gather(order), rows, kinds)
    if texts.null_count():
        is_one = texts.is_not_null()
        return lists(rows[is_one.to_numpy()], texts.filter(is_one), len(bodies))
    return lists(rows, texts, len(bodies))


def _in_order(texts: pl.Series, rows: Codes, kinds: np.typing.NDArray[np.int32]) -> pl.Series:
    """Sort what one line has several of, and take out what it has twice; a plan can sort but the kinds."""
    again = (rows[1:] == rows[:-1]) & (kinds[1:] == kinds[:-1])
    if not again.any():
        return texts
    several = np.zeros(len(rows), bool)
    several[1:] |= again
    several[:-1] |= again
    at = np.flatnonzero(several)
    group = np.cumsum(np.concatenate(([True], ~again)))[at]
    part = pl.DataFrame({"group": group, "text": texts.gather(at)}).sort("group", "text", nulls_last=True)
    is_twice = (pl.col("group") == pl.col("group").shift(1)) & (pl.col("text") == pl.col("text").shift(1))
    once = part.select(pl.when(~is_twice.fill_null(value=False)).then("text")).to_series()
    return texts.scatter(at, once)
