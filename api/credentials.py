"""The key in a request, wherever the sender's protocol puts it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Literal

from starlette.datastructures import Headers

from api.auth import split_key

#: The header of Datadog's senders.
DATADOG = "dd-api-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What somebody showed at the door."""

    text: str  # of the key, if it is one
    where: str  # the header it came in
    via: Literal["key", "password"] = "key"
    obliged: bool = False  # senders of this protocol cannot do without one, also where none is asked for


def credential_of(headers: Headers) -> Credential | None:
    """The key that `headers` carry; None when they carry none of any kind."""
    authorization = headers.get("authorization")
    if authorization is None:
        key = headers.get(DATADOG)
        return None if key is None else Credential(text=key, where="DD-API-KEY", obliged=True)
    scheme, _, text = authorization.strip().partition(" ")
    match scheme.lower():
        case "bearer":
            return Credential(text=text, where="Authorization")
        case "splunk":
            return Credential(text=text, where="Authorization", obliged=True)
        case "apikey":  # Elasticsearch: the key itself, or `id:key` in base64
            return Credential(text=text if split_key(text) else _second(text), where="Authorization")
        case "basic":  # for senders that know nothing else: the key is the password
            return Credential(text=_second(text), where="Authorization", via="password")
        case _:
            return Credential(text="", where="Authorization")


def _second(text: str) -> str:
    """What follows the colon in `text`, which is base64; an empty text where it is not."""
    try:
        return base64.b64decode(text.strip(), validate=True).decode("utf-8", "replace").partition(":")[2]
    except ValueError:
        return ""
