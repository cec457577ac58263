"""What is cut out of the lines of one shape: plans are made once, and carried out on many lines at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from ingest.entities import written
from ingest.pieces import Codes, cut, cut_some, empty_lists, lists, spread
from ingest.words import RANKED_KINDS

OWN = ("trace", "span")  # found like entities, but columns of the record
_KINDS = sorted(RANKED_KINDS, key=lambda kind: f"{kind}:")
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
_RANKS = {kind: rank for rank, kind in enumerate(RANKED_KINDS)}

Place = tuple[int, int]  # the first byte and the number of bytes
Table = np.typing.NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much of a line is kept."""

    tokens_max: int
    parameters_max: int
    parameter_chars_max: int
    entities_max: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is cut out of lines, and what all of them have without cutting.

    Attributes:
        entities: (n, 4): kind, start, length, number of the constant or -1; in the order they have in a record, as far
            as it is known before they are cut.
        parameters: (n, 4) too; the kind means nothing.
        own: where the record's own ids are.
    """

    entities: Table
    parameters: Table
    own: Mapping[str, Place]


@dataclass(slots=True)
class Constants:
    """Texts that need no cutting, by number."""

    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, text: str) -> int:
        """The number of a text."""
        return self.numbers.setdefault(text, len(self.numbers))

    def series(self) -> pl.Series:
        """Texts by number."""
        return pl.Series(list(self.numbers), dtype=pl.String)


def entity_table(
    texts: Iterable[str], places: Iterable[tuple[str, Place]], constants: Constants, entities_max: int
) -> Table:
    """Entities of a plan: texts as written, and places of others by kind. Of too many the most telling are kept."""
    rows: dict[tuple[int, str, Place], int] = {}
    found: list[tuple[str, str, Place]] = [(text.partition(":")[0], text, (0, 0)) for text in texts]
    found += [(kind, "", place) for kind, place in places]
    for kind, text, place in sorted(found, key=lambda one: _RANKS[one[0]]):
        rows.setdefault((_NUMBERS[kind], text, place), constants.number(text) if text else -1)
    kept = sorted(list(rows.items())[:entities_max])
    return _table((kind, *place, number) for (kind, _, place), number in kept)


def parameter_table(parameters: Iterable[str | Place], constants: Constants, parameters_max: int) -> Table:
    """Parameters of a plan, in order: texts and places."""
    rows = [
        (0, 0, 0, constants.number(one)) if isinstance(one, str) else (0, *one, -1)
        for one, _ in zip(parameters, range(parameters_max), strict=False)
    ]
    return _table(rows)


def carry_out(bodies: pl.Series, codes: Codes, plans: Sequence[Plan], constants: Constants) -> dict[str, pl.Series]:
    """`parameters`, `entities`, `trace` and `span` of lines.

    Args:
        bodies: the lines.
        codes: the plan of each.
        plans: by code.
        constants: of the plans.
    """
    texts = constants.series()
    return {
        "parameters": _parameters(bodies, codes, [plan.parameters for plan in plans], texts),
        "entities": entities_of(bodies, codes, [plan.entities for plan in plans], texts).as_lists(len(bodies)),
        **{name: cut_some(bodies, codes, [plan.own.get(name, (0, 0)) for plan in plans]) for name in OWN},
    }


@dataclass(frozen=True, slots=True)
class Long:
    """Texts by row, rows ascending."""

    rows: Codes
    texts: pl.Series

    def as_lists(self, count: int) -> pl.Series:
        """Lists by row."""
        return lists(self.rows, self.texts, count) if len(self.rows) else empty_lists(count)


def entities_of(bodies: pl.Series, codes: Codes, tables: Sequence[Table], constants: pl.Series) -> Long:
    """Entities of lines by row, distinct and sorted; `tables` by code."""
    rows, picked = spread(codes, list(map(len, tables)))
    if not len(rows):
        return Long(rows, pl.Series([], dtype=pl.String))
    kinds, starts, lengths, numbers = np.concatenate(tables)[picked].T
    is_constant = numbers >= 0
    places = [np.flatnonzero(is_constant)]
    pieces = [constants.gather(numbers[places[0]])]
    for kind in np.unique(kinds[~is_constant]).tolist():
        at = np.flatnonzero((kinds == kind) & ~is_constant)
        places.append(at)
        pieces.append(written(_KINDS[kind], cut(bodies.gather(rows[at]), starts[at], lengths[at])))
    order = np.empty(len(rows), np.uint32)
    order[np.concatenate(places)] = np.arange(len(rows), dtype=np.uint32)
    texts = _in_order(pl.concat(pieces).gather(order), rows, kinds)
    if texts.null_count():
        is_one = texts.is_not_null()
        return Long(rows[is_one.to_numpy()], texts.filter(is_one))
    return Long(rows, texts)


def _parameters(bodies: pl.Series, codes: Codes, tables: Sequence[Table], constants: pl.Series) -> pl.Series:
    rows, picked = spread(codes, list(map(len, tables)))
    if not len(rows):
        return empty_lists(len(bodies))
    _, starts, lengths, numbers = np.concatenate(tables)[picked].T
    texts = cut(bodies.gather(rows), starts, lengths)
    is_constant = np.flatnonzero(numbers >= 0)
    if len(is_constant):
        texts = texts.scatter(is_constant, constants.gather(numbers[is_constant]))
    return lists(rows, texts, len(bodies))


def _in_order(texts: pl.Series, rows: Codes, kinds: Table) -> pl.Series:
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


def _table(rows: Iterable[tuple[int, int, int, int]]) -> Table:
    return np.array(list(rows), np.int32).reshape(-1, 4)
