"""The shapes of JSON objects: what a skeleton of an object says is worked out once, whatever number of lines have it.

An object of which this cannot be said has no shape and is read alone: its keys or lists hold digits, a text in it is
escaped, or it is no object at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import polars as pl

from ingest.entities import places_in
from ingest.events import (
    DEPTH_MAX,
    PARAMETER_CHARS_MAX,
    Event,
    entities_of_value,
    event_number,
    places_in_unnamed,
    status_name,
    take_apart,
)
from ingest.json_tokens import behind, tokens_of
from ingest.pieces import Codes, numbered, offsets_in
from ingest.plans import OWN, Constants, Extent, Place, Plan, entity_table, parameter_table
from ingest.skeleton import collapse_unknown, skeletons
from ingest.values import Span

_IPV6_LIKE = re.compile(r"\W?[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\W*[0-9]*")
# New shapes of one call: to make one takes as long as to read 20 objects alone, and objects full of prose never repeat.
_NEW_MIN, _NEW_SHARE = 64, 50
_PLANS_MAX = 64  # of one shape: it has one for each combination of names

Names = tuple[str | None, ...]
Reader = Callable[[Any], str | None]


class _Unfit(Exception):  # noqa: N818 -- no error: the object is read alone
    """The objects of a skeleton have not enough in common."""


@dataclass(slots=True)
class ObjectShape:
    """What the objects of one skeleton have in common."""

    event: Event  # one of them
    numbered: Mapping[int, tuple[Place, Reader]]  # by place among the names: those whose digits count, and how
    texts: Sequence[str]  # entities that all of them have
    places: Sequence[tuple[str, Place]]  # where others are
    own: Mapping[str, Place]
    parameters: Sequence[str | Place]  # by leaf
    plans: dict[Names, Plan] = field(default_factory=dict)


class ObjectShapes:
    """Skeletons of objects known so far; only a memory of pure work."""

    def __init__(self, *, shapes_max: int, extent: Extent) -> None:
        self._shapes_max = shapes_max
        self._extent = extent
        self._known: dict[str, ObjectShape | None] = {}
        self.constants = Constants()  # of the plans

    def of(self, texts: pl.Series) -> tuple[list[ObjectShape | None], Codes]:
        """Distinct shapes of texts in the order they first appear, and which of them each text has."""
        if len(self._known) > self._shapes_max:
            self._known, self.constants = {}, Constants()
        codes_of_rows, distinct = numbered(skeletons(texts))
        first = texts.gather(pl.Series(codes_of_rows).arg_unique())
        codes: dict[str, int] = {}
        found: list[ObjectShape | None] = []
        of_skeleton = []
        may_be_new = max(_NEW_MIN, len(texts) // _NEW_SHARE)
        for name, text in zip(collapse_unknown(distinct, self._known), first, strict=True):
            code = codes.setdefault(name, len(found))
            if code == len(found):
                if name not in self._known and may_be_new:
                    self._known[name] = _read(text, name)
                    may_be_new -= 1
                found.append(self._known.get(name))
            of_skeleton.append(code)
        return found, np.array(of_skeleton, np.uint32)[codes_of_rows]

    def plan(self, shape: ObjectShape, names: Names) -> Plan:
        """What is cut out of objects of a shape whose naming values are called so."""
        plan = shape.plans.get(names)
        if plan is None:
            if len(shape.plans) >= _PLANS_MAX:
                shape.plans = {}
            parameters = [shape.parameters[leaf] for leaf in shape.event.named(names).hidden()]
            plan = shape.plans[names] = Plan(
                entities=entity_table(shape.texts, shape.places, self.constants, self._extent.entities_max),
                parameters=parameter_table(parameters, self.constants, self._extent.parameters_max),
                own=shape.own,
            )
        return plan


def _read(text: str, skeleton: str) -> ObjectShape | None:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict) or not document or "\\" in text:
        return None
    event = take_apart(document, lambda _path, _name: True)
    try:
        leaves = _leaves(skeleton)
        return None if len(leaves) != len(event.values) else _shape(event, leaves, skeleton)
    except _Unfit:
        return None


def _leaves(skeleton: str) -> list[tuple[int, int]]:
    """Places of the values in characters, in the order of `take_apart`; quotes are no part of a text."""
    tokens = tokens_of(skeleton)
    found: list[tuple[int, int]] = []
    at, depth = 1, 0
    while at < len(tokens):
        start, end = tokens[at]
        sign = skeleton[start]
        if sign in ",}":
            depth -= sign == "}"
            at += 1
            continue
        if "0" in skeleton[start:end]:
            raise _Unfit  # a key that holds digits is another key in another line
        start, end = tokens[at + 2]
        sign = skeleton[start]
        at += 3
        if sign == "{" and depth < DEPTH_MAX and skeleton[tokens[at][0]] != "}":
            depth += 1
        elif sign in "[{":
            at = behind(skeleton, tokens, at)
            found.append((start, tokens[at - 1][1]))
        else:
            found.append((start + 1, end - 1) if sign == '"' else (start, end))
    return found


def _shape(event: Event, leaves: Sequence[tuple[int, int]], skeleton: str) -> ObjectShape:
    offsets = offsets_in(skeleton)
    bytes_of = [(offsets[start], offsets[end] - offsets[start]) for start, end in leaves]
    texts: list[str] = []
    places: list[tuple[str, Place]] = []
    own: dict[str, Place] = {}
    for leaf, found in _found(event, [skeleton[start:end] for start, end in leaves]):
        if isinstance(found, str):
            texts.append(found)
            continue
        first = leaves[leaf][0]
        start, end = offsets[first + found.start], offsets[first + found.end]
        if found.kind in OWN:
            own.setdefault(found.kind, (start, end - start))
        else:
            places.append((found.kind, (start, end - start)))
    numbered = {
        number: (bytes_of[leaf], reader)
        for number, (leaf, _, reader) in enumerate(event.plan.naming)
        if reader in {event_number, status_name} and "0" in skeleton[slice(*leaves[leaf])]
    }
    return ObjectShape(event, numbered, texts, places, own, [*_parameters(event.values, leaves, offsets)])


def _found(event: Event, pieces: Sequence[str]) -> Iterator[tuple[int, str | Span]]:
    """Entities by leaf: as they are written, or where they stand in the leaf's piece of the skeleton."""
    plan, values = event.plan, event.values
    named = False
    for leaf, kind in plan.kinds:
        for found in _of_kind(kind, values[leaf], pieces[leaf]):
            named = named or (found.startswith("user:") if isinstance(found, str) else found.kind == "user")
            yield leaf, found
    for leaf, kind in () if named else plan.numbers:
        for found in _of_kind(kind, values[leaf], pieces[leaf]):
            yield leaf, found
    for leaf in plan.unnamed:
        for found in _of_no_kind(values[leaf], pieces[leaf]):
            yield leaf, found


