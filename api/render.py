"""Draws the templates: the filters they use, what every page is given, and error pages."""

from __future__ import annotations

from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request
from starlette.responses import HTMLResponse, Response

from api import words
from api.auth import Caller, Scope
from api.guard import session_cookie
from api.problems import ProblemError
from api.services import parts_of

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(
    bars=words.severity_bars,
    severity_word=words.severity_word,
    plain=words.plain,
    code=words.code,
    lasted=words.lasted,
    count=words.count,
    chance=words.chance,
)


def page(request: Request, template: str, *, here: str = "", live: bool = False, **values: Any) -> HTMLResponse:
    """Draw one page.

    Args:
        request: who asks, and in which session.
        template: its file.
        here: the address of the page in the navigation.
        live: whether the page follows changes.
        values: what the template shows.
    """
    parts = parts_of(request)
    now = parts.services.clock()
    caller: Caller | None = getattr(request.state, "caller", None)
    text = _ENVIRONMENT.get_template(template).render(
        caller=caller,
        may_change=caller is not None and caller.may(Scope.ADMIN),
        csrf=parts.sessions.csrf(session_cookie(request.headers)) if caller else "",
        here=here,
        live=live,
        version=version("tocsin"),
        ago=lambda at: words.ago(at, now),
        **values,
    )
    return HTMLResponse(text, headers={"Cache-Control": "no-store"})


def wants_page(request: Request) -> bool:
    """Whether the answer is for a person with a browser, not for a program."""
    return not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")


def problem_page(request: Request, problem: ProblemError) -> Response:
    """Draw what went wrong."""
    title = HTTPStatus(problem.status).phrase
    answer = page(request, "problem.html", title=title, detail=problem.detail)
    answer.status_code = problem.status
    answer.headers.update(problem.headers)
    return answer


def snippets(address: str, *, key_needed: bool) -> list[tuple[str, str]]:
    """Lines a newcomer can paste to send a log, each with a title."""
    key = ' -H "Authorization: Bearer $TOCSIN_KEY"' if key_needed else ""
    send = f"curl -sS{key} --data-binary @"
    return [
        ("One line, to see that it works", f"echo 'hello from '$(hostname) | {send}- {address}/v1/ingest/hello"),
        ("A log file", f"{send}/var/log/syslog {address}/v1/ingest/syslog"),
        (
            "The last hour of this machine's journal",
            f"journalctl --since -1h -o json | {send}- '{address}/v1/ingest/journal?format=ndjson'",
        ),
    ]
