"""What the HTTP surface is given, and what one application makes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from fastapi import Request

from api.intake import Intake, JournalWriter
from api.keyring import KeyRing
from api.meters import Meters
from api.sessions import Sessions
from api.settings import ApiSettings
from api.stream import Watch
from ingest.limits import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the HTTP surface is given: everything that touches a disk, a clock or chance.

    Attributes:
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