def _of_kind(kind: str, value: Any, piece: str) -> Iterator[str | Span]:
    if "0" not in piece or isinstance(value, (list, bool)):
        yield from _checked(entities_of_value(kind, value), piece, value)
    elif isinstance(value, (str, int, float)):
        _refuse_ipv6(piece)
        yield from places_in(kind, piece)


def _of_no_kind(value: Any, piece: str) -> Iterator[str | Span]:
    if "0" not in piece or type(value) is list:
        yield from _checked(entities_of_value(None, value), piece, value)
    elif type(value) is str:
        _refuse_ipv6(piece)
        yield from places_in_unnamed(piece)


def _refuse_ipv6(piece: str) -> None:
    if _IPV6_LIKE.fullmatch(piece):
        raise _Unfit  # whether it is an address depends on its digits


def _checked(texts: Sequence[str], piece: str, value: Any) -> Sequence[str]:
    """Entities without places, which therefore must be the same in all lines and none of the record's own."""
    if ("0" in piece and type(value) is list) or any(text.startswith(("trace:", "span:")) for text in texts):
        raise _Unfit
    return texts


def _parameters(
    values: Sequence[Any], leaves: Sequence[tuple[int, int]], offsets: Sequence[int]
) -> Iterator[str | Place]:
    for value, (start, end) in zip(values, leaves, strict=True):
        if isinstance(value, dict):
            yield "{...}"
        elif isinstance(value, list):
            yield f"[{len(value)}]"
        else:
            last = min(end, start + PARAMETER_CHARS_MAX)
            yield offsets[start], offsets[last] - offsets[start]
