"""The door: which host was meant, who is asking, whether another web page sent them, and what every answer carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth import OPEN_CALLER, Caller
from api.credentials import Credential, credential_of
from api.dialects import Dialect, refusal
from api.keyring import KeyRing
from api.paths import path_of
from api.problems import ProblemError, problem_response
from api.sessions import COOKIE, Sessions

#: Routes anyone may ask. Everything else needs a caller, listed or not.
PUBLIC_PATHS = frozenset({"/healthz", "/readyz", "/login"})
PUBLIC_PREFIX = "/static/"

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

# Somebody followed a link from a mail or a chat: the browser holds a strict cookie back. Asked again from a page of
# ours, it sends it.
_AGAIN = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0"><title>Tocsin</title>'

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with `no-referrer` a browser sends our own forms with `Origin: null`
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # No inline script or style anywhere, nothing from another host, nobody may frame us.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What the guard decides by."""

    keyring: KeyRing
    sessions: Sessions
    loopback: bool  # bound to a loopback address
    allow_open: bool  # without any key, everyone on loopback is let in
    hosts: frozenset[str]  # further host names this service answers to
    dialects: tuple[Dialect, ...] = ()  # protocols with refusals of their own


def is_loopback(host: str) -> bool:
    """Whether `host` is an address that only this machine can reach."""
    return host in _LOOPBACK_HOSTS or host.startswith("127.")


def host_name(host: str) -> str:
    """The name in a `Host` header, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


class Guard:
    """ASGI middleware around the whole application; refuses before any route runs."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            else:  # no route speaks WebSocket
                await send({"type": "websocket.close", "code": 1008})
            return
        scope["path"] = path_of(scope)
        answer = await self._refusal(scope)
        if answer is None:
            await self._app(scope, receive, _with_headers(send))
        else:
            await answer(scope, receive, _with_headers(send))

    async def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            if not is_public(scope["path"]):
                scope.setdefault("state", {})["caller"] = caller = await self._caller(headers)
                self._check_origin(scope, headers, caller)
            else:
                self._check_origin(scope, headers, OPEN_CALLER)
        except ProblemError as problem:
            if problem.status == 401 and _is_page(scope, headers):
                if headers.get("sec-fetch-site") == "cross-site":
                    return HTMLResponse(_AGAIN)
                there = scope["path"] + (f"?{query}" if (query := scope["query_string"].decode("latin-1")) else "")
                return RedirectResponse(f"/login?next={quote(there, safe='')}", status_code=303)
            answer = refusal(self._door.dialects, scope["path"], headers, problem)
            if answer is not None:
                return answer
            return problem_response(problem.status, problem.detail, headers=problem.headers, members=problem.members)
        return None

    def _check_host(self, headers: Headers) -> None:
        # A web page can make a browser resolve its own name to 127.0.0.1 and then read our answers as its own
        # (DNS rebinding). It cannot change the name in the Host header.
        if not self._door.loopback:
            return
        name = host_name(headers.get("host", ""))
        if name not in _LOOPBACK_HOSTS and name not in self._door.hosts:
            raise ProblemError(
                421, "Host header: this service listens on loopback and does not answer to that name (allowed_hosts)"
            )

    def _check_origin(self, scope: Scope, headers: Headers, caller: Caller) -> None:
        # A bearer key is proof enough. A cookie, a password the browser remembers, or nothing at all travels with
        # requests of other web pages too.
        if scope["method"] in _SAFE_METHODS or caller.via == "key":
            return
        origin = headers.get("origin")
        ours = origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
        if not ours or headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            raise ProblemError(403, "Origin header: another web page may not change anything here")

    async def _caller(self, headers: Headers) -> Caller:
        keyring = self._door.keyring
        credential = credential_of(headers)
        if credential is not None:
            return await self._caller_with(credential)
        key_id = self._door.sessions.key_id(session_cookie(headers))
        caller = await keyring.caller_of_session(key_id) if key_id else None
        if caller is not None:
            return caller
        if await self._is_open():
            return OPEN_CALLER
        raise _unauthorized("Authorization header: a key is needed, as `Bearer tocsin_...`")

    async def _caller_with(self, credential: Credential) -> Caller:
        caller = await self._door.keyring.caller_of_key(credential.text)
        if caller is not None:
            return replace(caller, via=credential.via)
        if credential.obliged and await self._is_open():
            return OPEN_CALLER
        raise _unauthorized(f"{credential.where} header: this key is unknown, revoked or expired")

    async def _is_open(self) -> bool:
        return self._door.allow_open and not await self._door.keyring.has_keys()


def is_public(path: str) -> bool:
    """Whether anyone may ask for `path`."""
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIX)


def session_cookie(headers: Headers) -> str:
    """The session cookie a request carries, or an empty text."""
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(401, detail, headers={"WWW-Authenticate": "Bearer"})


def _is_page(scope: Scope, headers: Headers) -> bool:
    return (
        scope["method"] == "GET"
        and not scope["path"].startswith("/v1/")
        and "text/html" in headers.get("accept", "")
        and "hx-request" not in headers
    )


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers


def hosts_of(urls: Sequence[str], names: Sequence[str]) -> frozenset[str]:
    """The host names in `urls`, and `names`, in lower case."""
    return frozenset({host_name(urlsplit(url).netloc) for url in urls if url} | {name.lower() for name in names})
