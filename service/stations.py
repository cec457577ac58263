"""Which protocols are listened to beside HTTP: their ports are bound before anything is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from api.intake import IntakeMeters
from service.doors import Bound, DoorSettings, bound, ports_of
from service.forwarding import Forward
from service.listeners import Language, Listener, Surroundings
from service.one_way import Gelf, Syslog
from service.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One protocol that is listened to."""

    title: str
    settings: DoorSettings
    sockets: Bound
    language: Callable[[], Language[Any]]

    @property
    def places(self) -> str:
        """Where it is listened to, for the person at the terminal."""
        ports = {name.removesuffix("_port").upper(): port for name, port in ports_of(self.settings).items()}
        return f"{self.title} is at {self.settings.host}, {', '.join(f'{name} {port}' for name, port in ports.items())}"

    def listener(self, services: Surroundings, meters: IntakeMeters) -> Listener[Any]:
        """What listens."""
        return Listener(self.language(), self.settings, self.sockets, services, meters)


@contextmanager
def stations(settings: Settings) -> Iterator[list[Station]]:
    """Bind every port that is set.

    Raises:
        SettingsError: a port cannot be had, or a certificate cannot be read.
    """
    limits = settings.limits
    known: tuple[tuple[str, str, DoorSettings, Callable[[], Language[Any]]], ...] = (
        ("syslog", "Syslog", settings.syslog, lambda: Syslog(settings.syslog, limits)),
        ("forward", "Fluentd's forward protocol", settings.forward, lambda: Forward(settings.forward, limits)),
        ("gelf", "GELF", settings.gelf, lambda: Gelf(settings.gelf, limits)),
    )
    with ExitStack() as stack:
        yield [
            Station(title=title, settings=chosen, sockets=stack.enter_context(bound(name, chosen)), language=language)
            for name, title, chosen, language in known
            if ports_of(chosen)
        ]
