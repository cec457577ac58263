"""Signing in to the web page: a signed cookie that names a key, and the token every form carries."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta

COOKIE = "tocsin_session"
CSRF_FIELD = "csrf"
CSRF_HEADER = "x-csrf-token"


class Sessions:
    """Signs and checks cookies. Nothing is stored: a session ends with its time, its key, or the signing secret.

    Args:
        secret: signs cookies; sessions survive a restart only if it does.
        clock: gives the time as an aware datetime.
        random_bytes: makes each session different.
        hours: how long a session lasts.
    """

    def __init__(
        self, secret: bytes, clock: Callable[[], datetime], random_bytes: Callable[[int], bytes], *, hours: float
    ) -> None:
        assert len(secret) >= 32, "a session secret has at least 32 bytes"
        self._secret = secret
        self._clock = clock
        self._random_bytes = random_bytes
        self._lasts = timedelta(hours=hours)

    def start(self, key_id: str) -> str:
        """The cookie of a new session of the key `key_id`."""
        expires = int((self._clock() + self._lasts).timestamp())
        words = f"{key_id}.{expires}.{self._random_bytes(9).hex()}"
        return f"{words}.{self._sign('session', words)}"

    def key_id(self, cookie: str) -> str | None:
        """The key a cookie was made for; None when it is forged, damaged or over."""
        words, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(self._sign("session", words).encode(), signature.encode("utf-8", "replace")):
            return None
        key_id, expires, _ = words.split(".")
        return key_id if int(expires) > self._clock().timestamp() else None

    def csrf(self, cookie: str) -> str:
        """The token that forms of this session carry; `cookie` is empty while the service is open."""
        return self._sign("csrf", cookie)

    def csrf_holds(self, cookie: str, token: str) -> bool:
        """Whether `token` was made for this session."""
        return hmac.compare_digest(self.csrf(cookie).encode(), token.encode("utf-8", "replace"))

    def _sign(self, purpose: str, words: str) -> str:
        return hmac.new(self._secret, f"{purpose}\x1f{words}".encode(), hashlib.sha256).hexdigest()
