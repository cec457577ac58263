"""Puts the HTTP surface together: routes, the guard around them, and what every error becomes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from api import (
    budgets,
    catalogue,
    datadog,
    elasticsearch,
    findings,
    gelf,
    health,
    incidents,
    ingest,
    journald,
    loki,
    otlp,
    pages,
    prometheus,
    silences,
    splunk,
    sql,
    stream,
    webhooks,
)
from api.dialects import Dialect, refusal
from api.guard import Door, Guard, hosts_of, is_loopback
from api.meters import Timed
from api.openapi import Application
from api.problems import ProblemError, problem_of, problem_response, validation_problem
from api.render import problem_page, wants_page
from api.services import Services, parts_of, start
from tocsin.errors import FullError, TocsinError

log = structlog.get_logger()

#: In the order in which the reference explains them; `/{index}/_bulk` comes last.
_MODULES = (
    ingest,
    otlp,
    loki,
    prometheus,
    journald,
    gelf,
    splunk,
    datadog,
    incidents,
    findings,
    catalogue,
    sql,
    stream,
    webhooks,
    silences,
    budgets,
    health,
    pages,
    elasticsearch,
)

#: Protocols with refusals of their own.
_DIALECTS: tuple[Dialect, ...] = (splunk.DIALECT, datadog.DIALECT, elasticsearch.DIALECT, otlp.DIALECT)

_STATIC = Path(__file__).parent / "static"

_ABOUT = """Self-hosted anomaly detection: lines in, a few explained incidents out.

Every request carries a key, `Authorization: Bearer tocsin_...`, except while the service runs on loopback and no key
was ever created. A key belongs to a tenant and holds scopes: `ingest`, `read`, `query`, `admin` (which includes them).
"""


def create_app(services: Services) -> FastAPI:
    """Build the ASGI application.

    Args:
        services: what it is given; the caller opens and closes it.
    """
    app = Application(
        title="Tocsin",
        version=version("tocsin"),
        description=_ABOUT,
        docs_url=None,  # the stock pages load their scripts from another host
        redoc_url=None,
        openapi_url=None,  # served behind the guard by `api.pages`
        lifespan=_lifespan,
    )
    parts = start(services)
    app.state.parts = parts
    # First, because what is below /static asks for no key.
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.include([module.router for module in _MODULES])
    app.add_exception_handler(TocsinError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_crash)
    settings = services.settings
    loopback = is_loopback(settings.host)
    door = Door(
        keyring=parts.keyring,
        sessions=parts.sessions,
        loopback=loopback,
        allow_open=loopback,
        hosts=hosts_of([settings.public_url], settings.allowed_hosts),
        dialects=_DIALECTS,
    )
    app.add_middleware(Guard, door=door)
    app.add_middleware(Timed, meters=parts.meters)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    app.state.parts.intake.close()


def _answer(request: Request, problem: ProblemError) -> Response:
    if wants_page(request):
        return problem_page(request, problem)
    answer = refusal(_DIALECTS, request.url.path, request.headers, problem)
    if answer is not None:
        return answer
    return problem_response(problem.status, problem.detail, headers=problem.headers, members=problem.members)


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TocsinError), "registered for this class"
    problem = problem_of(error)
    if problem.status == 503:
        problem.headers.setdefault("Retry-After", str(parts_of(request).retry_after_s()))
    if isinstance(error, FullError):
        log.debug("no_room", path=request.url.path)  # a full disk is not filled with messages; /metrics counts them
    elif problem.status >= 500 and problem is not error:
        log.error("request_failed", path=request.url.path, error=str(error), exc_info=error)
    return _answer(request, problem)


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for this class"
    if _is_not_json(request) and any(each["loc"][:1] == ("body",) for each in error.errors()):
        return _answer(request, ProblemError(415, "Content-Type header: send application/json"))
    return _answer(request, validation_problem(error.errors()))


def _is_not_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return request.url.path.startswith("/v1/") and kind != "application/json" and not kind.endswith("+json")


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for this class"
    details = {404: "there is nothing at this path", 405: "this path does not take that method"}
    detail = details.get(error.status_code, str(error.detail))
    return _answer(request, ProblemError(error.status_code, detail, headers=error.headers))


async def _on_crash(request: Request, _error: Exception) -> Response:
    # The framework raises the error again after this answer, so that the server logs it with its trace.
    return _answer(request, ProblemError(500, "the service failed to answer; the reason is in its log"))
