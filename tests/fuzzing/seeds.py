"""Valid messages of every protocol, made as the tests of that protocol make them."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ingest.messages import Label, LokiPush, Write1, Write2
from ingest.otlp_wire import Signal

from .bend import Packed

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
NS = 1_764_064_800_000_000_001
MS = NS // 10**6

#: Lines of text with the headers that programs write.
LINES = (
    "Feb 27 10:01:02 web-1 sshd[811]: Accepted publickey for deploy from 10.0.0.1 port 4711",
    "<134>Feb  7 10:01:02 web-1 cron: ran /usr/bin/x in 12 ms",
    '<165>1 2026-02-27T10:01:02.003+02:00 web-1 shop 42 ID47 [x@1 a="b\\]" c="d"][y@2 e="f"] paid 12 EUR',
    "<34>1 2026-02-27T10:01:02Z web-1 shop - - - \ufeffé paid",
    "2026-02-27 10:01:02,123 INFO  [main] org.a.B: block blk_-1608999687919862906 of size 67108864",
    "2026-02-27T10:01:02.123456Z ERROR shop.pay - order o123x declined: user_id=77 status=502",
    "081109 203615 148 INFO dfs.DataNode: Receiving block src: /10.250.19.102:54106 dest: /10.250.19.102:50010",
    "[Sun Dec 04 04:47:44 2005] [error] [client 10.0.0.1] mod_jk child workerEnv in error state 6",
    '10.0.0.1 - bob [10/Oct/2025:13:55:36 -0700] "GET /a/b.gif?x=1 HTTP/1.1" 200 2326 "-" "curl/8.1"',
    "1772359200.123 cache miss key=a:b:c ttl=30s",
    "[1772359200] job 7 done",
    "17/06/09 20:10:40 INFO executor.Executor: Finished task 0.0 in stage 0.0 (TID 0)",
    "20171223-22:15:29:606|Step_LSC|30002312|onStandStepChanged 3579",
    "03-17 16:13:38.811  1702  2395 D WindowManager: printFreezingDisplayLogsopening app wtoken = AppWindowToken{9f}",
    "- 1117838570 2005.06.03 R02-M1-N0-C:J12-U11 2005-06-03-15.42.50.363779 R02-M1 RAS KERNEL INFO cache parity error",
    "*Mar  1 18:46:11.123: %SYS-5-CONFIG_I: Configured from console by vty2 (10.34.195.36)",
    'time="2026-02-27T10:01:02Z" level=warning msg="slow query" ms=1201 user=a@b.co',
    "type=SYSCALL msg=audit(1364481363.243:24287): arch=c000003e syscall=2 success=no exit=-13",
    'Feb 27 10:01:02 web-1 app: {"level":"error","msg":"no money","user":{"id":7},"ip":"10.0.0.1"}',
    '[error] {"a": 1} trailing',
    "Traceback (most recent call last):",
    "E0227 10:01:02.123456    1234 file.cc:77] failed",
    "plain words without anything",
)

#: Events as loggers write them.
EVENTS: tuple[dict[str, Any], ...] = (
    {
        "time": "2026-02-27T10:01:02.003Z",
        "level": "info",
        "message": "order 17 paid by user 7",
        "user": 7,
        "ip": "10.0.0.1",
    },
    {
        "@timestamp": "2026-02-27T10:01:02Z",
        "log.level": "ERROR",
        "message": "x",
        "service": {"name": "shop"},
        "tags": ["a", 1],
    },
    {"ts": 1772359200.25, "msg": "slow 12 ms", "severity_number": 9, "trace_id": TRACE, "span_id": SPAN, "n": None},
    {"timestamp": 1772359200123, "severity": 4, "log": {"message": "deep 5", "level": "warn"}, "é": "日本"},
    {"event": "login", "ok": True, "user": {"id": "u77", "mail": "a@b.co"}, "levelno": 40, "_raw": "raw 8"},
    {"a": {"b": {"c": [1, 2.5, {"d": "e"}]}}, "text": 'quoted "x" \\ tab\t', "date": "Feb 27 10:01:02"},
    {"timeUnixNano": str(NS), "body": "b", "severityText": "WARN"},
    {},
)

CSV = (
    b'time,level,message,n\n2026-02-27T10:01:02Z,info,paid 12,1\n2026-02-27T10:01:03Z,error,"a, ""b""\nc",2\n',
    b"ts;msg;user\n1772359200;x;7\n1772359201;y;8\n",
    b"a\tb\n1\t2\n",
    b"message\nonly\n",
)

_RESOURCE = {
    "attributes": [
        {"key": "service.name", "value": {"stringValue": "shop"}},
        {"key": "host.name", "value": {"stringValue": "web-1"}},
    ]
}
_SCOPE = {"name": "lib", "version": "1", "attributes": [{"key": "k", "value": {"intValue": "5"}}]}
_ATTRIBUTES = [
    {"key": "user.id", "value": {"stringValue": "u7"}},
    {"key": "n", "value": {"intValue": "-7"}},
    {"key": "d", "value": {"doubleValue": 1.5}},
    {"key": "b", "value": {"boolValue": True}},
    {"key": "bytes", "value": {"bytesValue": "AAEC"}},
    {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"arrayValue": {"values": [{}]}}]}}},
    {"key": "map", "value": {"kvlistValue": {"values": [{"key": "x", "value": {"kvlistValue": {"values": []}}}]}}},
]
_TIMES = {"timeUnixNano": str(NS), "startTimeUnixNano": str(NS - 10**9)}
_SPREAD = {**_TIMES, "count": "3", "sum": 4.5, "min": 0.5, "max": 3.0, "attributes": _ATTRIBUTES[:2]}

OTLP: dict[Signal, tuple[dict[str, Any], ...]] = {
    Signal.LOGS: (
        {
            "resourceLogs": [
                {
                    "resource": _RESOURCE,
                    "scopeLogs": [
                        {
                            "scope": _SCOPE,
                            "logRecords": [
                                {
                                    "timeUnixNano": str(NS),
                                    "observedTimeUnixNano": str(NS),
                                    "severityNumber": 17,
                                    "severityText": "ERROR",
                                    "body": {"stringValue": "order o17x declined"},
                                    "attributes": _ATTRIBUTES,
                                    "traceId": TRACE,
                                    "spanId": SPAN,
                                    "eventName": "declined",
                                },
                                {"body": {"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "1"}}]}}},
                            ],
                        }
                    ],
                }
            ]
        },
        {"resourceLogs": []},
    ),
    Signal.SPANS: (
        {
            "resourceSpans": [
                {
                    "resource": _RESOURCE,
                    "scopeSpans": [
                        {
                            "scope": _SCOPE,
                            "spans": [
                                {
                                    "traceId": TRACE,
                                    "spanId": SPAN,
                                    "parentSpanId": SPAN[::-1],
                                    "name": "GET /a",
                                    "kind": 2,
                                    "startTimeUnixNano": str(NS),
                                    "endTimeUnixNano": str(NS + 5),
                                    "attributes": _ATTRIBUTES,
                                    "events": [
                                        {"timeUnixNano": str(NS), "name": "exception", "attributes": _ATTRIBUTES[:1]}
                                    ],
                                    "links": [{"traceId": TRACE, "spanId": SPAN}],
                                    "status": {"code": 2, "message": "bad"},
                                }
                            ],
                        }
                    ],
                }
            ]
        },
    ),
    Signal.METRICS: (
        {
            "resourceMetrics": [
                {
                    "resource": _RESOURCE,
                    "scopeMetrics": [
                        {
                            "scope": _SCOPE,
                            "metrics": [
                                {
                                    "name": "g",
                                    "unit": "1",
                                    "gauge": {"dataPoints": [{**_TIMES, "asDouble": 1.5, "attributes": _ATTRIBUTES}]},
                                },
                                {
                                    "name": "s",
                                    "sum": {
                                        "dataPoints": [{**_TIMES, "asInt": "7"}],
                                        "aggregationTemporality": 2,
                                        "isMonotonic": True,
                                    },
                                },
                                {"name": "h", "histogram": {"dataPoints": [_SPREAD], "aggregationTemporality": 1}},
                                {
                                    "name": "e",
                                    "exponentialHistogram": {"dataPoints": [_SPREAD], "aggregationTemporality": 2},
                                },
                                {
                                    "name": "q",
                                    "summary": {
                                        "dataPoints": [
                                            {
                                                **_TIMES,
                                                "count": "3",
                                                "sum": 4.5,
                                                "quantileValues": [{"quantile": 0.5, "value": 1.0}],
                                            }
                                        ]
                                    },
                                },
                            ],
                        }
                    ],
                }
            ]
        },
    ),
}
_REQUESTS: dict[Signal, type[Message]] = {
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.SPANS: ExportTraceServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
}


def otlp_messages(signal: Signal) -> tuple[bytes, ...]:
    return tuple(ParseDict(document, _REQUESTS[signal]()).SerializeToString() for document in OTLP[signal])


LOKI: tuple[dict[str, Any], ...] = (
    {
        "streams": [
            {
                "stream": {"app": "shop", "level": "error", "host": "web-1"},
                "values": [[str(NS), "one 1"], [str(NS + 1), "two 2", {"trace_id": TRACE, "user": "u7"}]],
            },
            {"stream": {"service_name": "pay"}, "values": [[str(NS), '{"level":"warn","msg":"three"}']]},
        ]
    },
    {
        "streams": [
            {"labels": '{app="shop",x="y\\"z"}', "entries": [{"ts": "2026-02-27T10:01:02.000000003Z", "line": "old"}]}
        ]
    },
)


def loki_messages() -> tuple[bytes, ...]:
    push = LokiPush()
    stream = push.streams.add(labels=b'{app="shop", level="error", q="a\\"b"}')
    for number in range(3):
        entry = stream.entries.add(line=b"line %d of order o%dx" % (number, number))
        entry.timestamp.seconds, entry.timestamp.nanos = NS // 10**9, number
    entry.structuredMetadata.add(name=b"trace_id", value=TRACE.encode())
    push.streams.add(labels=b"{}").entries.add(line=b"bare")
    return (push.SerializeToString(),)


def write_messages(version: int) -> tuple[bytes, ...]:
    names = {"__name__": "http_requests_total", "job": "node", "instance": "web-1:9100", "code": "500"}
    message: Any
    if version == 1:
        message = Write1()
        for name in ("up", "down"):
            series = message.timeseries.add()
            labels = {**names, "__name__": name}
            series.labels.extend(
                Label(name=n.encode(), value=v.encode()).SerializeToString() for n, v in labels.items()
            )
            series.samples.add(value=1.5, timestamp=MS)
            series.samples.add(value=float("nan"), timestamp=MS + 1)
            series.histograms.add(count_int=2, sum=3.5, timestamp=MS)
    else:
        message = Write2(symbols=[b"", *(word.encode() for pair in names.items() for word in pair)])
        series = message.timeseries.add(labels_refs=[1, 2, 3, 4, 5, 6])
        series.samples.add(value=1.5, timestamp=MS)
        series.histograms.add(count_float=2.5, sum=3.5, timestamp=MS)
    return (message.SerializeToString(),)


BULK: tuple[tuple[dict[str, Any], ...], ...] = (
    ({"index": {"_index": "shop-2026.11.25", "_id": "a"}}, EVENTS[1], {"create": {"_index": "shop"}}, EVENTS[0]),
    ({"create": {}}, EVENTS[2], {"delete": {"_index": "shop", "_id": "a"}}, {"index": {"_id": "a"}}, EVENTS[3]),
    ({"update": {"_index": "shop", "_id": "a"}}, {"doc": {"x": 1}}, {"index": {"_index": "x" * 80}}, EVENTS[5]),
)

SPLUNK: tuple[dict[str, Any], ...] = (
    {
        "time": 1772359200.123,
        "host": "web-1",
        "source": "/x",
        "sourcetype": "nginx",
        "index": "main",
        "event": "paid 12",
    },
    {"time": "1772359200", "event": {"message": "no", "level": "error", "user": 7}, "fields": {"a": "b", "l": ["x"]}},
    {"event": "metric", "fields": {"metric_name": "cpu", "_value": 1.5, "metric_name:mem": 7}},
)

DATADOG: tuple[dict[str, Any], ...] = (
    {
        "message": "paid 12",
        "status": "warn",
        "timestamp": MS,
        "hostname": "web-1",
        "service": "shop",
        "ddsource": "python",
        "ddtags": "env:prod,version:1,env:x,bare",
    },
    {"message": '{"level":"error","msg":"inner 5","dd":{"trace_id":"123"}}', "service": "pay"},
    {"message": {"text": "t"}, "timestamp": "2026-02-27T10:01:02Z", "status": 3},
)

GELF: tuple[dict[str, Any], ...] = (
    {
        "version": "1.1",
        "host": "web-1",
        "short_message": "short 5",
        "full_message": "full\nlines",
        "level": 3,
        "timestamp": 1772359200.123,
        "_user_id": 9001,
        "_service": "shop",
        "_trace_id": TRACE,
        "line": 7,
        "file": "a.py",
    },
    {"host": "", "short_message": "x", "facility": "f", "_container_name": "c", "_message": "y"},
)

#: Messages of the forward protocol: one event, an array of them, a stream of them.
FLUENT: tuple[list[Any], ...] = (
    ["app.web", 1772186414, {"message": "one 1", "level": "error"}],
    ["app.web", 1772186414, {"log": "two", "container_name": "/c"}, {"chunk": "abc=", "size": 1}],
    [
        "app.web",
        [[1772186414, {"log": "a"}], [1772186415.5, EVENTS[0]]],
        {"chunk": "p8n9gmxTQVC8/nh2wlKKeQ==", "size": 2},
    ],
    ["app", Packed([[1772186414, EVENTS[1]], [2**70, EVENTS[4]]]), {"chunk": "x"}],
    [
        "flb",
        Packed([[[1772186414, {"otlp": {"a": 1}}], {"log": "m 7"}], [[2**70, {}], {}]]),
        {"fluent_signal": 0, "size": 2},
    ],
    ["tag", Packed([[1772186414, {"m": "z"}]]), {"compressed": "text"}],
)
PINGS: tuple[list[Any], ...] = (
    ["PING", "web-1", b"0123456789abcdef", "a" * 128, "", ""],
    ["PING", b"web-1", "salt", b"b" * 128, "user", "digest"],
)


def journal_entries() -> tuple[bytes, ...]:
    """Entries of journald's export format; one has a field in binary."""
    head = (
        f"__CURSOR=s={1:032x};i=1\n__REALTIME_TIMESTAMP={NS // 1000}\n_HOSTNAME=web-1\nPRIORITY=4\n_PID=41\n".encode()
    )
    tail = b"SYSLOG_IDENTIFIER=shopd\n_SYSTEMD_UNIT=shop.service\n"
    message = b"two\nlines"
    return (
        head + tail + b"MESSAGE=order 7 declined\n\n",
        head + b"MESSAGE\n" + len(message).to_bytes(8, "little") + message + b"\n" + tail + b"MESSAGE=again\n\n",
        head + b"MESSAGE=x\nA=1\nA=2\n\n" + head + b"MESSAGE=y\n\n",
    )


def in_json(*trees: Any) -> tuple[bytes, ...]:
    return tuple(json.dumps(tree, ensure_ascii=False).encode() for tree in trees)
