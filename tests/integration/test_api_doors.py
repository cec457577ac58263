from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from api import datadog, elasticsearch, gelf, journald, loki, otlp, prometheus, splunk
from api.auth import Scope
from api.guard import is_public
from api.openapi import scope_of
from tests.house import House, Story

#: What every route asks for. A route that is not here fails the test: somebody must have thought about it.
SCOPES = {
    "GET /healthz": None,
    "GET /readyz": None,
    "GET /login": None,
    "POST /login": None,
    "POST /v1/ingest/{stream}": "ingest",
    "POST /loki/api/v1/push": "ingest",
    "POST /api/prom/push": "ingest",
    "POST /loki/api/prom/push": "ingest",
    "POST /loki/loki/api/v1/push": "ingest",
    "GET /ready": "ingest",
    "GET /loki/ready": "ingest",
    "GET /loki/api/v1/status/buildinfo": "ingest",
    "GET /loki/loki/api/v1/status/buildinfo": "ingest",
    "POST /api/v1/write": "ingest",
    "GET /v1/incidents": "read",
    "GET /v1/incidents/{incident_id}": "read",
    "PATCH /v1/incidents/{incident_id}": "admin",
    "POST /v1/incidents/{incident_id}/feedback": "admin",
    "GET /v1/findings": "read",
    "GET /v1/streams": "read",
    "GET /v1/templates": "read",
    "GET /v1/entities/{kind}/{value:path}": "read",
    "GET /v1/detectors": "read",
    "GET /v1/dead_letters": "read",
    "POST /v1/sql": "query",
    "GET /v1/stream": "read",
    "GET /v1/webhooks": "admin",
    "POST /v1/webhooks": "admin",
    "GET /v1/webhooks/{webhook_id}": "admin",
    "PATCH /v1/webhooks/{webhook_id}": "admin",
    "DELETE /v1/webhooks/{webhook_id}": "admin",
    "POST /v1/webhooks/{webhook_id}/test": "admin",
    "GET /v1/webhooks/{webhook_id}/deliveries": "read",
    "POST /v1/deliveries/{delivery_id}/replay": "admin",
    "GET /v1/silences": "read",
    "POST /v1/silences": "admin",
    "DELETE /v1/silences/{silence_id}": "admin",
    "GET /v1/budgets": "read",
    "POST /v1/budgets": "admin",
    "GET /metrics": "read",
    "GET /": "read",
    "GET /incidents/{incident_id}": "read",
    "POST /incidents/{incident_id}/status": "admin",
    "POST /incidents/{incident_id}/feedback": "admin",
    "GET /sources": "read",
    "GET /query": "query",
    "POST /query": "query",
    "GET /openapi.json": "any",
    "GET /docs": "any",
    "POST /logout": "any",
}

#: Whatever is served beside taking lines is there for those who send them.
SCOPES |= {
    f"{method} {route.path}": "ingest"
    for module in (datadog, elasticsearch, gelf, journald, loki, otlp, prometheus, splunk)
    for route in module.router.routes
    if isinstance(route, APIRoute)
    for method in route.methods or ()
}


def routes_of(app: Any) -> dict[str, APIRoute]:
    found: dict[str, APIRoute] = {}
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute):
            found |= {f"{method} {route.path}": route for method in route.methods or ()}
    return found


def path_of(route: str) -> tuple[str, str]:
    method, path = route.split(" ")
    return method, re.sub(
        r"\{delivery_id\}", "1", re.sub(r"\{[a-z_:]+\}", "x", path).replace("/v1/deliveries/x", "/v1/deliveries/1")
    )


def test_every_route_is_listed_with_its_scope(house: House) -> None:
    asked = {}
    for name, route in routes_of(house.app()).items():
        scope = scope_of(route)
        asked[name] = scope.value if scope else (None if is_public(route.path) else "any")
    assert asked == SCOPES


