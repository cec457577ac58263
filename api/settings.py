"""The settings of the HTTP surface."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """Where the service listens and what it lets through."""

    host: str = "127.0.0.1"  # loopback: nobody else on the network until a key exists
    port: int = 8780  # not used by any shipper this service speaks to
    public_url: str = ""  # links in webhooks and in the page's curl line; "" = http://host:port
    allowed_hosts: tuple[str, ...] = ()  # further Host names on loopback, for a proxy in front
    elasticsearch_version: str = "8.19.0"  # what shippers are told: Filebeat refuses a server older than itself
    elasticsearch_hold_s: float = 5.0  # a refusal is held so long: official clients try again at once; they wait 10 s
    session_hours: float = 12.0  # a working day and a long evening
    key_remember_s: float = 0.5  # half of the promise that a revoked key ends within 1 s
    keys_remembered_max: int = 10_000  # 1 KiB each: 10 MiB
    connections_max: int = 10_000  # each holds a socket and 8 KiB; fewer where the system grants fewer open files
    head_s_max: float = 20.0  # from a connection, or the first byte of a next request, to the end of its headers
    head_bytes_max: int = 64 * 2**10  # address and headers; other servers stop between 8 and 64 KiB
    body_idle_s: float = 20.0  # a sender that is silent this long in the middle of a body is gone
    body_s_max: float = 300.0  # 64 MiB at 2 Mbit/s; of a journal, which may have any length, each MiB
    inflight_bytes_max: int = 256 * 2**20  # bodies being received or decoded, all senders together
    decode_threads: int = 4  # parsing releases the interpreter lock for most of its time
    decode_waiting_max: int = 64  # bodies that wait for a thread; more are told to come back
    decode_inline_bytes_max: int = 64 * 2**10  # decoded in under 1 ms, cheaper than a change of threads
    answers_remembered_max: int = 10_000  # Idempotency-Key -> answer, about 1 KiB each
    stream_connections_max: int = 64  # live pages; each holds a socket and a task
    stream_poll_s: float = 1.0  # how late a live page may be
    stream_heartbeat_s: float = 15.0  # below the idle time-out of common proxies (60 s)
    sql_running_max: int = 4  # queries at once; each is a process of its own
    sql_waiting_max: int = 16  # queries that wait; each holds one of the 40 threads that serve reads
    sql_wait_s: float = 5.0  # a person still waits for this; a program is told to come back
    page_rows: int = 100  # incidents on one page
    ready_lag_entries_max: int = 10_000  # journal entries the worker may be behind before /readyz says so
    ready_heartbeat_s_max: float = 30.0  # the worker beats every few seconds
