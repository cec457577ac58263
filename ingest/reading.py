"""Reads many messages at once: template, parameters and entities of texts by skeleton, of JSON objects by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from ingest.entities import ENTITIES, written
from ingest.events import entities_of, take_apart
from ingest.shapes import PARAMETER, Shape, Shapes, cut, cuts
from ingest.templates import StreamTemplates
from tocsin.record import UNPARSED

#: What is read of a message beside its entities.
READ: dict[str, pl.DataType] = {
    "row": pl.UInt32(),
    "template_id": pl.String(),
    "parameters": pl.List(pl.String()),
    "trace": pl.String(),
    "span": pl.String(),
}
_OWN = ("trace", "span")  # found like entities, but columns of the record
_OWN_PREFIXES = ("trace:", "span:")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: READ, and ENTITIES."""

    messages: pl.DataFrame
    entities: pl.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much of a message is kept."""

    parameters_max: int
    parameter_chars_max: int


def read_texts(texts: pl.DataFrame, shapes: Shapes, streams: Sequence[StreamTemplates], extent: Extent) -> Reading:
    """Read texts (`row`, `batch`, `text`); `streams` are the templates by batch."""
    if texts.is_empty():
        return Reading(pl.DataFrame(schema=READ), _Pieces().frame())
    rows, distinct, known_of = _distinct(texts, shapes, streams)
    found = [
        known.find(shape.masked.text) if shape.is_text else None
        for shape, known in zip(distinct, known_of, strict=True)
    ]
    plan = cuts(
        distinct,
        [template.tokens if template else () for template in found],
        parameters_max=extent.parameters_max,
        chars_max=extent.parameter_chars_max,
    )
    identities = pl.DataFrame(
        {"template_id": [template.template_id if template else UNPARSED for template in found]}
    ).with_row_index("code")
    long = cut(rows, plan)
    kind = pl.col("kind")
    parameters = (
        long.filter(kind == PARAMETER).group_by("row", maintain_order=True).agg(pl.col("value").alias("parameters"))
    )
    messages = rows.select("row", "code").join(identities, on="code", how="left", maintain_order="left")
    messages = messages.join(parameters, on="row", how="left", maintain_order="left")
    for name in _OWN:
        own = long.filter(kind == name).select("row", pl.col("value").alias(name)).unique("row", keep="first")
        messages = messages.join(own, on="row", how="left", maintain_order="left")
    entities = (
        long.filter(~kind.is_in([PARAMETER, *_OWN]))
        .select("row", pl.when("is_constant").then("value").otherwise(written(kind, pl.col("value"))).alias("entity"))
        .drop_nulls()
    )
    return Reading(messages.select(list(READ)), entities.select(list(ENTITIES)))


def _distinct(
    texts: pl.DataFrame, shapes: Shapes, streams: Sequence[StreamTemplates]
) -> tuple[pl.DataFrame, list[Shape], list[StreamTemplates]]:
    """Texts with the code of their shape and stream, and shape and stream by code, in the order they first appear."""
    distinct, codes = shapes.of(texts["text"])
    rows = texts.with_columns(pl.Series("code", codes, dtype=pl.UInt32))
    if all(known is streams[0] for known in streams):
        return rows, distinct, [streams[0]] * len(distinct)
    numbers: dict[int, int] = {}
    owners = [numbers.setdefault(id(known), place) for place, known in enumerate(streams)]
    rows = rows.with_columns(pl.Series(owners, dtype=pl.UInt32).gather(rows["batch"]).alias("owner"))
    pairs = rows.select("code", "owner").unique(maintain_order=True)
    coded = pairs.with_row_index("pair")
    rows = rows.join(coded, on=["code", "owner"], how="left", maintain_order="left")
    rows = rows.drop("code", "owner").rename({"pair": "code"})
    return rows, [distinct[code] for code in pairs["code"]], [streams[owner] for owner in pairs["owner"]]


def read_objects(
    objects: Sequence[tuple[int, dict[str, Any]]], known_of: Sequence[StreamTemplates], extent: Extent
) -> Reading:
    """Read JSON objects by row, each with the templates of its stream."""
    rows = [row for row, _ in objects]
    identities: list[str] = []
    own: list[dict[str, str]] = []
    entities, parameters = _Pieces(), _Pieces()
    for (row, document), known in zip(objects, known_of, strict=True):
        event = take_apart(document, known.is_name)
        identities.append(known.of_form(event.form, event.text).template_id)
        mine, others = _own(event.entities())
        own.append(mine)
        entities.add(row, others)
        parameters.add(row, event.parameters()[: extent.parameters_max])
    messages = pl.DataFrame(
        {
            "row": pl.Series(rows, dtype=pl.UInt32),
            "template_id": pl.Series(identities, dtype=pl.String),
            **{name: pl.Series([ids.get(name) for ids in own], dtype=pl.String) for name in _OWN},
        }
    )
    lists = parameters.frame().group_by("row", maintain_order=True).agg(pl.col("entity").alias("parameters"))
    messages = messages.join(lists, on="row", how="left", maintain_order="left")
    return Reading(messages.select(list(READ)), entities.frame())


def objects_in(messages: pl.Series) -> list[tuple[int, dict[str, Any]]]:
    """Messages that are JSON objects, by row."""
    candidates = (messages.str.starts_with("{") & messages.str.ends_with("}")).arg_true()
    found = []
    for row, text in zip(candidates.to_list(), messages.gather(candidates).to_list(), strict=True):
        document = _object(text)
        if document:
            found.append((row, document))
    return found


def read_attributes(attributes: pl.Series, objects: Mapping[int, Mapping[str, Any]]) -> pl.DataFrame:
    """ENTITIES of the attributes of lines; fields that the line's own object has too are not read twice.

    Args:
        attributes: JSON objects, or null.
        objects: bodies that are objects, by row.
    """
    frame = pl.DataFrame({"text": attributes}).with_row_index("row").filter(pl.col("text").str.len_bytes() > 2)
    found = _Pieces()
    for text, rows in frame.group_by("text", maintain_order=True).agg("row").iter_rows():
        document = _object(text)
        if not document:
            continue
        texts: list[str] | None = None
        for row in rows:
            if row in objects and document.keys() <= objects[row].keys():
                continue
            texts = _own(entities_of(document))[1] if texts is None else texts
            found.add(row, texts)
    return found.frame()


def read_header(header: pl.DataFrame) -> pl.DataFrame:
    """ENTITIES of what stands before the messages: host, process and pid."""
    kinds = ["host", "process", "pid"]
    if header.select(pl.all_horizontal(pl.col(*kinds).is_null().all())).item():
        return _Pieces().frame()
    long = header.select(kinds).with_row_index("row").unpivot(kinds, index="row").drop_nulls()
    return long.select("row", written(pl.col("variable"), pl.col("value")).alias("entity")).drop_nulls()


def _object(text: str) -> dict[str, Any] | None:
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


class _Pieces:
    """Texts found one row after the other; frames of lists are slow to build."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._texts: list[str] = []

    def add(self, row: int, texts: Iterable[str]) -> None:
        """Add the texts of a row."""
        before = len(self._texts)
        self._texts.extend(texts)
        self._rows.extend([row] * (len(self._texts) - before))

    def frame(self) -> pl.DataFrame:
        """ENTITIES."""
        return pl.DataFrame({"row": self._rows, "entity": self._texts}, schema=ENTITIES)
