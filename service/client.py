"""Speaks to a running service over HTTP, for the commands that take `--url`."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2
import orjson

from tocsin.errors import InputError, UnreachableError

_DETAIL_CHARS_MAX = 500  # of an answer that is not ours
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Client:
    """One service, one key, one connection that is used again.

    Args:
        url: of the service, for example `http://127.0.0.1:8780`.
        key: its text, or None where the service is open.
        timeout_s: for one request.

    Raises:
        InputError: `url` is none.
    """

    def __init__(self, url: str, key: str | None, *, timeout_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InputError(f"--url: {url!r} is no address like http://127.0.0.1:8780")
        self.url = url.rstrip("/")
        self._client = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=timeout_s,
            follow_redirects=False,
            # A proxy of the company does not know this machine's loopback.
            trust_env=parts.hostname not in _LOOPBACK,
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one request and return its answer as JSON values.

        Raises:
            InputError: the service refused it; the message is its own.
            UnreachableError: there was no answer, or one that says "later".
        """
        try:
            answer = self._client.request(method, path, params=dict(params or {}), content=content, headers=headers)
        except httpx2.TransportError as error:
            raise UnreachableError(f"{self.url}: {_reason(error)}") from error
        if answer.status_code in _LATER:
            raise UnreachableError(
                f"{self.url}: HTTP {answer.status_code}: {_detail(answer)}", retry_after_s=_retry_after_s(answer)
            )
        if not answer.is_success:
            raise InputError(f"{self.url}: HTTP {answer.status_code}: {_detail(answer)}{_advice(answer.status_code)}")
        if not answer.content:
            return None
        try:
            return orjson.loads(answer.content)
        except orjson.JSONDecodeError as error:
            raise InputError(f"{self.url}{path}: the answer is not JSON; is this a Tocsin service?") from error

    def post(self, path: str, asked: object) -> Any:
        """`call` with a JSON body."""
        return self.call("POST", path, content=orjson.dumps(asked), headers={"Content-Type": "application/json"})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()


def _reason(error: httpx2.TransportError) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    if "Connection refused" in str(error) or isinstance(error, httpx2.ConnectError):
        return f"cannot connect ({error}); is the service running? (tocsin run)"
    return str(error) or type(error).__name__


def _detail(answer: httpx2.Response) -> str:
    try:
        body = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return answer.text[:_DETAIL_CHARS_MAX].strip() or answer.reason_phrase
    detail = body.get("detail") if isinstance(body, dict) else None
    return str(detail or answer.reason_phrase)[:_DETAIL_CHARS_MAX]


def _advice(status: int) -> str:
    return " (--key, --key-file or TOCSIN_KEY)" if status == 401 else ""


def _retry_after_s(answer: httpx2.Response) -> float | None:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isdigit() else None
