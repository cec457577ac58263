"""Which path was meant: shippers put slashes together carelessly, and Elasticsearch's clients ask for `/`."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import Scope

#: Where Elasticsearch is spoken without doubt; on the root the web page is at `/`.
ELASTICSEARCH = "/es"

_SLASHES = re.compile("//+")
_KEPT = ("/static/", "/v1/entities/")  # files, and values that have slashes of their own
_ELASTIC_AGENT = re.compile(
    r"(?:elasticsearch|elastic|(?:elastic-)?(?:filebeat|metricbeat|auditbeat|winlogbeat|packetbeat|heartbeat)|logstash)\b",
    re.IGNORECASE,
)


def path_of(scope: Scope) -> str:
    """The path of a request, with one slash where several are written, and none at its end."""
    path: str = scope["path"]
    raw = scope.get("raw_path") or b"//"
    # Slashes that were escaped belong to a name.
    if (b"//" in raw or raw.endswith(b"/")) and not path.startswith(_KEPT):
        path = _SLASHES.sub("/", path)
        path = path.rstrip("/") or "/"
    if path == "/" and (scope["method"] == "HEAD" or _is_elasticsearch(Headers(scope=scope))):
        return ELASTICSEARCH
    return path


def _is_elasticsearch(headers: Headers) -> bool:
    return (
        "application/vnd.elasticsearch+json" in headers.get("accept", "")
        or _ELASTIC_AGENT.match(headers.get("user-agent", "")) is not None
    )
