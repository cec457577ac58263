"""Adds a frame of counts to a table, thousands of rows in one go.

The rows go to the database as one JSON array (SQLite) or a handful of arrays (PostgreSQL): a statement for each of
5,000 entities would take most of a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
import polars as pl
from sqlalchemy import Connection, Table

from storage.columns import kept_name, kept_text

_ISO = "%Y-%m-%dT%H:%M:%S%.6fZ"


def add_counts(
    connection: Connection, table: Table, tenant: str, counts: pl.DataFrame, texts: Mapping[str, str] | None = None
) -> None:
    """Add counts to what is there and widen first and last seen.

    Args:
        connection: in a transaction.
        table: `t_streams`, `t_templates` or `t_entities`.
        tenant: whose.
        counts: `count, first, last` and the key of the table; for templates the stream as well.
        texts: of templates, by id; a template that is new and has no text here is kept with an empty one.
    """
    if counts.is_empty():
        return
    names: list[str] = [name for name in ("entity", "stream", "template_id") if name in counts.columns]
    key = "template_id" if "template_id" in names else names[0]
    rows = _kept(counts, key, names).with_columns(pl.col("first", "last").dt.strftime(_ISO))
    columns = {name: rows[name].to_list() for name in names}
    if texts is not None:
        columns["template"] = [kept_text(texts.get(value, "")) for value in columns["template_id"]]
    columns |= {"first_seen": rows["first"].to_list(), "last_seen": rows["last"].to_list()}
    numbers = rows["count"].to_list()
    if connection.dialect.name == "sqlite":
        document = orjson.dumps(list(zip(*columns.values(), numbers, strict=True))).decode()
        connection.exec_driver_sql(_sqlite(table.name, key, list(columns)), (tenant, document))
    else:
        connection.exec_driver_sql(_postgresql(table.name, key, list(columns)), (tenant, *columns.values(), numbers))


def _kept(counts: pl.DataFrame, key: str, names: list[str]) -> pl.DataFrame:
    """The counts under the names that are kept, one row a key, in the order of the key.

    Two names may be kept as one, and PostgreSQL refuses to change a row twice. In order, so that two writers never wait
    for each other in a circle.
    """
    kept = [pl.Series(name, [kept_name(value) for value in counts[name].to_list()], dtype=pl.String) for name in names]
    one = counts.with_columns(*kept, pl.col("count").cast(pl.Int64)).sort(key)
    if one[key].n_unique() == one.height:
        return one
    others = [pl.col(name).first() for name in names if name != key]
    return one.group_by(key, maintain_order=True).agg(
        *others, pl.col("count").sum(), pl.col("first").min(), pl.col("last").max()
    )


def _sqlite(table: str, key: str, names: Sequence[str]) -> str:
    parts = ", ".join(f"json_extract(value, '$[{place}]')" for place in range(len(names) + 1))
    return (
        f"INSERT INTO {table} AS t (tenant, {', '.join(names)}, event_count) "  # noqa: S608 -- names of ours
        f"SELECT ?, {parts} FROM json_each(?) WHERE true " + _conflict(key, names, "min", "max")
    )


def _postgresql(table: str, key: str, names: Sequence[str]) -> str:
    kinds = ["timestamptz" if name.endswith("_seen") else "text" for name in names]
    arrays = ", ".join(f"%s::text[]::{kind}[]" for kind in kinds)
    return (
        f"INSERT INTO {table} AS t (tenant, {', '.join(names)}, event_count) "  # noqa: S608 -- names of ours
        f"SELECT %s, * FROM unnest({arrays}, %s::bigint[]) " + _conflict(key, names, "least", "greatest")
    )


def _conflict(key: str, names: Sequence[str], least: str, greatest: str) -> str:
    text = ", template = CASE excluded.template WHEN '' THEN t.template ELSE excluded.template END"
    return (
        f"ON CONFLICT (tenant, {key}) DO UPDATE SET event_count = t.event_count + excluded.event_count, "
        f"first_seen = {least}(t.first_seen, excluded.first_seen), "
        f"last_seen = {greatest}(t.last_seen, excluded.last_seen)" + (text if "template" in names else "")
    )
