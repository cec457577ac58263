"""Copies what a query may see out of the database into Parquet files: the rows of one tenant in the views it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from sqlalchemy import Connection, Float, Integer
from sqlalchemy.types import TypeEngine

from storage import tables
from storage.columns import Instant, Json
from storage.database import Database
from storage.views import EVENTS, VIEWS, Dialect, select_sql
from tocsin.errors import QueryError
from tocsin.record import RECORDS

_CHUNK_ROWS = 50_000  # in memory at once
_INSTANT = pl.Datetime("us", "UTC")


def take_snapshot(
    database: Database, tenant: str, names: Iterable[str], folder: Path, rows_max: int
) -> dict[str, list[Path]]:
    """Write the views `names`, all as of one moment; returns the files of each.

    Raises:
        QueryError: a view has more rows of this tenant than `rows_max`.
    """
    with database.read() as connection:
        return {name: _write(connection, tenant, name, folder, rows_max) for name in names}


def view_sql(name: str, files: Sequence[Path]) -> str:
    """The SELECT in DuckDB that shows `files` as the view; without files it has its columns and no rows."""
    kinds = _duckdb_types(name)
    if not files:
        columns = ", ".join(f'NULL::{kind} AS "{column}"' for column, kind in kinds.items())
        return f"SELECT {columns} WHERE false"
    listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
    columns = ", ".join(f'"{column}"::{kind} AS "{column}"' for column, kind in kinds.items())
    return f"SELECT {columns} FROM read_parquet([{listed}], union_by_name = true)"  # noqa: S608 -- names of ours


def _write(connection: Connection, tenant: str, name: str, folder: Path, rows_max: int) -> list[Path]:
    dialect: Dialect = "sqlite" if connection.dialect.name == "sqlite" else "postgresql"
    schema = _polars_types(name)
    mark = "?" if dialect == "sqlite" else "%s"
    streaming = connection.execution_options(stream_results=True, max_row_buffer=_CHUNK_ROWS)
    result = streaming.exec_driver_sql(f"{select_sql(name, dialect)} WHERE tenant = {mark}", (tenant,))
    files: list[Path] = []
    taken = 0
    while rows := result.fetchmany(_CHUNK_ROWS):
        taken += len(rows)
        if taken > rows_max:
            raise QueryError(f"{name}: more than {rows_max:,} rows, which is the most a query can look at")
        file = folder / f"{name}-{len(files)}.parquet"
        _frame(rows, schema, name).write_parquet(file, compression="lz4", statistics=True)
        files.append(file)
    return files


def _frame(rows: Sequence[Sequence[Any]], schema: Mapping[str, pl.DataType], name: str) -> pl.DataFrame:
    """Rows as the database gave them, which is texts for times and lists in SQLite, as the columns of the view."""
    columns = list(zip(*rows, strict=True))
    series = []
    for values, (column, kind) in zip(columns, schema.items(), strict=True):
        if kind == _INSTANT and any(isinstance(value, str) for value in values):
            texts = pl.Series(column, values, dtype=pl.String)
            series.append(texts.str.to_datetime("%Y-%m-%dT%H:%M:%S%.6fZ", time_unit="us", time_zone="UTC"))
        elif isinstance(kind, pl.List):
            series.append(_lists(column, values, kind))
        elif (name, column) == ("evidence", "payload"):
            texts_of = [value if isinstance(value, str) else orjson.dumps(value).decode() for value in values]
            series.append(pl.Series(column, texts_of, dtype=pl.String))
        else:
            series.append(pl.Series(column, values, dtype=kind))
    return pl.DataFrame(series)


def _lists(column: str, values: Sequence[Any], kind: pl.List) -> pl.Series:
    if all(isinstance(value, str) for value in values):
        return pl.Series(column, values, dtype=pl.String).str.json_decode(kind)
    return pl.Series(column, values, dtype=kind)


def _polars_types(name: str) -> dict[str, pl.DataType]:
    table = tables.metadata.tables[f"t_{name}"]
    return {column: _polars_type(column, table.c[column].type if column in table.c else None) for column in VIEWS[name]}


def _polars_type(column: str, kind: TypeEngine[Any] | None) -> pl.DataType:
    if isinstance(kind, Instant):
        return _INSTANT
    if isinstance(kind, Json) and column != "payload":
        return pl.List(pl.String())
    if isinstance(kind, Float):
        return pl.Float64()
    return pl.Int64() if isinstance(kind, Integer) else pl.String()


def _duckdb_types(name: str) -> dict[str, str]:
    if name == "events":
        return {column: _duckdb_type(RECORDS[column]) for column in EVENTS}
    return {column: _duckdb_type(kind) for column, kind in _polars_types(name).items()}


def _duckdb_type(kind: pl.DataType) -> str:
    if isinstance(kind, pl.Datetime):
        return "TIMESTAMPTZ"
    if isinstance(kind, pl.List):
        return "VARCHAR[]"
    if kind.is_integer():
        return "BIGINT"
    return "DOUBLE" if kind.is_float() else "VARCHAR"
