"""Webhook messages: their body, their id, their signature (Standard Webhooks 1.0.0)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b

import orjson
from standardwebhooks import Webhook

from alerts.formats import Format, alertmanager, cloudevents, pagerduty, standard
from alerts.notice import BodySettings, Notice
from tocsin.errors import InputError

USER_AGENT = "Tocsin-Webhook/1"
SECRET_PREFIX = "whsec_"  # noqa: S105 -- the public mark of a secret, not one
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64  # Standard Webhooks 1.0.0
SECRETS_MAX = 3  # valid at the same time: the new one, the old one, and one for a botched rotation

_CONTENT_TYPES = {Format.CLOUDEVENTS: "application/cloudevents+json; charset=utf-8"}


def message_id(webhook_id: str, incident_id: str, sequence: int) -> str:
    """Id of the message that tells one webhook of one change: the same for all attempts and after a restart."""
    parts = "\x1f".join((webhook_id, incident_id, str(sequence)))
    return f"msg_{blake2b(parts.encode(), digest_size=16).hexdigest()}"


def body(notice: Notice, shape: Format, settings: BodySettings, *, routing_key: str = "") -> bytes:
    """The bytes to send, below 20 kB. They are kept in the outbox, so every attempt sends the same.

    Args:
        notice: what to tell.
        shape: what the receiver expects.
        settings: limits of the content.
        routing_key: PagerDuty's integration key; used by that shape only.

    Raises:
        InputError: the PagerDuty shape has no routing key.
    """
    if shape is Format.PAGERDUTY:
        if not routing_key:
            raise InputError("webhook: the pagerduty format needs a routing key")
        return orjson.dumps(pagerduty(notice, settings, routing_key))
    shapes = {Format.STANDARD: standard, Format.ALERTMANAGER: alertmanager, Format.CLOUDEVENTS: cloudevents}
    return orjson.dumps(shapes[shape](notice, settings))


def headers(*, message: str, content: bytes, shape: Format, secrets: Sequence[str], at: datetime) -> dict[str, str]:
    """Headers of one attempt.

    Args:
        message: the message id.
        content: the body.
        shape: of the body.
        secrets: each adds a signature to the one header, so that a receiver may know the old or the new secret. Without
            secrets the message is not signed.
        at: time of this attempt, aware.

    Raises:
        InputError: a secret is malformed.
    """
    named = {
        "content-type": _CONTENT_TYPES.get(shape, "application/json"),
        "user-agent": USER_AGENT,
        "webhook-id": message,
        "webhook-timestamp": str(int(at.timestamp())),
    }
    if secrets:
        named["webhook-signature"] = signature(message=message, content=content, secrets=secrets, at=at)
    return named


def signature(*, message: str, content: bytes, secrets: Sequence[str], at: datetime) -> str:
    """`v1,<base64 HMAC-SHA256 of id.timestamp.body>` for each secret, separated by spaces.

    Raises:
        InputError: a secret is malformed.
    """
    text = content.decode()
    signers = [Webhook(secret_key(secret)) for secret in secrets[:SECRETS_MAX]]
    return " ".join(signer.sign(message, at, text) for signer in signers)


def secret_of(key: bytes) -> str:
    """A secret as receivers enter it: `whsec_` and base64.

    Args:
        key: 24 to 64 random bytes.

    Raises:
        InputError: too few or too many bytes.
    """
    if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise InputError(f"webhook secret: {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, got {len(key)}")
    return SECRET_PREFIX + base64.b64encode(key).decode()


def secret_key(secret: str) -> bytes:
    """The bytes of a secret, with or without its prefix. The message of the error does not repeat the secret.

    Raises:
        InputError: not base64, or too short or too long.
    """
    text = secret.removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InputError("webhook secret: not base64") from None
    if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise InputError(f"webhook secret: {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, got {len(key)}")
    return key
