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
    if kind == "port" and (value.startswith("0") or not 1 <= int(value) <= 65535):
        return None
    if (kind in {"user", "session"} and value in _UNSET) or (kind == "pid" and value == "0"):
        return None
    return f"{kind}:{value.lower() if kind in _LOWER else value}"


def written(kind: pl.Expr, value: pl.Expr) -> pl.Expr:
    """As `entity`, for columns: null where the value cannot be of the kind."""
    # Searching and lowering are dear, and null costs nothing
    address = pl.when(kind == "ip").then(value)
    lowered = pl.when(kind.is_in(sorted(_LOWER))).then(value).str.to_lowercase()
    impossible = (
        address.str.contains(_OCTET_OVER).fill_null(value=False)
        | ((kind == "port") & ~value.cast(pl.UInt32, strict=False).is_between(1, 65535).fill_null(value=False))
        | ((kind == "port") & value.str.starts_with("0"))
        | (kind.is_in(["user", "session"]) & value.is_in(_UNSET))
        | ((kind == "pid") & (value == "0"))
    )
    return pl.when(~impossible).then(pl.concat_str(kind, pl.lit(":"), pl.coalesce(lowered, value)))


def as_lists(found: pl.DataFrame, rows: int, entities_max: int) -> pl.Series:
    """Lists of entities by row: distinct, sorted, at most so many of the most telling kinds.

    Args:
        found: ENTITIES in any order.
        rows: how many lists.
        entities_max: of one row.
    """
    found = found.sort("row", "entity")
    is_same = (pl.col("row") == pl.col("row").shift(1)) & (pl.col("entity") == pl.col("entity").shift(1))
    found = found.filter(~is_same.fill_null(value=False))
    lists = found.group_by("row", maintain_order=True).agg(pl.col("entity").alias("entities"))
    if (lists["entities"].list.len() > entities_max).any():
        lists = _most_telling(found, entities_max).group_by("row", maintain_order=True).agg("entity")
        lists = lists.rename({"entity": "entities"})
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
    kept = ordered.filter(pl.int_range(pl.len()).over("row") < entities_max)
    return kept.select("row", "entity").sort("row", "entity")
