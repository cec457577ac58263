"""Who is asking: API keys, their scopes, and how fast a revoked key is forgotten."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from fastapi import Request

from api.problems import ProblemError


class Scope(StrEnum):
    """What a key may do. `admin` includes the others."""

    INGEST = "ingest"
    READ = "read"
    QUERY = "query"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The answer to "who is asking": every read and write is confined to this tenant."""

    tenant: str
    key_id: str | None  # None while the service is open
    scopes: frozenset[Scope]
    via: Literal["open", "key", "password", "session"]  # "password": a key by Basic authentication

    @property
    def name(self) -> str:
        """Who that is, for the record of what was changed."""
        return f"key {self.key_id}" if self.key_id else "somebody on this machine"

    def may(self, scope: Scope) -> bool:
        """Whether this caller holds `scope`."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


#: Everyone on loopback as long as no key was ever created.
OPEN_CALLER = Caller(tenant="default", key_id=None, scopes=frozenset(Scope), via="open")

_KEY = re.compile(r"tocsin_([a-z0-9]{6,32})_([A-Za-z0-9_-]{22,128})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedKey:
    """A new key: `text` is shown once to its owner, the rest is kept."""

    key_id: str
    text: str
    secret_sha256: str  # hex; the secret is random, so a fast hash is right


def mint_key(random_bytes: Callable[[int], bytes]) -> MintedKey:
    """Make a key with a secret of 160 bits."""
    key_id, secret = random_bytes(6).hex(), random_bytes(20).hex()
    return MintedKey(key_id=key_id, text=f"tocsin_{key_id}_{secret}", secret_sha256=hash_secret(secret))


def hash_secret(secret: str) -> str:
    """SHA-256 of a key's secret, in hex: what is stored and compared."""
    return hashlib.sha256(secret.encode()).hexdigest()


def split_key(text: str) -> tuple[str, str] | None:
    """Split the text of a key into key id and secret; None when it is not the text of a key."""
    match = _KEY.match(text.strip())
    return (match[1], match[2]) if match else None


def caller_of(request: Request) -> Caller:
    """The caller the guard let in; every route below it can rely on one."""
    caller = request.state.caller
    assert isinstance(caller, Caller), "the guard sets the caller of every route that is not public"
    return caller


class Needs:
    """A dependency of a route: the caller holds `scope`. Returns the caller."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> Caller:
        """Refuse a caller that does not hold it. Async, because a plain function would cost a change of threads."""
        caller = caller_of(request)
        if not caller.may(self.scope):
            raise ProblemError(
                403,
                f"this key does not hold the scope {self.scope.value}",
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{self.scope.value}"'},
            )
        return caller
