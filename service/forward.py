"""What Fluentd's forward protocol is told: where it is listened to, who may send, and how much is held."""

from __future__ import annotations

from dataclasses import dataclass

from service.doors import check_door, check_limits


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardSettings:
    """Where the forward protocol of Fluentd and Fluent Bit is listened to: nowhere, unless a port is set."""

    host: str = "127.0.0.1"  # loopback; a network has to be chosen
    tcp_port: int = 0  # 0 is off; 24224 is usual
    tls_port: int = 0  # 0 is off; senders that use TLS usually take 24224 too
    tls_certificate: str = ""  # PEM file with the certificate and those above it
    tls_key: str = ""  # PEM file with its key; "" = in the same file
    tls_client_ca: str = ""  # PEM file; with it only senders with a certificate of this authority are heard
    shared_key: str = ""  # with it senders have to show that they know it; Docker and fluent-logger cannot
    tenant: str = ""  # whose the messages are; "" is `default`, which a network has to choose by name
    connections_max: int = 1_000  # senders at once; each holds a socket and up to 128 KiB
    silent_s: float = 60.0  # when there are connections_max, one that brought nothing for so long makes room
    message_bytes_max: int = 32 * 2**20  # of a message, and of what it decompresses to; Fluentd's chunks have 8 MiB
    large_max: int = 4  # messages over 64 KiB that arrive at once; the senders of others wait
    idle_s: float = 30.0  # a sender that stops within a message or the handshake is hung up on, not between messages
    message_s_max: float = 300.0  # how long a message may take: 32 MiB at 1 Mbit/s
    batch_ms: int = 200  # how long messages that want no answer are gathered; a sync takes 2 to 5 ms
    batch_lines: int = 5_000  # or until so many messages came
    batch_bytes: int = 8 * 2**20  # or so much; twice this and two messages are held at most


def check(settings: ForwardSettings) -> None:
    """What no single type can say.

    Raises:
        SettingsError: the settings contradict each other.
    """
    check_limits(
        "forward",
        batch_lines=settings.batch_lines,
        batch_bytes=settings.batch_bytes,
        message_bytes_max=settings.message_bytes_max,
        connections_max=settings.connections_max,
        large_max=settings.large_max,
        idle_s=settings.idle_s,
        message_s_max=settings.message_s_max,
    )
    check_door("forward", settings)
