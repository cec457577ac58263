"""Reads lines that are JSON objects, and the attributes of lines: by shape as far as they have one, else one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import polars as pl

from ingest.entities import ENTITIES, most_telling
from ingest.events import entities_of as entities_in_object
from ingest.events import take_apart
from ingest.object_shapes import ObjectShape, ObjectShapes
from ingest.pieces import Codes, cut_some, lists, numbered_rows
from ingest.plans import OWN, Extent, carry_out, entities_of
from ingest.reading import READ, stream_numbers
from ingest.templates import StreamTemplates

_OWN_PREFIXES = ("trace:", "span:")

_ESCAPED = re.compile(r"\\(?:u0000|.)")  # a backslash that is text itself comes in two

Document = dict[str, Any]


@dataclass(slots=True)
class Objects:
    """Lines that are objects."""

    shaped_rows: Codes = field(default_factory=lambda: np.empty(0, np.uint32))
    shaped: pl.Series = field(default_factory=lambda: pl.Series([], dtype=pl.String))  # their bodies
    codes: Codes = field(default_factory=lambda: np.empty(0, np.uint32))
    shapes: Sequence[ObjectShape | None] = ()
    rows: list[int] = field(default_factory=list)  # of those without a shape, in any order
    documents: list[Document] = field(default_factory=list)
    before: list[Sequence[str]] = field(default_factory=list)  # entities of what stands before the object

    def add(self, row: int, text: str, before: Sequence[str] = ()) -> bool:
        """Take a line whose message may be an object; return whether it is one."""
        document = read_object(text)
        if not document:
            return False
        self.rows.append(row)
        self.documents.append(document)
        self.before.append(before)
        return True


def find_objects(bodies: pl.Series, shapes: ObjectShapes, chars_max: int) -> Objects:
    """Bodies that are JSON objects; longer ones than `chars_max` are read one by one."""
    may_be = (bodies.str.starts_with("{") & bodies.str.ends_with("}")).to_numpy()
    rows = np.flatnonzero(may_be).astype(np.uint32)
    objects = Objects()
    if not len(rows):
        return objects
    texts = bodies.gather(rows)
    is_shaped = np.zeros(len(rows), bool)
    short = np.flatnonzero((texts.str.len_bytes() <= chars_max).to_numpy())
    found, codes = shapes.of(texts.gather(short))
    fits = np.array([shape is not None for shape in found], bool)[codes]
    is_shaped[short[fits]] = True
    objects.shaped_rows, objects.shaped = rows[is_shaped], texts.filter(pl.Series(is_shaped))
    objects.codes, objects.shapes = codes[fits], found
    others = ~is_shaped
    for row, text in zip(rows[others].tolist(), texts.filter(pl.Series(others)), strict=True):
        objects.add(row, text)
    return objects


def read_shaped(
    objects: Objects, shapes: ObjectShapes, batch: Codes, streams: Sequence[StreamTemplates]
) -> pl.DataFrame:
    """READ of objects that have a shape.

    Args:
        objects: what was found.
        shapes: makes the plans.
        batch: of each line that has a shape.
        streams: templates by batch.
    """
    key = {"shape": objects.codes, "stream": stream_numbers(streams)[batch], **_numbers_in(objects)}
    codes, distinct = numbered_rows(pl.DataFrame(key))
    identities, plans = [], []
    for shape, stream, *numbers in distinct.iter_rows():
        known, one = streams[stream], objects.shapes[shape]
        assert one is not None, "those without a shape were left out"
        names = _names(one, numbers, known)
        event = one.event.named(names)
        identities.append(known.of_form(event.form, event.text).template_id)
        plans.append(shapes.plan(one, names))
    columns = {
        "row": pl.Series(objects.shaped_rows),
        "template_id": pl.Series(identities, dtype=pl.String).gather(codes),
        **carry_out(objects.shaped, codes, plans, shapes.constants),
    }
    return pl.DataFrame(columns, schema=READ)


def read_objects(objects: Objects, known_of: Sequence[StreamTemplates], extent: Extent) -> pl.DataFrame:
    """READ of objects without a shape, each with the templates of its stream."""
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


def read_attributes(lines: pl.DataFrame, objects: Objects, shapes: ObjectShapes, chars_max: int) -> pl.DataFrame:
    """ENTITIES of the attributes of lines; fields that the line's own object has too are not read twice."""
    text = pl.col("attributes")
    frame = lines.select(text, "body").with_row_index("row")
    frame = frame.filter((text.str.len_bytes() > 2) & (text != pl.col("body")))
    if frame.is_empty():
        return pl.DataFrame(schema=ENTITIES)
    rows = frame["row"].to_numpy()
    found, codes = shapes.of(frame["attributes"].str.head(chars_max))
    is_wanted = ~_are_repeated(rows, codes, found, objects, len(lines))
    fits = np.array([shape is not None for shape in found], bool)[codes]
    chosen = is_wanted & fits
    tables = [
        np.empty((0, 4), np.int32) if shape is None else shapes.plan(shape, shape.event.form.names).entities
        for shape in found
    ]
    bodies = frame["attributes"].filter(pl.Series(chosen))
    long = entities_of(bodies, codes[chosen], tables, shapes.constants.series())
    by_shape = pl.DataFrame({"row": rows[chosen][long.rows], "entity": long.texts}, schema=ENTITIES)
    alone = frame.filter(pl.Series(is_wanted & ~fits))
    return by_shape if alone.is_empty() else pl.concat([by_shape, _one_by_one(alone, objects)])


