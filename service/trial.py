"""A real service on a fresh data folder, as a process of its own, for the demo and the benchmarks."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from service.client import Client
from tocsin.errors import InputError, StorageError, UnreachableError

_START_S_MAX = 180.0  # a cold start takes 3 to 6 s on two idle cores; a busy machine needs many times that
_STOP_S_MAX = 40.0  # drain and last snapshot; the service itself gives up after 25 s
_POLL_S = 0.05
_PATIENCE_S = 60.0  # a full service is asked again for so long
_LOG_TAIL = 12  # lines of its log that are shown when it does not start


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a service is with what it took."""

    behind: int  # journal entries the worker has not processed
    pending: int  # notifications that are not sent


class Trial:
    """A running service. Made by `running`."""

    def __init__(self, client: Client, process: subprocess.Popen[bytes]) -> None:
        self.client = client
        self.url = client.url
        self._process = process

    def send(self, stream: str, body: bytes, identity: str | None = None) -> Any:
        """Send lines and return the answer, trying again while the service says that it is busy."""
        headers = {"Content-Type": "text/plain" if not body.startswith(b"{") else "application/x-ndjson"}
        if identity is not None:
            headers["Idempotency-Key"] = identity
        path = f"/v1/ingest/{quote(stream, safe='')}"
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self.client.call("POST", path, content=body, headers=headers)
            except UnreachableError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(4 * _POLL_S)

    def add_webhook(self, url: str) -> str:
        """Have incidents told to `url`; return the secret that signs the messages."""
        return str(self.client.post("/v1/webhooks", {"url": url})["secret"])

    def standing(self) -> Standing:
        """How far it is."""
        numbers = _numbers(httpx2.get(f"{self.url}/metrics", timeout=30.0, trust_env=False).raise_for_status().text)
        return Standing(
            behind=int(numbers["tocsin_worker_lag_entries"]),
            pending=int(numbers['tocsin_deliveries{status="pending",tenant="default"}']),
        )

    def wait(self, condition: Callable[[Standing], bool], timeout_s: float) -> bool:
        """Wait until `condition` holds; return whether it did in time."""
        deadline = time.monotonic() + timeout_s
        while not condition(self.standing()):
            if time.monotonic() > deadline or self._process.poll() is not None:
                return False
            time.sleep(_POLL_S)
        return True

    def processes(self) -> dict[str, int]:
        """Process ids by role: `api`, and `worker` once it runs."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        found = {"api": self._process.pid}
        if children.exists():
            # The worker was started by a thread, so every task is looked at.
            tasks = Path(f"/proc/{self._process.pid}/task").glob("*/children")
            workers = [int(pid) for task in tasks for pid in task.read_text(encoding="ascii").split()]
            found |= {"worker": workers[0]} if workers else {}
        return found


@contextmanager
def running(folder: Path, *, port: int = 0, role: str = "all", settings: Sequence[str] = ()) -> Iterator[Trial]:
    """Start `tocsin run` on `folder` and stop it at the end.

    Args:
        folder: data folder; made when it is missing.
        port: of the loopback; 0 takes one that is free.
        role: `all`, or `api` for the HTTP process alone.
        settings: lines of TOML.

    Raises:
        StorageError: it does not start; the message is the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config, log = folder / "trial.toml", folder / "trial.log"
    config.write_text("\n".join([*settings, '[log]\nformat = "json"\n']), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "service", "run", "--role", role, "--data", str(folder), "--port", str(port)]
    with log.open("wb") as output:
        # A session of its own: Ctrl-C at the terminal is for us, who then stop the service in order.
        process = subprocess.Popen(  # noqa: S603 -- our own program
            [*command, "--config", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with Client(_address(process, log), None, timeout_s=60.0) as client:
            # Without a worker it never calls itself ready.
            _wait_until_ready(client, "/readyz" if role == "all" else "/healthz", process, log)
            yield Trial(client, process)
    finally:
        _stop(process)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens, as it says itself."""
    deadline = time.monotonic() + _START_S_MAX
    while time.monotonic() < deadline and process.poll() is None:
        for word in log.read_text(encoding="utf-8", errors="replace").split():
            if word.startswith("http://127.0.0.1:"):
                return word.rstrip(",.")
        time.sleep(_POLL_S)
    raise _not_started(log)


def _wait_until_ready(client: Client, path: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.call("GET", path)
        except (UnreachableError, InputError):
            time.sleep(_POLL_S)
        else:
            return
    raise _not_started(log)


def _not_started(log: Path) -> StorageError:
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL:]
    return StorageError("the service does not start; its log ends with:\n" + "\n".join(tail))


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _numbers(text: str) -> dict[str, float]:
    """The samples of Prometheus' text format, labels in the order of their names."""
    samples = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            base, brace, labels = name.partition("{")
            named = ",".join(sorted(labels.rstrip("}").split(","))) if brace else ""
            samples[f"{base}{{{named}}}" if brace else base] = float(value)
    return samples
