"""What syslog is told: where it is listened to, whose the messages are, and how they are gathered."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ingest.batch import check_stream
from service.bind import bind
from tocsin.errors import InputError, SettingsError

OPEN_TENANT = "default"  # as on the HTTP surface while no key exists


@dataclass(frozen=True, slots=True, kw_only=True)
class SyslogSettings:
    """Where syslog is listened to: nowhere, unless a port is set."""

    host: str = "127.0.0.1"  # loopback; syslog knows no keys, so a network has to be chosen
    tcp_port: int = 0  # 0 is off; 601 is usual, 514 too, and both need root
    udp_port: int = 0  # 0 is off; 514 is usual
    tls_port: int = 0  # 0 is off; 6514 is usual
    tls_certificate: str = ""  # PEM file with the certificate and those above it
    tls_key: str = ""  # PEM file with its key; "" = in the same file
    tls_client_ca: str = ""  # PEM file; with it only senders with a certificate of this authority are heard
    tenant: str = ""  # whose the messages are; "" is `default`, which a network has to choose by name
    stream: str = "syslog"  # where the messages go
    connections_max: int = 1_000  # senders at once; each holds a socket and up to 128 KiB
    frame_bytes_max: int = 65_536  # a longer message becomes a dead letter; relays cut at 8 KiB
    batch_ms: int = 200  # how long messages are gathered before they are kept; a sync takes 2 to 5 ms
    batch_lines: int = 5_000  # or until so many came
    batch_bytes: int = 8 * 2**20  # or so much; twice this is held at most
    udp_buffer_bytes: int = 8 * 2**20  # asked of the kernel: what comes while a batch is kept; it may grant less

    @property
    def is_on(self) -> bool:
        """Whether there is anything to listen to."""
        return bool(self.tcp_port or self.udp_port or self.tls_port)


def check(settings: SyslogSettings) -> None:
    """What no single type can say.

    Raises:
        SettingsError: the settings contradict each other.
    """
    for name in ("tcp_port", "udp_port", "tls_port"):
        if getattr(settings, name) > 65_535:
            raise SettingsError(f"syslog.{name}: {getattr(settings, name)} is no port, 0 to 65535")
    if min(settings.batch_lines, settings.batch_bytes, settings.frame_bytes_max, settings.connections_max) < 1:
        raise SettingsError("syslog: batch_lines, batch_bytes, frame_bytes_max and connections_max are at least 1")
    try:
        check_stream(settings.stream)
    except InputError as error:
        raise SettingsError(f"syslog.{error}") from error
    if settings.is_on and not settings.tenant and not _is_loopback(settings.host):
        raise SettingsError(
            f"syslog.tenant: {settings.host} can be reached from the network and syslog has no keys; "
            f'say whose the messages are, for example tenant = "{OPEN_TENANT}"'
        )
    if settings.tls_port and not settings.tls_certificate:
        raise SettingsError("syslog.tls_certificate: syslog.tls_port needs one")


def _is_loopback(host: str) -> bool:
    from api.guard import is_loopback  # only where syslog is on: it costs the start of every command

    return is_loopback(host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What is listened on; None where it is off."""

    tcp: socket.socket | None
    udp: socket.socket | None
    tls: socket.socket | None
    context: ssl.SSLContext | None


@contextmanager
def bound(settings: SyslogSettings) -> Iterator[Bound]:
    """Bind all that is on.

    Raises:
        SettingsError: a port cannot be had, or a certificate cannot be read.
    """
    with ExitStack() as stack:

        def have(name: str, kind: socket.SocketKind) -> socket.socket | None:
            port = getattr(settings, name)
            if not port:
                return None
            return stack.enter_context(bind(settings.host, port, kind=kind, names=f"syslog.host, syslog.{name}"))

        yield Bound(
            tcp=have("tcp_port", socket.SOCK_STREAM),
            udp=have("udp_port", socket.SOCK_DGRAM),
            tls=have("tls_port", socket.SOCK_STREAM),
            context=_context(settings) if settings.tls_port else None,
        )


def _context(settings: SyslogSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key or None)
    except OSError as error:
        raise SettingsError(f"syslog.tls_certificate, syslog.tls_key: cannot be used: {error}") from error
    if settings.tls_client_ca:
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except OSError as error:
            raise SettingsError(f"syslog.tls_client_ca: cannot be used: {error}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context
