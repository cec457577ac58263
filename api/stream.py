"""`GET /v1/stream`: tells live pages that something changed, by server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Send
from starlette.types import Scope as ASGIScope

from api.auth import Caller, Needs, Scope
from api.schemas import Problem
from api.services import parts_of
from api.watch import Watch

router = APIRouter(tags=["incidents"])


_SSE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "Events: `hello`, `change`, `bye`"},
    503: {"model": Problem, "description": "Too many live pages"},
}


@router.get("/v1/stream", summary="Follow changes", response_class=StreamingResponse, responses=_SSE)
async def stream(request: Request, caller: Annotated[Caller, Depends(Needs(Scope.READ))]) -> StreamingResponse:
    """Follow changes of incidents and streams as server-sent events.

    `change` means: ask again. `hello` comes first, `bye` before the service stops. A comment every 15 s keeps proxies
    from closing the connection.
    """
    watch = parts_of(request).watch
    watch.enter(caller.tenant)
    return _LivePage(watch, caller.tenant, _events(request, caller))


class _LivePage(StreamingResponse):
    """An answer that counts its page out however it ends, also when its first byte was never asked for."""

    def __init__(self, watch: Watch, tenant: str, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._leave = partial(watch.leave, tenant)

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


async def _events(request: Request, caller: Caller) -> AsyncIterator[bytes]:
    parts = parts_of(request)
    watch, stopping = parts.watch, parts.services.stopping
    heartbeat_s = parts.services.settings.stream_heartbeat_s
    seen = await watch.state(caller.tenant)
    yield b"retry: 3000\n" + _event("hello")
    spoke_at = time.monotonic()
    while not stopping.is_set():
        await asyncio.sleep(watch.poll_s)
        if not await _is_still_let_in(request, caller):
            break
        state = await watch.state(caller.tenant)
        if state != seen:
            seen = state
            yield _event("change")
            spoke_at = time.monotonic()
        elif time.monotonic() - spoke_at >= heartbeat_s:
            yield b": still here\n\n"
            spoke_at = time.monotonic()
    yield _event("bye")


async def _is_still_let_in(request: Request, caller: Caller) -> bool:
    # A key may be revoked, or the first one created, while a page is open.
    keyring = parts_of(request).keyring
    if caller.key_id is None:
        return not await keyring.has_keys()
    return await keyring.caller_of_session(caller.key_id) is not None


def _event(name: str) -> bytes:
    return f"event: {name}\ndata: {{}}\n\n".encode()
