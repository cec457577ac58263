"""`POST /v1/sql`: a read-only query over the promised views, in a process of its own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from api import schemas
from api.auth import Caller, Needs, Scope
from api.services import Parts, parts_of

router = APIRouter(tags=["query"])


def run(parts: Parts, tenant: str, asked: schemas.SqlAsked) -> schemas.SqlAnswer:
    """Run one query.

    Raises:
        QueryError: it was refused, failed, or went over its limits.
        ProblemError: 503, too many queries run at once.
    """
    with parts.sql_room.enter("queries"):
        result = parts.services.run_sql(tenant, asked.query, asked.limit)
    return schemas.SqlAnswer(
        columns=list(result.columns),
        types=list(result.types),
        rows=[list(row) for row in result.rows],
        truncated=result.truncated,
    )


@router.post("/v1/sql", summary="Query")
def post_sql(
    request: Request, caller: Annotated[Caller, Depends(Needs(Scope.QUERY))], asked: schemas.SqlAsked
) -> schemas.SqlAnswer:
    """Run one SELECT over the views, in DuckDB's dialect.

    Time, memory, rows and bytes are limited; nothing outside the tenant's own data can be read and nothing written.
    """
    return run(parts_of(request), caller.tenant, asked)
