"""Reads many lines of text at once: the template, the parameters and the entities of each, by its shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ingest.pieces import Codes, numbered_rows
from ingest.plans import carry_out
from ingest.shapes import Shape, Shapes
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
    codes, keys = numbered_rows(pl.DataFrame({"shape": texts.codes, "stream": stream_numbers(streams)[batch]}))
    distinct = [texts.shapes[shape] for shape in keys["shape"]]
    found = [
        streams[stream].find(shape.message.masked.text) if shape.is_text else None
        for shape, stream in zip(distinct, keys["stream"], strict=True)
    ]
    identities = [template.template_id if template else UNPARSED for template in found]
    # A later line may have made an earlier one's template more general, so these come after all of them
    plans = [
        shapes.plan(shape, template.tokens if template else ()) for shape, template in zip(distinct, found, strict=True)
    ]
    columns = {
        "row": pl.Series(texts.rows),
        "template_id": pl.Series(identities, dtype=pl.String).gather(codes),
        **carry_out(texts.bodies, codes, plans, shapes.constants),
    }
    return pl.DataFrame(columns, schema=READ)


def stream_numbers(streams: Sequence[StreamTemplates]) -> Codes:
    """By batch: the place of the first batch that has the same stream."""
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(id(known), place) for place, known in enumerate(streams)], np.uint32)
