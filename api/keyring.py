"""The keys this process has seen lately, so that not every request asks the database."""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from starlette.concurrency import run_in_threadpool

from api.auth import Caller, Scope, hash_secret, split_key


class KeyRow(Protocol):
    """A key as it is stored."""

    @property
    def key_id(self) -> str:
        """Its public half."""

    @property
    def tenant(self) -> str:
        """Whose it is."""

    @property
    def secret_sha256(self) -> str:
        """Hex digest of its secret half."""

    @property
    def scopes(self) -> frozenset[str]:
        """Names of what it may do."""

    @property
    def expires_at(self) -> datetime | None:
        """When it ends by itself."""

    @property
    def revoked_at(self) -> datetime | None:
        """When somebody ended it."""


class KeyReads(Protocol):
    """What is asked of storage."""

    def key(self, key_id: str) -> KeyRow | None:
        """The key with this id."""

    def has_keys(self) -> bool:
        """Whether one was ever created."""


class KeyRing:
    """Looks keys up and remembers the answer for a moment.

    A revoked key is refused after `remember_s` at the latest, on every process, without a message between them.
    """

    def __init__(self, reads: KeyReads, clock: Callable[[], datetime], *, remember_s: float, keys_max: int) -> None:
        self._reads = reads
        self._clock = clock
        self._remember_s = remember_s
        self._keys_max = keys_max
        self._rows: OrderedDict[str, tuple[float, KeyRow | None]] = OrderedDict()
        self._any: tuple[float, bool] = (float("-inf"), False)

    async def has_keys(self) -> bool:
        """Whether a key was ever created, which closes the service to everyone without one."""
        asked_at, known = self._any
        if known or time.monotonic() - asked_at < self._remember_s:  # once created, keys are revoked, not forgotten
            return known
        started_at = time.monotonic()
        known = await run_in_threadpool(self._reads.has_keys)
        self._any = (started_at, known)
        return known

    async def caller_of_key(self, text: str) -> Caller | None:
        """Who holds the key with this text; None when nobody does (any more)."""
        parts = split_key(text)
        if parts is None:
            return None
        key_id, secret = parts
        row = await self._row(key_id)
        # Compared even when there is no such key, so that the time taken does not tell which key ids exist.
        matches = hmac.compare_digest(hash_secret(secret), row.secret_sha256 if row else "0" * 64)
        return self._caller(row, "key") if row and matches else None

    async def caller_of_session(self, key_id: str) -> Caller | None:
        """Who signed in with the key `key_id`; None once that key is revoked or expired."""
        row = await self._row(key_id)
        return self._caller(row, "session") if row else None

    def _caller(self, row: KeyRow, via: str) -> Caller | None:
        if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= self._clock()):
            return None
        scopes = frozenset(Scope(name) for name in row.scopes if name in set(Scope))
        return Caller(tenant=row.tenant, key_id=row.key_id, scopes=scopes, via="session" if via == "session" else "key")

    async def _row(self, key_id: str) -> KeyRow | None:
        remembered = self._rows.get(key_id)
        started_at = time.monotonic()
        if remembered is not None and started_at - remembered[0] < self._remember_s:
            return remembered[1]
        row = await run_in_threadpool(self._reads.key, key_id)
        self._rows[key_id] = (started_at, row)
        self._rows.move_to_end(key_id)
        while len(self._rows) > self._keys_max:
            self._rows.popitem(last=False)
        return row
