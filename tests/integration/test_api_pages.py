from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from api.openapi import PROTOCOL
from tests.house import House, Story

HTML = {"Accept": "text/html"}
PAGES = ("/", "/sources", "/query", "/docs", "/login", "/?status=all&severity_min=70&entity=user:x", "/nowhere")
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "invoice\u202egnp.exe",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "javascript:alert(1)",
    "&lt;b&gt; ' onmouseover='alert(1)",
    "nul \x00 bell \x07 null width \u200b",
)


class Elements(HTMLParser):
    """Every element with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def token_of(page: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_drawn_without_inline_script_or_style_or_foreign_host(house: House, path: str) -> None:
    answer = house.client().get(path, headers=HTML)
    assert answer.status_code in {200, 404}
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for tag, attributes in Elements(answer.text).found:
        assert tag != "style"
        assert tag != "script" or "src" in attributes
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style", tag
            if name in {"href", "src", "action"}:
                assert re.match(r"#|/(?!/)", value or ""), (tag, value)


def test_a_newcomer_sees_how_to_send_a_line(house: House) -> None:
    text = house.client().get("/", headers=HTML).text
    assert "Nothing has arrived yet" in text
    assert "curl -sS --data-binary @- http://127.0.0.1:8780/v1/ingest/hello" in text
    assert "This service is open" in text


def test_with_keys_the_lines_to_copy_carry_one(house: House) -> None:
    text = house.client(house.key("read")).get("/", headers=HTML).text
    assert "Authorization: Bearer $TOCSIN_KEY" in text
    assert "This service is open" not in text


def test_the_list_shows_what_is_active_and_filters_the_rest(house: House, story: type[Story]) -> None:
    first, second = house.tell(story(), story(summary="disk of db-1 is full", entities=("host:db-1",)))
    client = house.client()
    client.patch(f"/v1/incidents/{second}", json={"status": "resolved"})
    active, lately = client.get("/", headers=HTML).text.split("Resolved lately</h2>")
    assert first in active
    assert second not in active
    assert second in lately
    assert "Resolved lately" not in client.get("/?severity_min=1", headers=HTML).text
    everything = client.get("/?status=all", headers=HTML).text
    assert second in everything
    assert (
        "Nothing matches" in client.get("/?status=all&entity=user:nobody", headers=HTML).text
        or first not in client.get("/?status=all&entity=user:nobody", headers=HTML).text
    )


def test_an_incident_tells_everything(house: House, story: type[Story]) -> None:
    client = house.client()
    client.post("/v1/webhooks", json={"url": "https://hooks.example.com/secret-path"})
    (incident_id,) = house.tell(story())
    client.post(f"/v1/incidents/{incident_id}/feedback", json={"label": "true_positive", "reason": "a real one"})
    text = client.get(f"/incidents/{incident_id}", headers=HTML).text
    for expected in (
        "3 more findings point to the same thing, volume among them.",
        "root signs in from 10.0.0.4 or 10.0.0.7",
        "203.0.113.9, first seen 12:00:04",
        "Accepted password for root from 203.0.113.9 port 40312 ssh2",
        "user:root was never seen with host:web-1",
        "true positive",
        "a real one",
        "pending",
        "incident.opened",
        "Timeline",
    ):
        assert expected in text, expected
    assert "secret-path" not in text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_line_is_shown_as_text_and_nothing_else(house: House, story: type[Story], hostile: str) -> None:
    (incident_id,) = house.tell(
        story(
            summary=f"never seen: {hostile}",
            expected=hostile,
            actual=hostile,
            lines=(hostile,),
            entities=(f"user:{hostile}",),
        )
    )
    client = house.client()
    calm = house.client()
    for path in ("/", f"/incidents/{incident_id}"):
        answer = client.get(path, headers=HTML)
        assert answer.status_code == 200
        tags = [tag for tag, _ in Elements(answer.text).found]
        assert tags.count("script") == 2
        assert "img" not in tags
        assert not any(name.startswith("on") for _, attributes in Elements(answer.text).found for name in attributes)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]", answer.text)
        assert "49" not in re.sub(r"\d{3,}|[0-9a-f]{6,}", "", answer.text) or "{{ 7" not in hostile
    assert calm.get(f"/v1/incidents/{incident_id}").json()["lines"][0]["body"].replace("\ufffd", "\x00") == hostile


def test_forms_need_the_token_of_their_session(house: House, story: type[Story]) -> None:
    (incident_id,) = house.tell(story())
    client = house.client()
    path = f"/incidents/{incident_id}/status"
    assert client.post(path, data={"status": "resolved"}).status_code == 403
    assert client.post(path, data={"status": "resolved", "csrf": "0" * 64}).status_code == 403
    token = token_of(client.get(f"/incidents/{incident_id}", headers=HTML).text)
    assert client.post(path, data={"status": "acknowledged", "csrf": token}).status_code == 303
    assert client.get(f"/v1/incidents/{incident_id}").json()["status"] == "acknowledged"


def test_a_verdict_is_given_on_the_page(house: House, story: type[Story]) -> None:
    (incident_id,) = house.tell(story())
    client = house.client()
    token = token_of(client.get(f"/incidents/{incident_id}", headers=HTML).text)
    answer = client.post(
        f"/incidents/{incident_id}/feedback", data={"label": "benign", "reason": "a drill", "csrf": token}
    )
    assert answer.status_code == 303
    assert client.get(f"/v1/incidents/{incident_id}").json()["feedback"][0]["reason"] == "a drill"
    wrong = client.post(f"/incidents/{incident_id}/feedback", data={"label": "x", "csrf": token}, headers=HTML)
    assert wrong.status_code == 422
    assert "label" in wrong.text


def test_who_may_only_read_sees_no_buttons(house: House, story: type[Story]) -> None:
    (incident_id,) = house.tell(story())
    text = house.client(house.key("read")).get(f"/incidents/{incident_id}", headers=HTML).text
    assert "<form" not in text


def test_signing_in_and_out(house: House) -> None:
    key = house.key("read")
    client = house.client()
    assert client.get("/", headers=HTML).status_code == 303
    wrong = client.post("/login", data={"key": "nonsense", "next": "/"})
    assert wrong.status_code == 401
    assert "not known" in wrong.text
    answer = client.post("/login", data={"key": f" {key} ", "next": "/sources"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sources")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    page = client.get("/", headers=HTML)
    assert page.status_code == 200
    assert "Sign out" in page.text
    assert client.post("/logout", data={"csrf": "0"}).status_code == 403
    assert client.post("/logout", data={"csrf": token_of(page.text)}).status_code == 303
    assert client.get("/", headers=HTML).status_code == 303


def test_a_session_ends_with_its_key(house: House) -> None:
    key = house.key("read")
    client = house.client(key_remember_s=0.0)
    client.post("/login", data={"key": key})
    assert client.get("/", headers=HTML).status_code == 200
    house.store.keys.revoke(key.split("_")[1], house.clock())
    assert client.get("/", headers=HTML).status_code == 303


def test_over_https_the_cookie_stays_there(house: House) -> None:
    key = house.key("read")
    client = house.client(public_url="https://tocsin.example")
    assert "Secure" in client.post("/login", data={"key": key}).headers["set-cookie"]


@pytest.mark.parametrize(
    "next_page",
    ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "", "/\tx", "/\n//e"],
)
def test_signing_in_never_leads_elsewhere(house: House, next_page: str) -> None:
    key = house.key("read")
    answer = house.client().post("/login", data={"key": key, "next": next_page})
    assert answer.headers["location"] == "/"


def test_a_query_shows_its_rows_or_why_not(house: House, story: type[Story]) -> None:
    house.tell(story())
    client = house.client()
    token = token_of(client.get("/query", headers=HTML).text)
    rows = client.post("/query", data={"query": "SELECT title, severity FROM incidents", "csrf": token}, headers=HTML)
    assert "203.0.113.9 signed in as root" in rows.text
    wrong = client.post("/query", data={"query": "SELECT nothing FROM nowhere", "csrf": token}, headers=HTML)
    assert wrong.status_code == 200
    assert 'role="alert"' in wrong.text
    assert client.post("/query", data={"query": "SELECT 1"}, headers=HTML).status_code == 403


def test_a_form_has_a_limit(house: House) -> None:
    client = house.client()
    token = token_of(client.get("/query", headers=HTML).text)
    assert client.post("/query", data={"query": "x" * 600_000, "csrf": token}).status_code == 413
    many = {f"f{number}": "x" for number in range(30)}
    assert client.post("/query", data={**many, "csrf": token}).status_code == 400


def test_a_person_is_told_in_words_what_is_missing(house: House) -> None:
    answer = house.client().get("/incidents/inc_none", headers=HTML)
    assert answer.status_code == 404
    assert "<h1>Not Found</h1>" in answer.text
    assert "inc_none" in answer.text


def test_the_reference_explains_every_route_with_its_scope(house: House) -> None:
    client = house.client()
    document = client.get("/openapi.json").json()
    text = client.get("/docs", headers=HTML).text
    for path, operations in document["paths"].items():
        assert f"</span>{path}</h3>" in text
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert operation["description"], (method, path)
            if path not in {"/healthz", "/readyz"}:
                assert operation["x-scope"] in {"ingest", "read", "query", "admin"}
                assert operation["security"]
            for code, response in operation["responses"].items():
                if not code.startswith("2") and PROTOCOL not in operation:
                    assert list(response["content"]) == ["application/problem+json"], (method, path, code)
