"""Real clients under one interface, for tests in which the service comes and goes: `CLIENTS` lists them.

A client is opened with a `Place` and gives a function that takes one message. Closing it sends what is left.
"""

from __future__ import annotations

import http.server
import importlib
import json
import logging
import logging.handlers
import shutil
import socket
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from elasticsearch import Elasticsearch, helpers
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler, ReadableLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import logging_loki

WAIT_S_MAX = 60.0
RSYSLOG = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/sbin:/bin")
LOGGER = shutil.which("logger")
PROMETHEUS = shutil.which("prometheus")
JOURNAL_REMOTE, JOURNAL_UPLOAD = (Path(f"/lib/systemd/systemd-journal-{name}") for name in ("remote", "upload"))


class LostError(Exception):
    """The client says that it could not send the message, and will not try again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the service is, and what belongs to the client.

    Attributes:
        folder: exists.
        lost: messages of which the client says later that it could not send them.
    """

    http_port: int
    syslog_port: int
    folder: Path
    lost: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"


Say = Callable[[str], None]  # takes one message, `<word> <number>`; raises LostError


class Keeps(StrEnum):
    """What a client keeps of its messages while the service is away."""

    ALL = "it tries until it is answered"
    TOLD = "it tries once or for a while, and says what it could not send"
    UNANSWERED = "nobody answers it, so what was on its way is lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client, and what it promises."""

    open: Callable[[Place], AbstractContextManager[Say]]
    keeps: Keeps = Keeps.ALL
    is_named: bool = False  # its protocol names each line, so that a line sent twice is there once
    route: str = ""  # of its requests, where it speaks HTTP
    busy_status: str = "503"
    needs: str = ""  # packages that are missing here


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@contextmanager
def running(*command: str | Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(WAIT_S_MAX)
        if process.stdin is not None:
            process.stdin.close()


def says_of(handler: logging.Handler) -> Say:
    """Hands messages to a handler of Python's `logging`."""
    failed: list[logging.LogRecord] = []
    handler.handleError = failed.append  # type: ignore[method-assign, assignment]

    def say(text: str) -> None:
        handler.handle(logging.LogRecord("shop", logging.WARNING, __file__, 1, text, None, None))
        if failed:
            failed.clear()
            raise LostError(text)

    return say


@contextmanager
def opentelemetry(place: Place) -> Iterator[Say]:
    provider = LoggerProvider()

    class Exporter(OTLPLogExporter):
        def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
            result = super().export(batch)
            if result is not LogRecordExportResult.SUCCESS:
                place.lost.update(str(record.log_record.body) for record in batch)
            return result

    exporter = Exporter(f"{place.url}/v1/logs", timeout=WAIT_S_MAX)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, schedule_delay_millis=100))
    try:
        yield says_of(LoggingHandler(logger_provider=provider))
    finally:
        provider.shutdown()


@contextmanager
def loki(place: Place) -> Iterator[Say]:
    with closing(
        logging_loki.LokiHandler(url=f"{place.url}/loki/api/v1/push", version="1", tags={"app": "loki"})
    ) as handler:
        yield says_of(handler)


@contextmanager
def elasticsearch(place: Place) -> Iterator[Say]:
    # The client pauses after a broken connection, the helper after a refusal.
    with Elasticsearch(
        place.url, max_retries=60, retry_on_timeout=True, retry_backoff_base=0.2, retry_backoff_cap=1.0
    ) as client:

        def say(text: str) -> None:
            action = {"_index": "es", "_id": text.replace(" ", "-"), "message": text}
            helpers.bulk(client, [action], max_retries=60, initial_backoff=0.2, max_backoff=1.0)

        yield say


@contextmanager
def splunk(place: Place) -> Iterator[Say]:
    module = importlib.import_module("splunk_handler")  # which has no types
    handler = module.SplunkHandler(
        host="127.0.0.1", port=place.http_port, token="any", index="web", sourcetype="splunk", protocol="http",
        verify=False, flush_interval=0.2, retry_count=20, retry_backoff=0.05, force_keep_ahead=True,
    )  # fmt: skip
    with closing(handler):
        yield says_of(handler)
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):  # closing does not wait for a batch that is being sent again
            thread.join(WAIT_S_MAX)
    module.instances.clear()


