"""Forms of the web page: read with a limit, and only from our own pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from api.guard import session_cookie
from api.problems import ProblemError
from api.services import parts_of
from api.sessions import CSRF_FIELD, CSRF_HEADER

_FORM_BYTES_MAX = 512 * 2**10  # a query of 100,000 characters, percent-encoded
_FIELDS_MAX = 20


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a posted form."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES_MAX:
            raise ProblemError(413, f"form: larger than {_FORM_BYTES_MAX} bytes", headers={"Connection": "close"})
    try:
        fields = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise ProblemError(400, f"form: more than {_FIELDS_MAX} fields") from None
    return dict(fields)


Model = TypeVar("Model", bound=BaseModel)


def fill(model: type[Model], values: Mapping[str, object]) -> Model:
    """What the fields of a form ask for.

    Raises:
        RequestValidationError: a field is not what it must be.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from None


async def own_form(request: Request, form: Annotated[dict[str, str], Depends(read_form)]) -> dict[str, str]:
    """The fields of a form that one of our pages made for this session."""
    token = request.headers.get(CSRF_HEADER) or form.get(CSRF_FIELD, "")
    if not parts_of(request).sessions.csrf_holds(session_cookie(request.headers), token):
        raise ProblemError(403, "form: it was not made for this session; load the page again")
    return form


OwnForm = Annotated[dict[str, str], Depends(own_form)]
Form = Annotated[dict[str, str], Depends(read_form)]
