"""The thread that delivers, over a real outbox and a real receiver."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import structlog

from alerts.address import AddressSettings
from alerts.deliver import DeliverySettings
from alerts.post import HttpChannel, PostSettings
from alerts.webhook import secret_of
from service.courier import Post
from storage.store import Store, StoreSettings

WAIT_S_MAX = 30.0


def now() -> datetime:
    return datetime.now(UTC)


class Receiver:
    """Takes messages; each waits until `released`."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self.released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                receiver.arrived.release()
                receiver.released.wait(WAIT_S_MAX)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- the base's name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path / 'tocsin.sqlite'}", StoreSettings(busy_timeout_s=0.2))
    made.open()
    yield made
    made.close()


def post_of(store: Store, poll_s: float = 60.0) -> Post:
    channel = HttpChannel(PostSettings(), AddressSettings(allow_networks=("127.0.0.0/8",)))
    return Post(store.outbox, channel, DeliverySettings(), clock=now, poll_s=poll_s)


def queue_test(store: Store, receiver: Receiver) -> None:
    webhook = store.desk.add_webhook("default", url=receiver.url, secret=secret_of(b"k" * 32), at=now())
    store.desk.queue_test("default", webhook.webhook_id, at=now(), base_url="")


def statuses(store: Store) -> list[str]:
    return [row.status for row in store.reads.deliveries("default", limit=10).rows]


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_a_message_goes_out_at_once_when_it_is_announced(store: Store, receiver: Receiver) -> None:
    receiver.released.set()
    post = post_of(store)
    with post.running(settle_s=5.0):
        time.sleep(0.1)  # it has looked, found nothing, and would look again in a minute
        queue_test(store, receiver)
        post.nudge()
        wait_for(lambda: statuses(store) == ["sent"])


def test_a_message_under_way_at_a_stop_is_waited_for_and_written_down(store: Store, receiver: Receiver) -> None:
    queue_test(store, receiver)
    with post_of(store).running(settle_s=10.0):
        assert receiver.arrived.acquire(timeout=WAIT_S_MAX)
        threading.Timer(0.2, receiver.released.set).start()
    assert statuses(store) == ["sent"]


def test_a_stop_does_not_wait_for_ever_and_the_message_stays_in_the_outbox(store: Store, receiver: Receiver) -> None:
    queue_test(store, receiver)
    with post_of(store).running(settle_s=0.2):
        assert receiver.arrived.acquire(timeout=WAIT_S_MAX)
        began = time.monotonic()
    assert time.monotonic() - began < 5.0
    assert statuses(store) == ["pending"]


def test_a_database_that_is_away_is_asked_again(store: Store, receiver: Receiver) -> None:
    receiver.released.set()
    queue_test(store, receiver)
    with store.database.write(), structlog.testing.capture_logs() as logs:
        running = post_of(store, poll_s=0.01).running(settle_s=5.0)
        running.__enter__()
        wait_for(lambda: any(entry["event"] == "outbox_unreachable" for entry in logs))
    wait_for(lambda: statuses(store) == ["sent"])
    running.__exit__(None, None, None)
