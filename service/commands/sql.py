"""`tocsin sql`: one read-only query, over a data folder or a running service."""

from __future__ import annotations

import csv
import sys
from typing import Annotated, Any

import typer

from service.commands.options import (
    Config,
    Data,
    Key,
    KeyFile,
    Tenant,
    Url,
    note,
    one_of,
    print_json,
    print_rows,
    service_client,
    used_folder,
)

_LIMIT = 1000


def sql(  # noqa: PLR0913 -- the options of the command
    query: Annotated[str, typer.Argument(metavar="SELECT", help="In DuckDB's dialect, over the views of docs/sql.md.")],
    *,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    key_file: KeyFile = None,
    tenant: Tenant = "default",
    form: Annotated[
        str, typer.Option("--format", metavar="table|csv|json", show_default=False, help="Default: table.")
    ] = "table",
    limit: Annotated[int, typer.Option(min=1, help="Rows at most.")] = _LIMIT,
    config: Config = None,
) -> None:
    """Query incidents, findings, entities, events and more.

    Example: tocsin sql "SELECT severity, title FROM incidents ORDER BY opened_at DESC"
    """
    one_of(form, ("table", "csv", "json"), "--format")
    if url:
        with service_client(url, key, key_file) as client:
            answer = client.post("/v1/sql", {"query": query, "limit": limit})
    else:
        answer = _of_folder(used_folder(data, config), tenant, query, limit)
    columns, rows = answer["columns"], answer["rows"]
    if form == "json":
        print_json({"columns": columns, "rows": rows})
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    else:
        print_rows(columns, rows)
    if answer["truncated"]:
        note(f"there are more than {len(rows)} rows (--limit)")


def _of_folder(settings: Any, tenant: str, query: str, limit: int) -> dict[str, Any]:
    from service.build import opened_store
    from storage.events import EventStore
    from storage.sql import run_sql

    with opened_store(settings) as store:
        events = EventStore(settings.data / "events", settings.events)
        result = run_sql(store, events, tenant, query, limit=limit, settings=settings.sql)
    return {"columns": result.columns, "rows": result.rows, "truncated": result.truncated}
