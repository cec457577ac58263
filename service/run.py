"""`tocsin run`: the HTTP process with its worker beside it, or one of them alone."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NoReturn

import structlog

from api.intake import IntakeMeters
from service.build import data_folder, opened
from service.connection import granted
from service.listeners import Listener
from service.lock import owned, owner_of
from service.log import set_up_logging
from service.serve import HttpProcess, listen
from service.settings import Settings
from service.stations import stations
from service.supervisor import Supervisor

log = structlog.get_logger(__name__)

Role = Literal["all", "api", "worker"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_PAUSE_S = 0.05
_HURRIED = 1  # exit status when a second signal cut the orderly end short


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What the command line said beyond the settings."""

    role: Role = "all"
    config: Path | None = None  # passed on to the worker
    supervised: bool = False  # this worker's standard input is a pipe that ends with its HTTP process


def run(settings: Settings, options: RunOptions, say: Callable[[str], None]) -> int:
    """Run until a signal comes; return the exit status.

    Args:
        settings: all of them.
        options: which processes.
        say: tells the person at the terminal.

    Raises:
        TocsinError: it cannot start.
    """
    set_up_logging(settings.log, role=options.role if options.role == "worker" else "api")
    if options.role == "worker":
        return _run_worker(settings, options)
    return _run_http(settings, options, say)


def _run_http(settings: Settings, options: RunOptions, say: Callable[[str], None]) -> int:
    stopping = threading.Event()
    for number in _SIGNALS:  # until the server listens to them: what is open already is closed in order
        signal.signal(number, _leave)
    with ExitStack() as stack:
        folder = data_folder(settings)
        stack.enter_context(owned(folder, "api"))
        door = stack.enter_context(listen(settings.api.host, settings.api.port))
        beside = stack.enter_context(stations(settings))
        settings = replace(settings, api=replace(settings.api, port=door.getsockname()[1]))
        parts = stack.enter_context(opened(settings, stopping))
        supervisor: Supervisor | None = None

        def start() -> None:
            say(f"Tocsin {version('tocsin')} is at {settings.base_url}, data in {folder}")
            for station in beside:
                say(f"      {station.places}")
            if parts.is_open:
                say("OPEN: no key exists, so everyone on this machine may read and change everything.")
                say(f"      Make one, and the door is shut: tocsin key create --data {folder}")

        def hurry() -> NoReturn:
            if supervisor is not None:
                supervisor.kill()
            os._exit(_HURRIED)

        def listening(meters: IntakeMeters) -> list[Listener[Any]]:
            return [station.listener(parts.services, meters) for station in beside]

        http = HttpProcess(
            door,
            parts,
            settings.run,
            listening=listening,
            connections_max=granted(
                settings.api.connections_max, sum(station.settings.connections_max for station in beside)
            ),
            on_start=start,
            on_hurry=hurry,
        )
        if options.role == "all":
            supervisor = Supervisor(_worker_command(settings, options), settings.run, on_end=http.end)
            stack.callback(supervisor.stop)
            supervisor.start()  # it loads its libraries while we load ours
        status = http.run()
        for number in _SIGNALS:  # the loop is gone; the worker may still take its time
            signal.signal(number, lambda _number, _frame: hurry())
    log.info("stopped", status=status)
    return status


def _leave(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(0)


def _worker_command(settings: Settings, options: RunOptions) -> list[str]:
    # Polars makes its threads when it is imported, so they are told to the process from outside.
    command = ["env", f"POLARS_MAX_THREADS={settings.worker.polars_threads}"]
    command += [sys.executable, "-P", "-m", "service", "run", "--role", "worker", "--supervised"]
    command += ["--data", str(settings.data), "--host", settings.api.host, "--port", str(settings.api.port)]
    return command + (["--config", str(options.config)] if options.config else [])


def _run_worker(settings: Settings, options: RunOptions) -> int:
    from service.worker import run_worker

    stopping = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        if stopping.is_set():
            os._exit(_HURRIED)
        log.info("stopping", signal=signal.Signals(number).name)
        stopping.set()

    for number in _SIGNALS:
        signal.signal(number, on_signal)
    data_folder(settings)
    if options.supervised:
        threading.Thread(target=_follow_parent, args=(stopping,), name="parent", daemon=True).start()
        _outlast_predecessor(settings, stopping)
    run_worker(settings, stopping)
    return 0


def _outlast_predecessor(settings: Settings, stopping: threading.Event) -> None:
    """Wait for a worker whose HTTP process was killed: it notices, and ends in order."""
    deadline = time.monotonic() + settings.run.lock_wait_s
    while owner_of(settings.data, "worker") is not None and time.monotonic() < deadline:
        if stopping.wait(_PAUSE_S):
            return


def _follow_parent(stopping: threading.Event) -> None:
    """End with the HTTP process, also when it was killed: its end of the pipe closes."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stopping.set()
