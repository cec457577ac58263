"""What syslog is told: where it is listened to, whose the messages are, and how they are gathered."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.batch import check_stream
from service.doors import check_door, check_limits
from tocsin.errors import InputError, SettingsError


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
    silent_s: float = 60.0  # when there are connections_max, one that brought nothing for so long makes room
    frame_bytes_max: int = 65_536  # a longer message becomes a dead letter; relays cut at 8 KiB
    batch_ms: int = 200  # how long messages are gathered before they are kept; a sync takes 2 to 5 ms
    batch_lines: int = 5_000  # or until so many came
    batch_bytes: int = 8 * 2**20  # or so much; twice this is held at most
    udp_buffer_bytes: int = 8 * 2**20  # asked of the kernel: what comes while a batch is kept; it may grant less


def check(settings: SyslogSettings) -> None:
    """What no single type can say.

    Raises:
        SettingsError: the settings contradict each other.
    """
    check_limits(
        "syslog",
        batch_lines=settings.batch_lines,
        batch_bytes=settings.batch_bytes,
        frame_bytes_max=settings.frame_bytes_max,
        connections_max=settings.connections_max,
    )
    try:
        check_stream(settings.stream)
    except InputError as error:
        raise SettingsError(f"syslog.{error}") from error
    check_door("syslog", settings)
