"""The OpenAPI document is a promise: requests made up from it are answered as it says, and never with a crash."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from starlette.testclient import TestClient

from api.openapi import PROTOCOL
from tests.house import House, Story

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis

schemathesis.serializer.alias("application/vnd.fdo.journal", "application/octet-stream")


@schemathesis.serializer("application/x-protobuf", "application/x-ndjson")
def _as_it_is(_context: Any, value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes) else str(value).encode()


_SKIPPED = {"/v1/stream", "/v1/sql"}  # one never ends; the other starts a process a query and has a test of its own


def test_the_document_is_openapi_and_names_every_error(house: House) -> None:
    document = house.client().get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["components"]["schemas"]["Problem"]["required"] == ["type", "title", "status", "detail"]
    assert "HTTPValidationError" not in json.dumps(document)


@pytest.mark.slow
def test_requests_made_up_from_the_document_are_answered_as_it_says(house: House, story: type[Story]) -> None:
    house.tell(story())
    app = house.app()
    with house.client(app=app) as client:
        schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
        for result in schema.get_all_operations():
            operation: Any = result.ok()  # type: ignore[union-attr]  # the other kind is a broken document
            if operation.path not in _SKIPPED:
                _try(operation, client)


def _try(operation: Any, client: TestClient) -> None:
    @seed(2)
    @settings(
        max_examples=15,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def one(case: Any) -> None:
        _check(case, client)

    one()


def _check(case: Any, client: TestClient) -> None:
    asked = case.as_transport_kwargs(base_url="http://127.0.0.1:8780")
    body = {"json": asked["json"]} if asked.get("json") is not None else {"content": asked.get("data") or b""}
    answer = client.request(
        asked["method"], asked["url"], params=asked.get("params"), headers=dict(asked.get("headers") or {}), **body
    )
    told = case.operation.definition.raw["responses"]
    assert str(answer.status_code) in told, (asked["method"], asked["url"], answer.status_code, answer.text[:300])
    assert answer.status_code < 500 or answer.status_code == 503
    if answer.status_code >= 400 and PROTOCOL not in case.operation.definition.raw:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]
