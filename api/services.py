"""What the HTTP surface is given, and what one application makes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from fastapi import Request

from alerts.address import AddressSettings
from api.intake import Intake, JournalWriter
from api.keyring import KeyRing
from api.meters import Meters
from api.room import Room
from api.sessions import Sessions
from api.settings import ApiSettings
from api.watch import Watch
from ingest.limits import Limits
from storage.sql import SqlResult
from storage.store import Store

#: Runs one query of a tenant, with a limit of rows, in a process of its own. Raises QueryError.
RunSql = Callable[[str, str, int], SqlResult]

_RETRY_AFTER_S_MIN, _RETRY_AFTER_S_SPREAD = 1, 4  # 1 to 4 s: refused senders must not come back as one crowd


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the HTTP surface is given: everything that touches a disk, a clock or chance.

    Attributes:
        address: which addresses a webhook may reach, so that a URL that never will be is refused when it is entered.
        budget_per_day: incidents a day of a tenant that set no budget.
        clock: gives the time as an aware datetime.
        random_bytes: gives so many random bytes, fit for secrets.
        session_secret: signs sessions; at least 32 bytes, kept by the caller if sessions shall survive a restart.
        stopping: set when the service is about to stop, before the server is: /readyz fails, live pages end.
    """

    settings: ApiSettings
    limits: Limits
    journal: JournalWriter
    store: Store
    run_sql: RunSql
    clock: Callable[[], datetime]
    random_bytes: Callable[[int], bytes]
    session_secret: bytes
    address: AddressSettings = field(default_factory=AddressSettings)
    budget_per_day: float = 10.0  # as `detectors.panel.PanelSettings`
    stopping: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What one application is made of."""

    services: Services
    meters: Meters
    keyring: KeyRing
    sessions: Sessions
    intake: Intake
    watch: Watch
    sql_room: Room

    @property
    def store(self) -> Store:
        """Everything that is kept. Its calls block: never from the event loop."""
        return self.services.store

    @property
    def base_url(self) -> str:
        """Where this service is reached, for links and for lines to copy; no slash at its end."""
        settings = self.services.settings
        if settings.public_url:
            return settings.public_url.rstrip("/")
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        return f"http://{host}:{settings.port}"

    def retry_after_s(self) -> int:
        """After how many seconds a sender that was refused may come again."""
        return _RETRY_AFTER_S_MIN + self.services.random_bytes(1)[0] % _RETRY_AFTER_S_SPREAD

    def new_id(self, kind: str) -> str:
        """A random id, for example `sil_` and 24 hex digits."""
        return f"{kind}_{self.services.random_bytes(12).hex()}"


def parts_of(request: Request) -> Parts:
    """The parts of the application that serves `request`."""
    parts = request.app.state.parts
    assert isinstance(parts, Parts), "set by create_app"
    return parts


def start(services: Services) -> Parts:
    """Make the parts of one application."""
    settings, store, clock = services.settings, services.store, services.clock
    meters = Meters()
    return Parts(
        services=services,
        meters=meters,
        keyring=KeyRing(store.keys, clock, remember_s=settings.key_remember_s, keys_max=settings.keys_remembered_max),
        sessions=Sessions(services.session_secret, clock, services.random_bytes, hours=settings.session_hours),
        intake=Intake(settings, services.limits, services.journal, store.reads, clock, meters),
        watch=Watch(store.reads.marker, poll_s=settings.stream_poll_s, connections_max=settings.stream_connections_max),
        sql_room=Room(
            inside_max=settings.sql_running_max, waiting_max=settings.sql_waiting_max, wait_s=settings.sql_wait_s
        ),
    )
