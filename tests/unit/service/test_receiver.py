from collections.abc import Iterator
from datetime import UTC, datetime

import httpx2
import pytest

from alerts.formats import Format
from alerts.webhook import headers, secret_of
from service.receiver import Receiver

_SECRET = secret_of(b"k" * 32)
_BODY = b'{"type":"incident.opened","data":{}}'


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def _post(receiver: Receiver, *, secret: str = _SECRET, message: str = "msg_1", body: bytes = _BODY) -> int:
    signed = headers(message=message, content=_BODY, shape=Format.STANDARD, secrets=(secret,), at=datetime.now(UTC))
    return httpx2.post(receiver.url, content=body, headers=signed, trust_env=False).status_code


def test_a_message_with_a_good_signature_is_taken(receiver: Receiver) -> None:
    receiver.trust(_SECRET)
    assert _post(receiver) == 204
    message = receiver.take(1.0)
    assert message is not None
    assert message.body["type"] == "incident.opened"


def test_a_message_that_comes_twice_is_given_once(receiver: Receiver) -> None:
    receiver.trust(_SECRET)
    assert [_post(receiver), _post(receiver)] == [204, 204]
    assert receiver.take(1.0) is not None
    assert receiver.take(0) is None


def test_a_changed_body_another_secret_and_no_secret_are_refused(receiver: Receiver) -> None:
    assert _post(receiver) == 401
    receiver.trust(_SECRET)
    assert _post(receiver, body=_BODY + b" ") == 401
    assert _post(receiver, secret=secret_of(b"x" * 32)) == 401
    assert receiver.take(0) is None
    assert receiver.refused == 3
