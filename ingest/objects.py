"""Reads lines that are JSON objects, and the attributes of lines: by their keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import polars as pl

from ingest.entities import ENTITIES, most_telling
from ingest.events import entities_of, take_apart
from ingest.pieces import lists
from ingest.reading import READ
from ingest.shapes import OWN, Extent
from ingest.templates import StreamTemplates

_OWN_PREFIXES = ("trace:", "span:")

Document = dict[str, Any]


@dataclass(slots=True)
class Objects:
    """Lines that are objects."""

    rows: list[int]  # ascending
    documents: list[Document]
    before: list[Sequence[str]]  # entities of what stands before the object

    def add(self, row: int, text: str, before: Sequence[str] = ()) -> bool:
        """Take a line whose message may be an object; return whether it is one."""
        document = read_object(text)
        if not document:
            return False
        self.rows.append(row)
        self.documents.append(document)
        self.before.append(before)
        return True


def read_objects(objects: Objects, known_of: Sequence[StreamTemplates], extent: Extent) -> pl.DataFrame:
    """READ of objects, each with the templates of its stream."""
    identities: list[str] = []
    own: list[dict[str, str]] = []
    entities, parameters = _Lists(), _Lists()
    for document, before, known in zip(objects.documents, objects.before, known_of, strict=True):
        event = take_apart(document, known.is_name)
        identities.append(known.of_form(event.form, event.text).template_id)
        mine, others = _own(event.entities())
        own.append(mine)
        entities.add(most_telling({*others, *before}, extent.entities_max))
        parameters.add(event.parameters()[: extent.parameters_max])
    columns = {
        "row": objects.rows,
        "template_id": identities,
        "parameters": parameters.series(),
        "entities": entities.series(),
        **{name: [ids.get(name) for ids in own] for name in OWN},
    }
    return pl.DataFrame(columns, schema=READ)


def read_attributes(lines: pl.DataFrame, objects: Objects) -> pl.DataFrame:
    """ENTITIES of the attributes of lines; fields that the line's own object has too are not read twice."""
    text = pl.col("attributes")
    frame = lines.select(text, pl.col("body")).with_row_index("row")
    frame = frame.filter((text.str.len_bytes() > 2) & (text != pl.col("body")))
    found = pl.DataFrame(schema=ENTITIES)
    if frame.is_empty():
        return found
    of_row = dict(zip(objects.rows, objects.documents, strict=True))
    rows: list[int] = []
    texts: list[str] = []
    for attributes, members in frame.group_by("attributes", maintain_order=True).agg("row").iter_rows():
        document = read_object(attributes)
        if not document:
            continue
        entities: list[str] | None = None
        for row in members:
            if row in of_row and document.keys() <= of_row[row].keys():
                continue
            entities = _own(entities_of(document))[1] if entities is None else entities
            rows += [row] * len(entities)
            texts += entities
    return pl.DataFrame({"row": rows, "entity": texts}, schema=ENTITIES)


def read_object(text: str) -> Document | None:
    """The object that a text is, or None."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _own(texts: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """The record's own ids among entities, and the others."""
    own: dict[str, str] = {}
    others = []
    for text in texts:
        if text.startswith(_OWN_PREFIXES):
            kind, _, value = text.partition(":")
            own[kind] = min(value, own.get(kind, value))
        else:
            others.append(text)
    return own, others


class _Lists:
    """Lists of texts, one after another."""

    def __init__(self) -> None:
        self._lengths: list[int] = []
        self._texts: list[str] = []

    def add(self, texts: Sequence[str]) -> None:
        """Add the next list."""
        self._texts += texts
        self._lengths.append(len(texts))

    def series(self) -> pl.Series:
        """All of them."""
        count = len(self._lengths)
        rows = np.repeat(np.arange(count, dtype=np.uint32), self._lengths)
        return lists(rows, pl.Series(self._texts, dtype=pl.String), count)
