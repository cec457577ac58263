from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from starlette.websockets import WebSocketDisconnect

from tests.house import House


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_without_a_key_the_service_is_open_on_loopback(house: House) -> None:
    assert house.client().get("/v1/incidents").status_code == 200


def test_the_first_key_closes_it(house: House) -> None:
    house.key("read")
    answer = house.client().get("/v1/incidents")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Bearer" in answer.json()["detail"]


def test_a_key_opens_it(house: House) -> None:
    assert house.client(house.key("read")).get("/v1/incidents").status_code == 200


def test_the_key_as_a_password_opens_it_too(house: House) -> None:
    key = house.key("read")
    answer = house.client().get("/v1/incidents", headers={"Authorization": basic("anybody", key)})
    assert answer.status_code == 200


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "write"),
    [
        ("Authorization", lambda key: f"ApiKey {key}"),
        ("Authorization", lambda key: f"ApiKey {b64('tocsin:' + key)}"),
        ("Authorization", lambda key: f"apikey {b64(':' + key)}"),
        ("Authorization", lambda key: f"Splunk {key}"),
        ("Authorization", lambda key: f"splunk {key}"),
        ("Authorization", lambda key: f"Basic {b64('x:' + key)}"),
        ("DD-API-KEY", lambda key: key),
    ],
)
def test_a_key_is_understood_where_any_protocol_puts_it(house: House, header: str, write: Callable[[str], str]) -> None:
    key = house.key("read")
    assert house.client().get("/v1/incidents", headers={header: write(key)}).status_code == 200
    assert house.client().get("/v1/incidents", headers={header: write(key[:-8] + "00000000")}).status_code == 401


@pytest.mark.parametrize("headers", [{"Authorization": "Splunk any"}, {"DD-API-KEY": "any"}])
def test_senders_that_must_send_some_key_may_send_any_while_the_service_is_open(
    house: House, headers: dict[str, str]
) -> None:
    client = house.client()
    assert client.get("/v1/incidents", headers=headers).status_code == 200
    assert client.post("/v1/ingest/app", headers=headers | {"Origin": "https://evil.example"}).status_code == 403
    house.key("read")
    assert house.client().get("/v1/incidents", headers=headers).status_code == 401


@pytest.mark.parametrize("path", ["//v1/ingest/app", "/v1//ingest///app", "/v1/ingest/app/", "/v1/ingest/app//"])
def test_slashes_too_many_change_nothing(house: House, path: str) -> None:
    assert house.client().post(f"http://127.0.0.1:8780{path}", content=b"line\n").json()["accepted"] == 1


def test_slashes_inside_a_name_are_kept(house: House) -> None:
    for value in ("http://a.example//b/", "http:%2F%2Fa.example%2F%2Fb%2F"):
        answer = house.client().get(f"/v1/entities/url/{value}")
        assert "http://a.example//b/" in answer.text, answer.text


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "ApiKey",
        "ApiKey nonsense",
        "Bearer nonsense",
        "Bearer tocsin_abcdef_0123456789012345678901234567890123456789",
        "Basic !!!",
        basic("user", "wrong"),
        "Basic",
        "Digest x",
        "",
    ],
)
def test_a_wrong_key_is_refused_even_while_the_service_is_open(house: House, authorization: str) -> None:
    answer = house.client().get("/v1/incidents", headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert "unknown" in answer.json()["detail"]


def test_the_right_id_with_a_wrong_secret_is_refused(house: House) -> None:
    key = house.key("read")
    assert house.client(key[:-1] + ("0" if key[-1] != "0" else "1")).get("/v1/incidents").status_code == 401


def test_a_revoked_key_is_refused_within_a_second(house: House) -> None:
    key = house.key("read")
    client = house.client(key, key_remember_s=0.0)
    assert client.get("/v1/incidents").status_code == 200
    house.store.keys.revoke(key.split("_")[1], house.clock())
    assert client.get("/v1/incidents").status_code == 401


def test_revoking_the_last_key_does_not_open_the_service(house: House) -> None:
    key = house.key("read")
    house.store.keys.revoke(key.split("_")[1], house.clock())
    assert house.client().get("/v1/incidents").status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/login", "/static/tocsin.css"])
def test_some_paths_are_for_everyone(house: House, path: str) -> None:
    house.key("read")
    assert house.client().get(path).status_code == 200


@pytest.mark.parametrize("path", ["/static/../services.py", "/static/%2e%2e/services.py", "/static/..%2fservices.py"])
def test_the_static_folder_ends_at_its_walls(house: House, path: str) -> None:
    assert house.client().get(path).status_code in {401, 404}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8780", "127.0.0.1.evil.example", "", "localhost.evil"])
def test_another_name_for_this_address_is_refused(house: House, host: str) -> None:
    for path in ("/v1/incidents", "/healthz", "/"):
        assert house.client().get(path, headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1:8780", "[::1]:8780", "LOCALHOST"])
def test_the_names_of_loopback_are_answered(house: House, host: str) -> None:
    assert house.client().get("/healthz", headers={"Host": host}).status_code == 200


def test_a_proxy_in_front_is_answered_under_its_allowed_name(house: House) -> None:
    client = house.client(allowed_hosts=("tocsin.example",), public_url="https://alarm.example/")
    for host in ("tocsin.example", "alarm.example"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_web_page_changes_nothing(house: House, headers: dict[str, str]) -> None:
    for path in ("/v1/ingest/app", "/v1/silences", "/v1/budgets", "/login"):
        answer = house.client().post(path, content=b"{}", headers=headers)
        assert answer.status_code == 403, path
        assert "Origin" in answer.json()["detail"]


def test_a_remembered_password_does_not_help_another_web_page(house: House) -> None:
    authorization = basic("user", house.key("ingest"))
    headers = {"Authorization": authorization, "Origin": "https://evil.example"}
    assert house.client().post("/v1/ingest/app", content=b"line\n", headers=headers).status_code == 403
    del headers["Origin"]
    assert house.client().post("/v1/ingest/app", content=b"line\n", headers=headers).status_code == 200


def test_a_program_with_a_key_may_send_any_origin(house: House) -> None:
    client = house.client(house.key("ingest"))
    answer = client.post("/v1/ingest/app", content=b"line\n", headers={"Origin": "https://dashboard.example"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/login", "/healthz", "/v1/incidents", "/nowhere", "/static/tocsin.css", "/docs"]
)
def test_every_answer_forbids_foreign_content(house: House, path: str) -> None:
    headers = house.client().get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"


def test_a_refusal_carries_the_same_headers(house: House) -> None:
    house.key("read")
    assert "content-security-policy" in house.client().get("/v1/incidents").headers


def test_a_person_without_a_session_is_asked_to_sign_in(house: House) -> None:
    house.key("read")
    answer = house.client().get("/incidents/x?y=1", headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fincidents%2Fx%3Fy%3D1"


def test_a_link_from_elsewhere_is_followed_once_more_so_that_the_cookie_comes_along(house: House) -> None:
    house.key("read")
    answer = house.client().get("/", headers={"Accept": "text/html", "Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh"' in answer.text


def test_a_socket_that_is_not_http_is_closed(house: House) -> None:
    with pytest.raises(WebSocketDisconnect) as closed, house.client().websocket_connect("/v1/stream"):
        pass
    assert closed.value.code == 1008
