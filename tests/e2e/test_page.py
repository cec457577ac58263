"""The web page in a real browser: what it shows, how it moves, and that it runs and asks nothing foreign."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from tests.house import House, Story

Page = Any

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 -- slow, and of use to this file alone

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield started
        started.close()


@contextmanager
def opened(browser: Any, address: str, **context: Any) -> Iterator[Page]:
    """A page that fails the test when it logs an error, breaks its content policy or asks another host."""
    complaints: list[str] = []
    made = browser.new_context(base_url=address, **context)
    page = made.new_page()
    page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: complaints.append(asked.url) if not asked.url.startswith(address) else None)
    page.set_default_timeout(10_000)
    try:
        yield page
    finally:
        made.close()
    assert complaints == []


@pytest.fixture
def lively(house: House) -> House:
    """A house whose clock is that of the browser."""
    house.clock.now = datetime.now(UTC)
    house.store.desk.beat(house.clock())
    return house


def some(house: House, story: type[Story], count: int) -> list[str]:
    now = house.clock()
    ids: list[str] = house.tell(
        *(
            story(
                summary=f"user u{number} signed in from a place nobody signed in from before",
                entities=(f"user:u{number}", f"host:web-{number}"),
                severity=42 + number,
                start_at=now - timedelta(minutes=10 + 20 * number),
            )
            for number in range(count)
        )
    )
    with house.store.begin() as transaction:
        seen = {"count": [1_203_441], "first": [now - timedelta(days=3)], "last": [now]}
        transaction.put_streams("default", pl.DataFrame({"stream": ["auth"], **seen}))
    return ids


def is_live(page: Page) -> None:
    page.wait_for_selector('[data-live-state="live"]')


def test_a_newcomer_sees_the_first_line_arrive(lively: House, story: type[Story], browser: Any) -> None:
    with lively.served(stream_poll_s=0.1) as address, opened(browser, address) as page:
        page.goto("/")
        page.get_by_role("heading", name="Nothing has arrived yet").wait_for()
        assert f"{address}/v1/ingest/hello" in page.inner_text(".copyable >> nth=0")
        assert page.locator("[data-copy]").first.is_visible()
        is_live(page)
        some(lively, story, 1)
        page.locator(".incident").wait_for()
        assert "u0 signed in" in page.inner_text(".incident h2")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_page_fits_its_window_and_keeps_its_promises(
    lively: House, story: type[Story], browser: Any, size: dict[str, int], scheme: str
) -> None:
    (incident_id, *_) = some(lively, story, 30)
    with lively.served() as address, opened(browser, address, viewport=size, color_scheme=scheme) as page:
        for path in ("/", f"/incidents/{incident_id}", "/sources", "/query", "/docs", "/?status=resolved"):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], path
            assert page.locator("main h1").count() == 1, path
            ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
            assert ground == ("rgb(246, 245, 241)" if scheme == "light" else "rgb(16, 21, 26)")


def test_a_list_of_thirty_is_read_with_the_keyboard(lively: House, story: type[Story], browser: Any) -> None:
    some(lively, story, 30)
    with lively.served() as address, opened(browser, address, viewport=WIDE) as page:
        page.goto("/")
        assert page.locator(".incident").count() == 30
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("k")
        page.keyboard.press("Enter")
        page.wait_for_url("**/incidents/*")
        assert "user u1 signed in" in page.inner_text("h1")
        page.keyboard.press("u")
        page.wait_for_url(f"{address}/")
        page.keyboard.press("/")
        page.keyboard.type("user:u7")
        page.locator(".incident").nth(1).wait_for(state="detached")
        assert page.locator(".incident").count() == 1
        assert "entity=user%3Au7" in page.url


def test_an_incident_shows_why_and_follows_what_happens_to_it(lively: House, story: type[Story], browser: Any) -> None:
    (incident_id,) = some(lively, story, 1)
    with lively.served(stream_poll_s=0.1) as address, opened(browser, address, viewport=WIDE) as page:
        page.goto(f"/incidents/{incident_id}")
        is_live(page)
        assert "1 in 10" in page.inner_text(".why")
        assert page.locator(".timeline circle, .timeline rect").count() == 4
        assert page.locator("details.finding[open]").count() == 3
        assert "root signs in from 10.0.0.4" in page.inner_text(".versus >> nth=0")
        assert "Accepted password for root" in page.inner_text(".lines")
        page.locator("details.finding summary").first.click()
        lively.client().patch(f"/v1/incidents/{incident_id}", json={"assignee": "eve"})
        page.get_by_text("Assignee").wait_for()
        assert page.locator("details.finding[open]").count() == 2, "a refresh opened what a person closed"
        page.get_by_role("button", name="Acknowledge").click()
        page.get_by_text("acknowledged").first.wait_for()
        page.get_by_label("Yes, a real problem").check()
        page.get_by_label("Reason").fill("it was me")
        page.get_by_role("button", name="Send").click()
        page.get_by_text("it was me").wait_for()
        assert lively.store.reads.feedback("default", incident_id)[0].label == "true_positive"


def test_what_a_person_types_is_not_taken_away(lively: House, story: type[Story], browser: Any) -> None:
    (incident_id,) = some(lively, story, 1)
    with lively.served(stream_poll_s=0.1) as address, opened(browser, address) as page:
        page.goto(f"/incidents/{incident_id}")
        is_live(page)
        page.get_by_label("Reason").fill("half a sent")
        with page.expect_event("console", predicate=lambda said: said.text == "told"):
            page.evaluate(
                "new Promise(ready => { const told = new EventSource('/v1/stream');"
                " told.addEventListener('change', () => console.log('told'));"
                " told.addEventListener('hello', ready); })"
            )
            lively.client().patch(f"/v1/incidents/{incident_id}", json={"assignee": "eve"})
        assert page.get_by_label("Reason").input_value() == "half a sent"


def test_a_hostile_line_runs_nothing(lively: House, story: type[Story], browser: Any) -> None:
    line = "<script>alert(1)</script><img src=x onerror=alert(1)> \x1b[31mred invoice\u202egnp.exe"
    hostile = story(summary=line, lines=(line,), entities=(f"user:{line}",), expected=line, actual=line)
    (incident_id,) = lively.tell(hostile)
    with lively.served() as address, opened(browser, address) as page:
        page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
        for path in ("/", f"/incidents/{incident_id}"):
            page.goto(path)
            assert page.locator("main img, main script").count() == 0
        assert page.inner_text(".lines pre") == (
            "<script>alert(1)</script><img src=x onerror=alert(1)> red invoice<U+202E>gnp.exe"
        )


def test_a_query_is_run_from_the_page(lively: House, story: type[Story], browser: Any) -> None:
    some(lively, story, 2)
    with lively.served() as address, opened(browser, address, viewport=WIDE) as page:
        page.goto("/query")
        page.locator("textarea").press("Control+Enter")
        page.get_by_role("heading", name="2 rows").wait_for(timeout=30_000)
        assert "user u1 signed in" in page.inner_text("#result")
        page.locator("textarea").fill("SELECT * FROM nowhere")
        page.get_by_role("button", name="Run").click()
        page.get_by_role("alert").wait_for(timeout=30_000)


def test_a_person_signs_in_and_out(lively: House, story: type[Story], browser: Any) -> None:
    some(lively, story, 1)
    key = lively.key()
    with lively.served() as address, opened(browser, address) as page:
        page.goto("/sources")
        page.wait_for_url("**/login?next=*")
        page.get_by_label("Key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/sources")
        is_live(page)
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/login")
