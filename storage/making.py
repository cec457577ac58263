"""Makes the rows people see out of the rows of tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import zip_longest
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, RowMapping, select

from storage import tables
from storage.cursors import cursor_of
from storage.rows import EvidenceRow, FindingRow, LineRow, Page
from storage.statements import RowLike, chunks

Row = TypeVar("Row")


def made(kind: type[Row], row: RowLike) -> Row:
    """A row of `kind` out of the columns that have the names of its fields."""
    names = (each.name for each in fields(cast("Any", kind)))
    return kind(**{name: row[name] for name in names if name in row})


def page(rows: list[Row], limit: int, keys: Callable[[Row], Sequence[Any]]) -> Page[Row]:
    """The first `limit` of rows that were asked for one more, and the cursor behind them."""
    more = len(rows) > limit
    shown = rows[:limit]
    return Page(rows=shown, next_cursor=cursor_of(keys(shown[-1])) if more and shown else None)


def with_evidence(connection: Connection, rows: Sequence[RowMapping]) -> list[FindingRow]:
    """Findings with their evidence, in the order given."""
    table = tables.evidence
    evidence: defaultdict[str, list[EvidenceRow]] = defaultdict(list)
    for some in chunks([row["finding_id"] for row in rows]):
        query = select(table).where(table.c.finding_id.in_(some)).order_by(table.c.finding_id, table.c.rank)
        for row in connection.execute(query).mappings():
            evidence[row["finding_id"]].append(made(EvidenceRow, row))
    return [made(FindingRow, {**row, "evidence": evidence[row["finding_id"]]}) for row in rows]


def lines_of(connection: Connection, tenant: str, event_ids: Sequence[str]) -> dict[str, LineRow]:
    """The raw lines that are kept of these events, with the text of their templates."""
    line, template = tables.lines, tables.templates
    same = (template.c.tenant == line.c.tenant) & (template.c.template_id == line.c.template_id)
    query = (
        select(line, template.c.template)
        .select_from(line.outerjoin(template, same))
        .where(line.c.tenant == tenant, line.c.event_id.in_(event_ids))
    )
    return {row["event_id"]: made(LineRow, row) for row in connection.execute(query).mappings()}


def interleaved(lists: Sequence[Sequence[str]]) -> list[str]:
    """The first of each list, then the second of each, and so on, each value once."""
    return list(dict.fromkeys(value for place in zip_longest(*lists) for value in place if value is not None))