@contextmanager
def posting(place: Place, *, path: str, named: bool) -> Iterator[Say]:
    """What the agents of Datadog and many a script do: post until it is taken."""
    with httpx2.Client(base_url=place.url, trust_env=False, timeout=WAIT_S_MAX) as client:

        def is_taken(text: str) -> bool:
            headers = {"Idempotency-Key": text.replace(" ", "-")} if named else {}
            try:
                answer = client.post(path, json={"message": text, "service": "posted"}, headers=headers)
            except httpx2.TransportError:
                return False
            assert answer.is_success or answer.status_code == 503, answer.text
            if answer.status_code == 503:
                time.sleep(float(answer.headers["retry-after"]) / 4)
            return answer.is_success

        yield lambda text: until(lambda: is_taken(text))


@contextmanager
def prometheus(place: Place, *, agent: bool) -> Iterator[Say]:
    """A message is a sample: `say` shows it until it was scraped."""
    shown, scraped = [""], threading.Condition()

    class Target(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with scraped:
                self.send_response(200)
                self.end_headers()
                with suppress(OSError):  # it was too late for this scrape, and comes with the next
                    self.wfile.write(f"{shown[0]}\n".encode())
                    shown[0] = ""
                    scraped.notify()

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    def say(text: str) -> None:
        with scraped:
            shown[0] = text
            assert scraped.wait_for(lambda: not shown[0], WAIT_S_MAX), "Prometheus does not scrape"

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Target) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            with _prometheus(place, server.server_port, agent=agent) as is_sent:
                yield say
                until(partial(is_sent, time.time()))
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _prometheus(place: Place, target: int, *, agent: bool) -> Iterator[Callable[[float], bool]]:
    """A running Prometheus; gives whether all that was scraped before a time was sent."""
    port, file = free_port(), place.folder / "prometheus.yml"
    jobs = {"shop": target, "own": port}
    keep = {"source_labels": ["__name__"], "regex": "order_.*|process_open_fds", "action": "keep"}
    queue = {"batch_send_deadline": "100ms", "max_backoff": "500ms", "max_shards": 1}
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{at}"]}]} for job, at in jobs.items()
        ],
        "remote_write": [{"url": f"{place.url}/api/v1/write", "queue_config": queue, "write_relabel_configs": [keep]}],
    }
    file.write_text(json.dumps(config))  # JSON is YAML
    kind = ["--enable-feature=agent", "--storage.agent.path"] if agent else ["--storage.tsdb.path"]
    options = [f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}", *kind, str(place.folder / "wal")]
    own = httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)

    def answers() -> bool:
        try:
            return own.get("/-/ready").is_success
        except httpx2.TransportError:
            return False

    def is_sent(before: float) -> bool:
        name = "prometheus_remote_storage_queue_highest_sent_timestamp_seconds"
        return any(
            float(line.rpartition(" ")[2]) > before + 1
            for line in own.get("/metrics").text.splitlines()
            if line.startswith(name)
        )

    with own, running(str(PROMETHEUS), *options, "--storage.remote.flush-deadline=1s"):
        until(answers)
        yield is_sent


_RSYSLOG = """
global(workDirectory="{folder}")
main_queue(queue.timeoutShutdown="60000")
module(load="imtcp")
module(load="omelasticsearch")
input(type="imtcp" port="{port}" address="127.0.0.1")
template(name="json" type="list" option.jsonf="on") {{ property(outname="message" name="msg" format="jsonf") }}
template(name="id" type="string" string="%uuid%")
{action}
       action.resumeRetryCount="-1" action.resumeInterval="1" queue.type="LinkedList" queue.timeoutShutdown="60000")
"""
_BULK = """action(type="omelasticsearch" server="127.0.0.1" serverport="{place.http_port}"
       searchIndex="rsyslog" searchType="" bulkmode="on" template="json" dynbulkid="on" bulkid="id" """
_FORWARD = """action(type="omfwd" target="127.0.0.1" port="{place.syslog_port}" protocol="tcp"
       tcp_framing="octet-counted" template="RSYSLOG_SyslogProtocol23Format" """


@contextmanager
def rsyslog(place: Place, *, action: str) -> Iterator[Say]:
    port, config = free_port(), place.folder / "rsyslog.conf"
    config.write_text(_RSYSLOG.format(folder=place.folder, port=port, action=action.format(place=place)))

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with running(str(RSYSLOG), "-n", "-f", config, "-i", place.folder / "pid"):
        until(listens)
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S_MAX) as connection:
            yield lambda text: connection.sendall(f"<133>Nov 25 10:00:00 web-1 shop: {text}\n".encode())
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b"", "rsyslog has read all of it"


@contextmanager
def python_syslog(place: Place) -> Iterator[Say]:
    handler = logging.handlers.SysLogHandler(("127.0.0.1", place.syslog_port), socktype=socket.SOCK_STREAM)
    handler.ident = "shop: "
    with closing(handler):
        yield says_of(handler)