def _are_repeated(
    rows: Codes, codes: Codes, found: Sequence[ObjectShape | None], objects: Objects, count: int
) -> np.typing.NDArray[np.bool_]:
    """Whether the object of a line has all keys of its attributes; as far as both have shapes."""
    if not len(objects.codes):
        return np.zeros(len(rows), bool)
    of_body = np.full(count, -1, np.int64)
    of_body[objects.shaped_rows] = objects.codes
    places, pairs = numbered_rows(pl.DataFrame({"attributes": codes, "body": of_body[rows]}))
    repeated = []
    for one, other in pairs.iter_rows():
        mine, its = found[one], objects.shapes[other] if other >= 0 else None
        repeated.append(
            mine is not None and its is not None and mine.event.document.keys() <= its.event.document.keys()
        )
    return np.array(repeated, bool)[places]


def _one_by_one(frame: pl.DataFrame, objects: Objects) -> pl.DataFrame:
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
            entities = _own(entities_in_object(document))[1] if entities is None else entities
            rows += [row] * len(entities)
            texts += entities
    return pl.DataFrame({"row": rows, "entity": texts}, schema=ENTITIES)


def _numbers_in(objects: Objects) -> dict[str, pl.Series]:
    """The numbers that name events, a column for the first of each object, for the second ..."""
    of_code = [[] if shape is None else [place for place, _ in shape.numbered.values()] for shape in objects.shapes]
    return {
        f"number {turn}": cut_some(
            objects.shaped, objects.codes, [places[turn] if turn < len(places) else (0, 0) for places in of_code]
        )
        for turn in range(max(map(len, of_code), default=0))
    }


def _names(shape: ObjectShape, numbers: Sequence[str | None], known: StreamTemplates) -> tuple[str | None, ...]:
    """What the naming values of objects are called; a value that is one of many is no name."""
    names = list(shape.event.form.names)
    for (place, (_, reader)), number in zip(shape.numbered.items(), numbers, strict=False):
        assert number is not None, "the shape says that it is there"
        leaf = shape.event.plan.naming[place][0]
        names[place] = reader(number if isinstance(shape.event.values[leaf], str) else _number(number))
    paths = (path for _, path, _ in shape.event.plan.naming)
    return tuple(
        name if name is not None and known.is_name(path, name) else None
        for path, name in zip(paths, names, strict=True)
    )


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


def read_object(text: str) -> Document | None:
    """The object that a text is, or None; its texts and keys are without NUL."""
    if r"\u0000" in text:
        text = _ESCAPED.sub(lambda escaped: r"\ufffd" if escaped[0] == r"\u0000" else escaped[0], text)
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
