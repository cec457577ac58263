"""The HTTP server of this process: a socket, uvicorn, ticks for the journal, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Generator, Sequence
from typing import Any

import structlog
import uvicorn

from api.app import create_app
from api.intake import IntakeMeters
from ingest.batch import encode, tick
from service.bind import bind
from service.build import Opened
from service.connection import connections
from service.listeners import Listener
from service.supervisor import RunSettings
from tocsin.errors import FullError, StorageError

log = structlog.get_logger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def listen(host: str, port: int) -> socket.socket:
    """Bind before anything is opened, so that a taken port is one clear line; 0 takes a free one.

    Raises:
        SettingsError: the address cannot be bound.
    """
    hint = "; is another one running? (--port)"
    return bind(host, port, kind=socket.SOCK_STREAM, names="api.host, api.port", hint=hint)


class _Server(uvicorn.Server):
    """uvicorn with signals left to us, that says when it listens."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


#: Makes the listeners to protocols that are not HTTP.
Listening = Callable[[IntakeMeters], Sequence[Listener[Any]]]


class HttpProcess:
    """Serves until it is told to stop; the exit status is 0 unless something ended it.

    Args:
        bound: what it listens on.
        opened: what the application was made of.
        settings: how it ticks and stops.
        listening: makes what listens beside HTTP.
        connections_max: how many connections of HTTP there may be.
        on_start: called when it listens.
        on_hurry: called at a second signal, when the user does not want to wait; does not return.
    """

    def __init__(  # noqa: PLR0913 -- everything it depends on is an argument
        self,
        bound: socket.socket,
        opened: Opened,
        settings: RunSettings,
        *,
        listening: Listening,
        connections_max: int,
        on_start: Callable[[], None],
        on_hurry: Callable[[], None],
    ) -> None:
        self._bound = bound
        self._opened = opened
        self._services = opened.services
        self._journal = opened.journal
        self._settings = settings
        self._listening = listening
        self._connections_max = connections_max
        self._on_start = on_start
        self._on_hurry = on_hurry
        self._status: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: _Server | None = None

    def end(self, status: int) -> None:
        """Stop because something else failed; from any thread, also before `run`."""
        self._status = status
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop)

    def run(self) -> int:
        """Serve, and return the exit status."""
        app = create_app(self._opened.services)
        http = connections(self._services.settings, self._connections_max)
        config = uvicorn.Config(
            app,
            http=http,  # type: ignore[arg-type]  # a class is asked for, and only called
            access_log=False,  # requests are counted and timed at /metrics
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(self._settings.drain_s)),
            timeout_keep_alive=30,  # shippers send every few seconds; longer than their pauses, shorter than proxies'
            proxy_headers=False,  # nobody's word for who called is taken
            ws="none",
            lifespan="on",
        )
        self._server = _Server(config, self._on_start)
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(self._serve(self._server, self._listening(app.state.parts.meters)))
        return self._status or 0

    async def _serve(self, server: _Server, listeners: Sequence[Listener[Any]]) -> None:
        self._loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._on_signal, number)
        if self._status is not None:
            self._stop()
        ticking = asyncio.create_task(self._tick())
        for listener in listeners:
            await listener.start()
        try:
            await server.serve(sockets=[self._bound])
        finally:
            await asyncio.gather(*(listener.stop(self._settings.drain_s) for listener in listeners))
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking

    def _on_signal(self, number: signal.Signals) -> None:
        if self._services.stopping.is_set():
            self._on_hurry()
        log.info("stopping", signal=number.name)
        self._stop()

    def _stop(self) -> None:
        # First: /readyz fails and live pages say goodbye. Then the server takes no more and finishes what it has.
        self._services.stopping.set()
        if self._server is not None:
            self._server.should_exit = True

    async def _tick(self) -> None:
        """Say in the journal that time passed while nothing arrived, so that silence is seen in event time."""
        seen = self._journal.next_offset
        while True:
            await asyncio.sleep(self._settings.tick_s)
            if self._journal.next_offset == seen:
                try:
                    await asyncio.wrap_future(self._journal.append(encode(tick(self._services.clock()))))
                except FullError:
                    log.debug("tick_skipped")  # senders hear of it, and /readyz says so
                except StorageError as error:
                    log.error("tick_failed", error=str(error))  # noqa: TRY400 -- it says it all
            seen = self._journal.next_offset