@contextmanager
def logger(place: Place) -> Iterator[Say]:
    command = [str(LOGGER), "-n", "127.0.0.1", "-P", str(place.syslog_port), "-T", "-t", "shop"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0) as process:

        def say(text: str) -> None:
            assert process.stdin is not None
            try:
                process.stdin.write(f"{text}\n".encode())
            except BrokenPipeError as error:
                raise LostError(text) from error

        yield say


@contextmanager
def journald(place: Place) -> Iterator[Say]:
    """A journal that is written to, and an upload that is started again whenever it ends, as by `Restart=always`."""
    journal, state, closing = place.folder / "web-1.journal", place.folder / "state", threading.Event()
    upload = [str(JOURNAL_UPLOAD), f"--url={place.url}", f"--file={journal}", f"--save-state={state}", "--follow=no"]

    def keep_uploading() -> None:
        is_last = is_uploaded = False
        while not (is_last and is_uploaded):
            is_last = closing.is_set()
            is_uploaded = subprocess.run(upload, stderr=subprocess.DEVNULL, check=False).returncode == 0
            closing.wait(0.2)

    uploading = threading.Thread(target=keep_uploading)
    with running(JOURNAL_REMOTE, f"--output={journal}", "--split-mode=none", "-", stdin=subprocess.PIPE) as writer:
        pipe = writer.stdin
        assert pipe is not None
        numbers = iter(range(1, 10**9))

        def say(text: str) -> None:
            number = next(numbers)
            at = 1_795_600_000_000_000 + number
            fields = {
                "__CURSOR": f"s={1:032x};i={number:x};b={2:032x};m={number:x};t={at:x};x={number:x}",
                "__REALTIME_TIMESTAMP": at,
                "__MONOTONIC_TIMESTAMP": number,
                "_BOOT_ID": f"{2:032x}",
                "SYSLOG_IDENTIFIER": "journald",
                "MESSAGE": text,
            }
            pipe.write("".join(f"{name}={value}\n" for name, value in fields.items()).encode() + b"\n")
            pipe.flush()
            if number == 1:
                until(journal.exists)
                uploading.start()

        yield say
        pipe.close()
        writer.wait(WAIT_S_MAX)
        closing.set()
        uploading.join(WAIT_S_MAX)
        assert not uploading.is_alive(), "the journal was not uploaded"


def _missing(packages: str, *places: object) -> str:
    return "" if all(places) else packages


_HAS_BULK = any(Path("/usr/lib").glob("*/rsyslog/omelasticsearch.so"))
_NO_RSYSLOG = _missing("rsyslog rsyslog-elasticsearch", RSYSLOG, _HAS_BULK)
_NO_PROMETHEUS = _missing("prometheus", PROMETHEUS)
_WRITE = "/api/v1/write"

CLIENTS: dict[str, Client] = {
    "opentelemetry": Client(open=opentelemetry, keeps=Keeps.TOLD, route="/v1/logs"),
    "loki": Client(open=loki, keeps=Keeps.TOLD, route="/loki/api/v1/push"),
    "elasticsearch": Client(open=elasticsearch, is_named=True, route="/_bulk", busy_status="429"),
    "splunk": Client(open=splunk, route="/services/collector/event"),
    "datadog": Client(open=partial(posting, path="/api/v2/logs", named=False), route="/api/v2/logs"),
    "script": Client(
        open=partial(posting, path="/v1/ingest/script", named=True), is_named=True, route="/v1/ingest/{stream}"
    ),
    "prometheus": Client(open=partial(prometheus, agent=False), route=_WRITE, needs=_NO_PROMETHEUS),
    "agent": Client(open=partial(prometheus, agent=True), route=_WRITE, needs=_NO_PROMETHEUS),
    "journald": Client(
        open=journald,
        is_named=True,
        route="/upload",
        needs=_missing("systemd-journal-remote", JOURNAL_REMOTE.exists(), JOURNAL_UPLOAD.exists()),
    ),
    "rsyslog": Client(open=partial(rsyslog, action=_BULK), is_named=True, route="/_bulk", needs=_NO_RSYSLOG),
    "forward": Client(open=partial(rsyslog, action=_FORWARD), keeps=Keeps.UNANSWERED, needs=_NO_RSYSLOG),
    "handler": Client(open=python_syslog, keeps=Keeps.UNANSWERED),
    "logger": Client(open=logger, keeps=Keeps.UNANSWERED, needs=_missing("bsdutils", LOGGER)),
}
