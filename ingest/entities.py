"""Writes entities as `kind:value`, the same thing always the same way, and cuts them out of many lines at once."""

from __future__ import annotations

import re
from functools import lru_cache

import polars as pl

from ingest.values import IPV4, values_of
from ingest.words import NOTHING, RANKED_KINDS

#: Kinds whose case carries no meaning.
_LOWER = frozenset({"ip", "host", "domain", "email", "hash", "uuid"})

_RANK = {kind: rank for rank, kind in enumerate(RANKED_KINDS)}
_OCTET_OVER = r"(?:^|\.)(?:25[6-9]|2[6-9][0-9]|[3-9][0-9][0-9])(?:\.|$)"
_PORT = r"^(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$"
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


def entity(kind: str, value: str) -> str | None:
    """`kind:value`, or None when the value cannot be of the kind."""
    if kind == "ip" and re.search(_OCTET_OVER, value):
        return None
    if kind == "port" and not re.match(_PORT, value):
        return None
    if (kind in {"user", "session"} and value in _UNSET) or (kind == "pid" and value == "0"):
        return None
    return f"{kind}:{value.lower() if kind in _LOWER else value}"


def written(kind: pl.Expr, value: pl.Expr) -> pl.Expr:
    """As `entity`, for columns: null where the value cannot be of the kind."""
    plausible = (
        pl.when(kind == "ip")
        .then(~value.str.contains(_OCTET_OVER))
        .when(kind == "port")
        .then(value.str.contains(_PORT))
        .when(kind.is_in(["user", "session"]))
        .then(~value.is_in(_UNSET))
        .when(kind == "pid")
        .then(value != "0")
        .otherwise(statement=True)
    )
    text = pl.when(kind.is_in(sorted(_LOWER))).then(value.str.to_lowercase()).otherwise(value)
    return pl.when(plausible).then(pl.concat_str(kind, pl.lit(":"), text))


def as_lists(found: pl.DataFrame, rows: int, entities_max: int) -> pl.Series:
    """Lists of entities by row: distinct, sorted, at most so many of the most telling kinds.

    Args:
        found: ENTITIES in any order.
        rows: how many lists.
        entities_max: of one row.
    """
    counts = found.group_by("row").len()
    if (counts["len"] > entities_max).any():
        found = _most_telling(found.unique(), entities_max)
    lists = (
        found.sort("row", maintain_order=True)
        .group_by("row", maintain_order=True)
        .agg(pl.col("entity").unique().sort().alias("entities"))
    )
    empty = pl.lit([], dtype=pl.List(pl.String))
    return (
        pl.DataFrame({"row": pl.int_range(rows, dtype=pl.UInt32, eager=True)})
        .join(lists, on="row", how="left", maintain_order="left")
        .select(pl.col("entities").fill_null(empty))
        .to_series()
    )


def _most_telling(found: pl.DataFrame, entities_max: int) -> pl.DataFrame:
    rank = (
        pl.col("entity").str.extract("^([^:]*)").replace_strict(_RANK, default=len(RANKED_KINDS), return_dtype=pl.UInt8)
    )
    ordered = found.with_columns(rank.alias("rank")).sort("row", "rank", "entity")
    return ordered.filter(pl.int_range(pl.len()).over("row") < entities_max).select("row", "entity")
