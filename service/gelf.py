"""What GELF beside HTTP is told: where it is listened to, whose the messages are, and how they are gathered."""

from __future__ import annotations

from dataclasses import dataclass

from service.doors import check_door, check_limits


@dataclass(frozen=True, slots=True, kw_only=True)
class GelfSettings:
    """Where GELF over TCP and UDP is listened to: nowhere, unless a port is set. Over HTTP it always is."""

    host: str = "127.0.0.1"  # loopback; GELF here knows no keys, so a network has to be chosen
    tcp_port: int = 0  # 0 is off; 12201 is usual
    udp_port: int = 0  # 0 is off; 12201 is usual
    tls_port: int = 0  # 0 is off; TCP with TLS
    tls_certificate: str = ""  # PEM file with the certificate and those above it
    tls_key: str = ""  # PEM file with its key; "" = in the same file
    tls_client_ca: str = ""  # PEM file; with it only senders with a certificate of this authority are heard
    tenant: str = ""  # whose the messages are; "" is `default`, which a network has to choose by name
    connections_max: int = 1_000  # senders at once; each holds a socket and a message
    silent_s: float = 60.0  # when there are connections_max, one that brought nothing for so long makes room
    message_bytes_max: int = 262_144  # of a message that is not compressed; a longer one becomes a dead letter
    chunks_s: float = 5.0  # how long the chunks of a message may take, as GELF says
    chunks_bytes_max: int = 16 * 2**20  # held of incomplete messages; then the oldest is given up
    batch_ms: int = 200  # how long messages are gathered before they are kept; a sync takes 2 to 5 ms
    batch_lines: int = 5_000  # or until so many came
    batch_bytes: int = 8 * 2**20  # or so much; twice this is held at most
    udp_buffer_bytes: int = 8 * 2**20  # asked of the kernel: what comes while a batch is kept; it may grant less


def check(settings: GelfSettings) -> None:
    """What no single type can say.

    Raises:
        SettingsError: the settings contradict each other.
    """
    check_limits(
        "gelf",
        batch_lines=settings.batch_lines,
        batch_bytes=settings.batch_bytes,
        message_bytes_max=settings.message_bytes_max,
        connections_max=settings.connections_max,
    )
    check_door("gelf", settings)
