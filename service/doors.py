"""What every protocol beside HTTP is told in the same way: ports, certificates, whose the messages are."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from service.bind import bind
from tocsin.errors import SettingsError

OPEN_TENANT = "default"  # as on the HTTP surface while no key exists

_PORTS = ("tcp_port", "udp_port", "tls_port")


class DoorSettings(Protocol):
    """What the settings of every such protocol hold."""

    @property
    def host(self) -> str:
        """Where it is listened to."""

    @property
    def tcp_port(self) -> int:
        """0 is off."""

    @property
    def tls_port(self) -> int:
        """0 is off."""

    @property
    def tls_certificate(self) -> str:
        """PEM file."""

    @property
    def tls_key(self) -> str:
        """PEM file; "" = in the same file."""

    @property
    def tls_client_ca(self) -> str:
        """PEM file; "" = senders need no certificate."""

    @property
    def tenant(self) -> str:
        """Whose the messages are; "" is `default`, where the network cannot reach it."""

    @property
    def connections_max(self) -> int:
        """Senders at once."""

    @property
    def silent_s(self) -> float:
        """When there are `connections_max`, one that brought nothing for so long makes room for a new one."""

    @property
    def batch_ms(self) -> int:
        """How long messages are gathered."""

    @property
    def batch_lines(self) -> int:
        """Or until so many came."""

    @property
    def batch_bytes(self) -> int:
        """Or so much."""


def ports_of(settings: DoorSettings) -> dict[str, int]:
    """Setting -> port of all that is on; there is UDP where there is a setting for it."""
    ports = {name: int(getattr(settings, name, 0)) for name in _PORTS}
    return {name: port for name, port in ports.items() if port}


def check_door(section: str, settings: DoorSettings) -> None:
    """What no single type can say.

    Raises:
        SettingsError: the settings of `section` contradict each other.
    """
    ports = ports_of(settings)
    for name, port in ports.items():
        if port > 65_535:
            raise SettingsError(f"{section}.{name}: {port} is no port, 0 to 65535")
    if ports and not settings.tenant and not _is_loopback(settings.host):
        raise SettingsError(
            f"{section}.tenant: {settings.host} can be reached from the network and {section} has no API keys; "
            f'say whose the messages are, for example tenant = "{OPEN_TENANT}"'
        )
    if settings.tls_port and not settings.tls_certificate:
        raise SettingsError(f"{section}.tls_certificate: {section}.tls_port needs one")


def check_limits(section: str, **limits: float) -> None:
    """Refuse limits with which nothing would ever be taken.

    Raises:
        SettingsError: one of them is below 1.
    """
    if min(limits.values()) < 1:
        *names, last = limits
        raise SettingsError(f"{section}: {', '.join(names)} and {last} are at least 1")


def _is_loopback(host: str) -> bool:
    from api.guard import is_loopback  # only where something is on: it costs the start of every command

    return is_loopback(host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What is listened on; None where it is off."""

    tcp: socket.socket | None
    udp: socket.socket | None
    tls: socket.socket | None
    context: ssl.SSLContext | None


@contextmanager
def bound(section: str, settings: DoorSettings) -> Iterator[Bound]:
    """Bind all that is on.

    Raises:
        SettingsError: a port cannot be had, or a certificate cannot be read.
    """
    with ExitStack() as stack:

        def have(name: str, kind: socket.SocketKind) -> socket.socket | None:
            port = ports_of(settings).get(name)
            if port is None:
                return None
            return stack.enter_context(bind(settings.host, port, kind=kind, names=f"{section}.host, {section}.{name}"))

        yield Bound(
            tcp=have("tcp_port", socket.SOCK_STREAM),
            udp=have("udp_port", socket.SOCK_DGRAM),
            tls=have("tls_port", socket.SOCK_STREAM),
            context=_context(section, settings) if settings.tls_port else None,
        )


def _context(section: str, settings: DoorSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key or None)
    except OSError as error:
        raise SettingsError(f"{section}.tls_certificate, {section}.tls_key: cannot be used: {error}") from error
    if settings.tls_client_ca:
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except OSError as error:
            raise SettingsError(f"{section}.tls_client_ca: cannot be used: {error}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context
