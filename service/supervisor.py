"""Keeps the worker process running beside the HTTP process: starts it, starts it again when it dies, stops it."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)

#: Exit status of a process that cannot run as it is set up; starting it again would change nothing.
CANNOT_RUN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How `tocsin run` starts, restarts and stops."""

    tick_s: float = 10.0  # without lines for this long the journal says "time passed"; volume intervals are 5 minutes
    drain_s: float = 10.0  # requests under way get this long at a stop; below the 30 s orchestrators wait before a kill
    worker_stop_s: float = 15.0  # the worker finishes its step and writes its snapshot
    lock_wait_s: float = 20.0  # a worker whose HTTP process was killed ends within worker_stop_s; its successor waits
    restart_s_min: float = 0.5  # pause before the first restart of a worker that died
    restart_s_max: float = 30.0  # doubled up to here while it keeps dying
    settled_s: float = 60.0  # a worker that lived this long is well; the pause starts small again


class Supervisor:
    """One child process, restarted until it is stopped.

    Args:
        command: what to run. It gets a pipe as standard input: the pipe's end means that we are gone.
        settings: pauses and limits.
        on_end: called with its exit status, from a thread of ours, when the child cannot run and will not be restarted.
    """

    def __init__(self, command: Sequence[str], settings: RunSettings, *, on_end: Callable[[int], None]) -> None:
        self._command = list(command)
        self._settings = settings
        self._on_end = on_end
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep_running, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the child."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the child to end, and make it end when it does not within `worker_stop_s`."""
        self._stopping.set()
        with self._lock:
            process = self._process
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        self._thread.join(self._settings.worker_stop_s)
        if self._thread.is_alive():
            log.error("worker_killed", after_s=self._settings.worker_stop_s)
            self.kill()
            self._thread.join()

    def kill(self) -> None:
        """End the child at once. What it had not finished is done again at the next start."""
        self._stopping.set()
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.kill()

    def _keep_running(self) -> None:
        pause_s = self._settings.restart_s_min
        while not self._stopping.is_set():
            started_at = time.monotonic()
            status = self._run_once()
            if status is None or self._stopping.is_set():
                return
            if status == CANNOT_RUN:
                self._on_end(status)
                return
            if time.monotonic() - started_at >= self._settings.settled_s:
                pause_s = self._settings.restart_s_min
            log.error("worker_died", status=status, restart_in_s=pause_s)
            self._stopping.wait(pause_s)
            pause_s = min(pause_s * 2, self._settings.restart_s_max)

    def _run_once(self) -> int | None:
        with self._lock:
            if self._stopping.is_set():
                return None
            # A session of its own: Ctrl-C in a terminal reaches us alone, and we stop the child in order.
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 -- ours
        log.info("worker_started", pid=self._process.pid)
        with self._process as process:
            return process.wait()
