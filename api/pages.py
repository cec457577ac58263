"""The web page: incidents, one incident, where lines come from, a query, the API reference, signing in."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from api import catalogue, incidents, reference, sql
from api.auth import Caller, Needs, Scope, split_key
from api.forms import Form, OwnForm, fill
from api.render import page, snippets
from api.schemas import FeedbackAsked, IncidentPatch, IncidentStatus, SqlAnswer, SqlAsked
from api.services import parts_of
from api.sessions import COOKIE
from api.timeline import timeline
from tocsin.errors import QueryError

router = APIRouter(include_in_schema=False)

_SHOWN_MAX = 20  # findings drawn on the page of an incident; the others are a link away
_ROWS_MAX = 500  # of a query on the page
_LATELY = 5  # resolved incidents below those that are active
_QUERY = "SELECT severity, status, title, opened_at\nFROM incidents\nORDER BY last_at DESC\nLIMIT 20"
_STATUSES: dict[str, tuple[IncidentStatus, ...]] = {
    "active": ("open", "acknowledged"),
    "open": ("open",),
    "acknowledged": ("acknowledged",),
    "resolved": ("resolved",),
    "all": (),
}

Reader = Annotated[Caller, Depends(Needs(Scope.READ))]
Changer = Annotated[Caller, Depends(Needs(Scope.ADMIN))]
Querier = Annotated[Caller, Depends(Needs(Scope.QUERY))]


@router.get("/")
def incident_list(  # noqa: PLR0913 -- the parameters of the address
    request: Request,
    caller: Reader,
    *,
    status: str = "active",
    severity_min: Annotated[int, Query(ge=0, le=100)] = 0,
    entity: Annotated[str, Query(max_length=300)] = "",
    cursor: Annotated[str | None, Query(max_length=300)] = None,
) -> Response:
    """The list of incidents, or what a newcomer needs while there is none."""
    parts = parts_of(request)
    if status not in _STATUSES:
        status = "active"
    entity = entity.strip()
    asked = {"status": status, "severity_min": severity_min, "entity": entity}
    found = incidents.find(
        parts,
        caller.tenant,
        incidents.IncidentsAsked(
            statuses=_STATUSES[status],
            severity_min=severity_min,
            entity=entity or None,
            limit=parts.services.settings.page_rows,
            cursor=cursor,
        ),
    )
    unfiltered = status == "active" and not severity_min and not entity and not cursor
    lately = incidents.IncidentsAsked(statuses=_STATUSES["resolved"], limit=_LATELY)
    streams = catalogue.streams_of(parts, caller.tenant)
    address = urlencode({**asked, **({"cursor": cursor} if cursor else {})})
    return page(
        request,
        "incidents.html",
        here="/",
        live=True,
        asked=asked,
        address=f"/?{address}",
        next_address=f"/?{urlencode({**asked, 'cursor': found.next_cursor})}" if found.next_cursor else None,
        unfiltered=unfiltered,
        incidents=found.incidents,
        lately=incidents.find(parts, caller.tenant, lately).incidents if unfiltered else (),
        open_count=sum(incident.status == "open" for incident in found.incidents),
        streams=streams,
        line_count=sum(stream.event_count for stream in streams),
        last_line_at=max((stream.last_seen for stream in streams), default=None),
        detectors=catalogue.detectors_of(parts, caller.tenant),
        snippets=snippets(parts.base_url, key_needed=caller.via != "open"),
    )


@router.get("/incidents/{incident_id}")
def one_incident(request: Request, caller: Reader, incident_id: str) -> Response:
    """Everything about one incident."""
    incident = incidents.detail(parts_of(request), caller.tenant, incident_id)
    drawing = timeline(incident.findings)
    return page(request, "incident.html", live=True, incident=incident, drawing=drawing, shown_max=_SHOWN_MAX)


@router.post("/incidents/{incident_id}/status")
def set_status(request: Request, caller: Changer, incident_id: str, form: OwnForm) -> Response:
    """A click on Acknowledge, Resolve or Reopen."""
    patch = fill(IncidentPatch, {"status": form.get("status", "")})
    incidents.change(parts_of(request), caller, incident_id, patch)
    return RedirectResponse(f"/incidents/{incident_id}", status_code=303)


@router.post("/incidents/{incident_id}/feedback")
def give_feedback(request: Request, caller: Changer, incident_id: str, form: OwnForm) -> Response:
    """A verdict."""
    asked = {"label": form.get("label"), "reason": form.get("reason") or None}
    incidents.give_feedback(parts_of(request), caller, incident_id, fill(FeedbackAsked, asked))
    return RedirectResponse(f"/incidents/{incident_id}", status_code=303)


@router.get("/sources")
def sources(request: Request, caller: Reader) -> Response:
    """Where lines come from, and what could not be read."""
    parts = parts_of(request)
    return page(
        request,
        "sources.html",
        here="/sources",
        live=True,
        streams=catalogue.streams_of(parts, caller.tenant),
        dead_letters=catalogue.dead_letters_of(parts, caller.tenant, limit=50, cursor=None).dead_letters,
        snippets=snippets(parts.base_url, key_needed=caller.via != "open"),
    )


@router.get("/query")
def query_form(request: Request, _caller: Querier) -> Response:
    """A box for SQL."""
    return page(request, "query.html", here="/query", query=_QUERY, result=None, refused=None)


@router.post("/query")
def run_query(request: Request, caller: Querier, form: OwnForm) -> Response:
    """The rows of a query."""
    query = form.get("query", "")
    result: SqlAnswer | None = None
    refused: str | None = None
    try:
        result = sql.run(parts_of(request), caller.tenant, fill(SqlAsked, {"query": query, "limit": _ROWS_MAX}))
    except QueryError as error:
        refused = str(error)
    return page(request, "query.html", here="/query", query=query, result=result, refused=refused)


@router.get("/openapi.json")
async def openapi(request: Request) -> JSONResponse:
    """The reference as data."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
def docs(request: Request) -> Response:
    """The reference for people."""
    by_tag = reference.endpoints(request.app.openapi(), parts_of(request).base_url)
    return page(request, "docs.html", here="/docs", by_tag=by_tag)


@router.get("/login")
async def login_form(request: Request, next: str = "/") -> Response:  # noqa: A002  # the name in the address
    """A box for a key."""
    return page(request, "login.html", next=_local(next), refused=None)


@router.post("/login")
async def login(request: Request, form: Form) -> Response:
    """Start a session of the key that was pasted."""
    parts = parts_of(request)
    key = form.get("key", "").strip()
    caller = await parts.keyring.caller_of_key(key)
    names = split_key(key)
    if caller is None or names is None:
        answer = page(request, "login.html", next=_local(form.get("next", "/")), refused="This key is not known here.")
        answer.status_code = 401
        return answer
    redirect = RedirectResponse(_local(form.get("next", "/")), status_code=303)
    redirect.set_cookie(
        COOKIE,
        parts.sessions.start(names[0]),
        max_age=int(parts.services.settings.session_hours * 3600),
        httponly=True,
        samesite="strict",
        secure=parts.base_url.startswith("https://"),
    )
    return redirect


@router.post("/logout")
async def logout(_form: OwnForm) -> Response:
    """End the session in this browser."""
    redirect = RedirectResponse("/login", status_code=303)
    redirect.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return redirect


def _local(address: str) -> str:
    # Only a path of ours: `//host`, `/\host` and `https:` would send a person elsewhere.
    if not address.startswith("/") or address[1:2] in {"/", "\\"} or not address.isprintable():
        return "/"
    return address
