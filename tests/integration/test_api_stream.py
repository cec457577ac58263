from __future__ import annotations

import time
from collections.abc import Iterator

import httpx2

from tests.house import House, Story


def events(answer: httpx2.Response) -> Iterator[str]:
    for line in answer.iter_lines():
        if line.startswith("event: "):
            yield line.removeprefix("event: ")


def test_a_live_page_is_told_of_a_new_incident(house: House, story: type[Story]) -> None:
    with (
        house.served(stream_poll_s=0.05) as address,
        httpx2.stream("GET", f"{address}/v1/stream", timeout=10) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = events(answer)
        assert next(told) == "hello"
        house.tell(story())
        assert next(told) == "change"
        house.stopping.set()
        assert next(told) == "bye"


def test_what_happens_to_another_tenant_is_not_told(house: House, story: type[Story]) -> None:
    key = house.key("read", tenant="alpha")
    headers = {"Authorization": f"Bearer {key}"}
    with (
        house.served(stream_poll_s=0.05, stream_heartbeat_s=0.3) as address,
        httpx2.stream("GET", f"{address}/v1/stream", headers=headers, timeout=10) as answer,
    ):
        lines = answer.iter_lines()
        while next(lines) != "event: hello":
            pass
        house.tell(story(), tenant="beta")
        assert next(line for line in lines if line and not line.startswith("data")) == ": still here"


def test_a_page_of_a_revoked_key_is_closed(house: House) -> None:
    key = house.key("read")
    headers = {"Authorization": f"Bearer {key}"}
    with (
        house.served(stream_poll_s=0.05, key_remember_s=0.05) as address,
        httpx2.stream("GET", f"{address}/v1/stream", headers=headers, timeout=10) as answer,
    ):
        told = events(answer)
        assert next(told) == "hello"
        house.store.keys.revoke(key.split("_")[1], house.clock())
        assert next(told) == "bye"


def test_only_so_many_pages_are_live_and_one_that_leaves_makes_room(house: House) -> None:
    with house.served(stream_poll_s=0.05, stream_connections_max=1) as address:
        with httpx2.stream("GET", f"{address}/v1/stream", timeout=10) as answer:
            told = events(answer)
            assert next(told) == "hello"
            refused = httpx2.get(f"{address}/v1/stream", timeout=10)
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            assert "tocsin_live_pages 1.0" in httpx2.get(f"{address}/metrics", timeout=10).text
        deadline = time.monotonic() + 10
        while "tocsin_live_pages 0.0" not in httpx2.get(f"{address}/metrics", timeout=10).text:
            assert time.monotonic() < deadline, "the page that left is still counted"
        with httpx2.stream("GET", f"{address}/v1/stream", timeout=10) as answer:
            told = events(answer)
            assert next(told) == "hello"