def test_no_route_answers_without_a_key(house: House) -> None:
    house.key("read")
    client = house.client()
    for route, scope in SCOPES.items():
        if scope:
            method, path = path_of(route)
            answer = client.request(method, path, headers={"Content-Type": "application/json"}, content=b"{}")
            assert answer.status_code == 401, route


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE"])
def test_a_path_that_nobody_listed_is_refused_without_a_key(house: House, method: str) -> None:
    house.key("read")
    client = house.client()
    for path in ("/nowhere", "/v1/nowhere", "/v2/incidents", "/static", "//v1/incidents", "/healthz/x", "/metrics/"):
        assert client.request(method, path).status_code == 401, path


@pytest.mark.parametrize("held", [scope.value for scope in Scope])
def test_a_key_opens_the_routes_of_its_scopes_and_no_others(house: House, held: str) -> None:
    client = house.client(house.key(held))
    wrong = []
    for route, scope in SCOPES.items():
        if scope is None or route == "GET /v1/stream":  # which never ends
            continue
        method, path = path_of(route)
        status = client.request(method, path, headers={"Content-Type": "application/json"}, content=b"{}").status_code
        allowed = scope in {held, "any"} or held == "admin"
        if (status == 403) is allowed and not (route.startswith("POST") and not path.startswith("/v1")):
            wrong.append((route, status))
    assert not wrong


def test_a_refusal_names_the_scope_that_is_missing(house: House) -> None:
    answer = house.client(house.key("read")).post("/v1/sql", json={"query": "SELECT 1"})
    assert answer.status_code == 403
    assert answer.json()["detail"] == "this key does not hold the scope query"
    assert 'scope="query"' in answer.headers["www-authenticate"]


def test_ids_of_another_tenant_do_not_exist(house: House, story: type[Story]) -> None:
    (incident_id,) = house.tell(story(), tenant="alpha")
    theirs, ours = house.client(house.key(tenant="alpha")), house.client(house.key(tenant="beta"))
    url = "https://hooks.example.com/x"
    webhook_id = theirs.post("/v1/webhooks", json={"url": url}).json()["webhook_id"]
    delivery_id = theirs.post(f"/v1/webhooks/{webhook_id}/test").json()["delivery_id"]
    silence = {"matcher": "entity", "value": "user:eve", "reason": "known", "ends_at": "2027-01-01T00:00:00Z"}
    silence_id = theirs.post("/v1/silences", json=silence).json()["silence_id"]
    for method, path, body in (
        ("GET", f"/v1/incidents/{incident_id}", None),
        ("PATCH", f"/v1/incidents/{incident_id}", {"status": "resolved"}),
        ("POST", f"/v1/incidents/{incident_id}/feedback", {"label": "benign"}),
        ("GET", f"/incidents/{incident_id}", None),
        ("GET", f"/v1/webhooks/{webhook_id}", None),
        ("PATCH", f"/v1/webhooks/{webhook_id}", {"enabled": False}),
        ("POST", f"/v1/webhooks/{webhook_id}/test", None),
        ("GET", f"/v1/webhooks/{webhook_id}/deliveries", None),
        ("POST", f"/v1/deliveries/{delivery_id}/replay", None),
        ("DELETE", f"/v1/silences/{silence_id}", None),
        ("DELETE", f"/v1/webhooks/{webhook_id}", None),
        ("GET", "/v1/entities/user/root", None),
    ):
        assert ours.request(method, path, json=body).status_code == 404, (method, path)
    assert ours.get("/v1/incidents").json()["incidents"] == []
    assert ours.get("/v1/findings").json()["findings"] == []
    assert ours.get("/v1/silences").json()["silences"] == []
    assert ours.get("/v1/webhooks").json()["webhooks"] == []
    assert theirs.get(f"/v1/incidents/{incident_id}").json()["status"] == "open"
    assert theirs.get(f"/v1/webhooks/{webhook_id}").json()["enabled"]
    assert len(theirs.get("/v1/silences").json()["silences"]) == 1
