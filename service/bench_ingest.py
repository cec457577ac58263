"""`tocsin bench ingest`: how many lines a second are acknowledged, by protocol, size of the bodies and senders."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cramjam
import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from ingest.messages import LokiPush
from service.bench import ratio, row
from service.load import Body, Sent, append_and_sync, bodies, percentile, send_all
from service.trial import running

_PEER = "append + fdatasync a body"
_SECOND = 10**9

#: Lines of a body, and senders.
Shape = tuple[int, int]


def ingest(*, quick: bool = False, shapes: Sequence[Shape] | None = None) -> dict[str, Any]:
    """Measure acknowledged lines with no worker beside: the load generator has the other core.

    Args:
        quick: finish within 60 s.
        shapes: lines of a body and senders; chosen by `quick` when None.
    """
    shapes = shapes or ([(100, 8), (5000, 8)] if quick else [(10, 32), (100, 8), (1000, 8), (5000, 8)])
    seconds = 1.0 if quick else 5.0
    rows, ratios = [], []
    for body_lines, senders in shapes:
        # About what a fast machine takes in the time, and no more requests than a slow disk syncs
        mixed = bodies(int(min(400_000, 1500 * body_lines) * seconds / 5), body_lines)
        with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
            with running(Path(name) / "data", role="api") as trial:
                send_all(trial.url, mixed[:senders], senders)  # what a process does once is not measured
                measured = [_sent(trial.url, protocol, mixed, senders) for protocol in _PROTOCOLS]
            synced_per_s = append_and_sync(Path(name) / "peer", mixed)
        for protocol, sent in zip(_PROTOCOLS, measured, strict=True):
            case = f"{protocol}, {body_lines} lines a body, {senders} senders"
            rows += [
                row(case, sent.lines_per_second, "lines/s"),
                row(f"{case}, p99", percentile(sent.waits_ms, 99), "ms"),
            ]
            ratios.append(ratio(case, _PEER, sent.lines_per_second / synced_per_s))
        rows.append(row(f"{body_lines} lines a body, one sender", synced_per_s, "lines/s", peer=_PEER))
    return {"rows": rows, "ratios": ratios}


def _sent(url: str, protocol: str, mixed: Sequence[Body], senders: int) -> Sent:
    return send_all(url, [_PROTOCOLS[protocol](body) for body in mixed], senders)


def _plain(body: Body) -> Body:
    return body.over(_join(_texts(body)), "text/plain")


def _ndjson(body: Body) -> Body:
    rows = [
        {"time": _moment(body, place), "level": "info", "service": body.stream, "message": text}
        for place, text in enumerate(_texts(body))
    ]
    return body.over(_join(map(_json, rows)), "application/x-ndjson")


def _otlp(body: Body) -> Body:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.add(key="service.name").value.string_value = body.stream
    records = resource.scope_logs.add().log_records
    for place, text in enumerate(_texts(body)):
        record = records.add(time_unix_nano=_moment(body, place), severity_number=9)
        record.body.string_value = text
    return body.over(request.SerializeToString(), "application/x-protobuf", path="/v1/logs")


def _loki(body: Body) -> Body:
    push = LokiPush()
    stream = push.streams.add(labels=f'{{service_name="{body.stream}"}}'.encode())
    for place, text in enumerate(_texts(body)):
        entry = stream.entries.add(line=text.encode())
        entry.timestamp.seconds, entry.timestamp.nanos = divmod(_moment(body, place), _SECOND)
    content = bytes(cramjam.snappy.compress_raw(push.SerializeToString()))
    return body.over(content, "application/x-protobuf", path="/loki/api/v1/push")


_PROTOCOLS: Mapping[str, Callable[[Body], Body]] = {
    "plain text": _plain,
    "NDJSON": _ndjson,
    "OTLP protobuf": _otlp,
    "Loki protobuf": _loki,
}


def _texts(body: Body) -> list[str]:
    return body.content.decode().split("\n")


def _moment(body: Body, place: int) -> int:
    """Nanoseconds since 1970; the lines of a body are a millisecond apart."""
    return (int(body.at.timestamp()) * 1000 + place) * 1_000_000


def _json(row: object) -> str:
    return msgspec.json.encode(row).decode()


def _join(texts: Iterable[str]) -> bytes:
    return "\n".join(texts).encode()
