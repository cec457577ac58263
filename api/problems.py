"""What the service says when it cannot do what was asked: RFC 9457 problem JSON, never a stack trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from tocsin.errors import FullError, InputError, QueryError, StorageError, TocsinError, TooLargeError

PROBLEM_JSON = "application/problem+json"


class ProblemError(TocsinError):
    """A request that is answered with an error status.

    Args:
        status: HTTP status.
        detail: one sentence for the caller, naming field, line or position.
        headers: further response headers, for example `Retry-After`.
        members: further members of the problem object.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = dict(members or {})


#: The first matching class decides. What is not listed here is a 500 without details.
STATUS_OF: tuple[tuple[type[TocsinError], int], ...] = (
    (TooLargeError, 413),
    (InputError, 400),
    (QueryError, 400),
    (FullError, 503),
    (StorageError, 503),
)


def problem_response(
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, object] | None = None,
) -> Response:
    """Build the answer for one problem."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    document.update(members or {})
    return Response(orjson.dumps(document), status_code=status, headers=dict(headers or {}), media_type=PROBLEM_JSON)


def problem_of(error: TocsinError) -> ProblemError:
    """Translate an error of ours into what the caller is told.

    Args:
        error: what was raised below the HTTP surface.
    """
    if isinstance(error, ProblemError):
        return error
    status = next((status for kind, status in STATUS_OF if isinstance(error, kind)), 500)
    if status == 503:
        # The text of a storage error names files and hosts of the operator: it goes to the log, not to the caller.
        full = isinstance(error, FullError)
        detail = "there is no room for more data just now" if full else "storage does not answer"
        return ProblemError(503, f"{detail}; try again later")
    if status == 500:
        return ProblemError(500, "the service failed to answer; the reason is in its log")
    return ProblemError(status, str(error))


def busy(detail: str) -> ProblemError:
    """The answer to a request that should come again; the error table adds `Retry-After`."""
    return ProblemError(503, f"{detail}; try again later")


def validation_problem(errors: Sequence[Any]) -> ProblemError:
    """Translate the framework's validation errors: `detail` names the first field, `errors` all of them."""
    found = [{"field": _field(error.get("loc", ())), "detail": str(error.get("msg", "invalid"))} for error in errors]
    first = found[0] if found else {"field": "body", "detail": "invalid"}
    return ProblemError(422, f"{first['field']}: {first['detail']}", members={"errors": found[:20]})


def _field(location: Sequence[object]) -> str:
    # The framework's location starts with where it looked (query, path, body); a position in the JSON text follows
    # when the body is not JSON at all.
    place, *names = [str(part) for part in location] or ["body"]
    if not names:
        return place
    if place == "body" and len(names) == 1 and names[0].isdigit():
        return f"body, position {names[0]}"
    return ".".join(names) if place == "body" else f"{place} parameter {'.'.join(names)}"
