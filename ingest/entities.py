"""Writes entities as `kind:value`, the same thing always the same way, and cuts them out of many lines at once."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

import polars as pl

from ingest.values import IPV4, Span, spans_of, values_of
from ingest.words import NOTHING, RANKED_KINDS

#: Kinds whose case carries no meaning.
_LOWER = frozenset({"ip", "host", "domain", "email", "hash", "uuid"})

_RANK = {kind: rank for rank, kind in enumerate(RANKED_KINDS)}
_OCTET_OVER = r"(?:^|\.)(?:25[6-9]|2[6-9][0-9]|[3-9][0-9][0-9])(?:\.|$)"
_UNSET = ("4294967295", "-1")  # how Linux audit writes "no user" and "no session"

# Most values are what they seem; these need no closer look (values.py), which would say the same.
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}[A-Za-z0-9]\Z")
_PLAIN = dict.fromkeys(("user", "session", "container", "account", "service", "device", "uuid", "hash"), _WORD) | {
    "ip": re.compile(rf"{IPV4}\Z"),
    "path": re.compile(r"/[A-Za-z0-9/_-]{1,190}[A-Za-z0-9]\Z"),
}

#: One row an entity.
ENTITIES: dict[str, pl.DataType] = {"row": pl.UInt32(), "entity": pl.String()}


@lru_cache(maxsize=65536)
def entities_in(kind: str, value: str) -> tuple[str, ...]:
    """Entities of a value that stands where a kind is expected, as `kind:value`; `trace` and `span` come along."""
    plain = _PLAIN.get(kind)
    if plain is not None and plain.match(value) and value.lower() not in NOTHING:
        text = entity(kind, value)
        return () if text is None else (text,)
    return tuple(text for text in (entity(name, part) for name, part in values_of(kind, value)) if text is not None)


def places_in(kind: str, skeleton: str) -> Sequence[Span]:
    """As `entities_in`: where the entities stand in the skeleton of a value."""
    plain = _PLAIN.get(kind)
    if plain is not None and plain.match(skeleton) and skeleton.lower() not in NOTHING:
        return [Span(kind, 0, len(skeleton))]
    return spans_of(kind, skeleton, 0, len(skeleton))


def entity(kind: str, value: str) -> str | None:
    """`kind:value`, or None when the value cannot be of the kind."""
    if kind == "ip" and re.search(_OCTET_OVER, value):
        return None
    if kind == "port" and (value.startswith("0") or not 1 <= int(value) <= 65535):
        return None
    if (kind in {"user", "session"} and value in _UNSET) or (kind == "pid" and value == "0"):
        return None
    return f"{kind}:{value.lower() if kind in _LOWER else value}"


def written(kind: str, values: pl.Series) -> pl.Series:
    """As `entity`, for values of one kind at once: null where one cannot be of the kind."""
    value = pl.col("value")
    texts = value.str.to_lowercase() if kind in _LOWER else value
    text = pl.concat_str(pl.lit(f"{kind}:"), texts)
    impossible = _impossible(kind, values)
    if impossible is not None:
        text = pl.when(~impossible).then(text)
    return pl.DataFrame({"value": values}).select(text.alias("text")).to_series()


def _impossible(kind: str, values: pl.Series) -> pl.Expr | None:
    """Which values cannot be of the kind; None when all can."""
    value = pl.col("value")
    if kind == "ip":
        distinct = values.unique()  # searching is dear, and addresses come again
        wrong = distinct.filter(distinct.str.contains(_OCTET_OVER))
        return None if wrong.is_empty() else value.is_in(wrong.implode())
    if kind == "port":
        return value.cast(pl.UInt16, strict=False).is_null() | value.str.starts_with("0")
    if kind in {"user", "session"}:
        return value.is_in(_UNSET)
    return value == "0" if kind == "pid" else None


def most_telling(texts: Collection[str], entities_max: int) -> list[str]:
    """Distinct entities, sorted; of too many those of the most telling kinds."""
    if len(texts) <= entities_max:
        return sorted(texts)
    ranked = sorted(texts, key=lambda text: (_RANK.get(text.partition(":")[0], len(RANKED_KINDS)), text))
    return sorted(ranked[:entities_max])


def with_more(entities: pl.Series, more: pl.DataFrame, entities_max: int) -> pl.Series:
    """Add entities to lists of them, which are distinct and sorted before and after.

    Args:
        entities: lists by row.
        more: ENTITIES.
        entities_max: of one row.
    """
    rows = more["row"].unique().sort()
    frame = pl.DataFrame({"row": rows, "entity": entities.gather(rows)})
    long = pl.concat([frame.explode("entity").drop_nulls(), more]).unique().sort("row", "entity")
    merged = long.group_by("row", maintain_order=True).agg("entity")["entity"]
    if (merged.list.len() > entities_max).any():
        kept = [most_telling(texts, entities_max) for texts in merged.to_list()]
        merged = pl.Series(kept, dtype=pl.List(pl.String))
    if len(merged) == len(entities):
        return merged
    every = pl.DataFrame({"row": pl.int_range(len(entities), dtype=pl.UInt32, eager=True), "entities": entities})
    return every.update(pl.DataFrame({"row": rows, "entities": merged}), on="row", maintain_order="left")["entities"]
