"""Elasticsearch as its senders see it: bulk requests, single documents, and the handshake around them.

Served on the root and under `/es`. Only `GET /` differs: on the root it is the web page for whoever is not a client of
Elasticsearch (`api.paths`).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from api.auth import Caller, Needs, Scope
from api.dialects import Dialect
from api.openapi import PROTOCOL
from api.paths import ELASTICSEARCH
from api.problems import ProblemError
from api.services import Parts, parts_of
from ingest.batch import Part
from ingest.elasticsearch import Item, decode_bulk, decode_document

router = APIRouter(tags=["ingest"])

Sender = Annotated[Caller, Depends(Needs(Scope.INGEST))]

#: Without this header the official clients refuse to talk.
_PRODUCT = {"X-Elastic-Product": "Elasticsearch"}
_COMPATIBLE = re.compile(r"application/vnd\.elasticsearch\+(?:x-nd)?json\s*;\s*compatible-with=([0-9]{1,2})")
_PATH = re.compile(rf"{ELASTICSEARCH}(?:/|\Z)|(?:/[^/]+)?/_[a-z]")
#: The first parts of paths that are something else.
_RESERVED = frozenset(
    (
        *("api", "datadog", "docs", "es", "gelf", "healthz", "incidents", "login", "logout", "loki", "metrics"),
        *("openapi.json", "otlp", "query", "readyz", "services", "sources", "splunk", "static", "upload", "v1"),
    )
)
_SHARDS = {"total": 1, "successful": 1, "failed": 0}
_HEALTH = {"cluster_name": "tocsin", "status": "green", "timed_out": False, "number_of_nodes": 1}
_REASONS = {
    400: "illegal_argument_exception",
    401: "security_exception",
    403: "security_exception",
    413: "content_too_long_exception",
    415: "media_type_header_exception",
    429: "es_rejected_execution_exception",
}
_SETUP = (  # what clients put there before they send; nothing here needs it
    *("_ilm/policy", "_index_template", "_template", "_component_template", "_ingest/pipeline", "_data_stream"),
    "_logstash/pipeline",
)


def _json(request: Request, document: object, status: int = 200) -> Response:
    """Compact, with the keys in the order given: some senders look for a text in it instead of reading it."""
    return _answer(request.headers, document, status)


def _answer(headers: Headers, document: object, status: int, kind_of: type[Response] = Response) -> Response:
    asked = _COMPATIBLE.search(headers.get("accept", ""))
    kind = f"application/vnd.elasticsearch+json;compatible-with={asked[1]}" if asked else "application/json"
    return kind_of(orjson.dumps(document), status, headers=_PRODUCT, media_type=kind)


class _Held(Response):
    """An answer that comes after a while."""

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(scope["app"].state.parts.services.settings.elasticsearch_hold_s)
        await self.answer(scope, receive, send)

    async def answer(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)


class _HangUp(_Held):
    """Ends the connection in the middle of an answer."""

    async def answer(self, scope: AsgiScope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- of ASGI
        headers = [(b"content-length", b"1"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 503, "headers": headers})


def _refuse(headers: Headers, problem: ProblemError) -> Response:
    status = problem.status
    if status == 503:
        agent = headers.get("user-agent", "")
        if not agent or agent.startswith("elasticsearch-js/"):
            # rsyslog, which names itself nowhere, throws a batch away on every answer but a good one, and keeps it on
            # a broken connection. The client for JavaScript gives up on 429, and after a broken connection waits.
            return _HangUp()
        status = 429  # the only refusal after which every client comes again; the official ones at once, so it is held
    kind = _REASONS.get(status, "illegal_argument_exception" if status < 500 else "exception")
    cause = {"type": kind, "reason": problem.detail}
    document = {"error": {"root_cause": [cause], **cause}, "status": status}
    answer = _answer(headers, document, status, _Held if status == 429 else Response)
    answer.headers.update(problem.headers)
    return answer


DIALECT = Dialect(speaks=lambda path: _PATH.match(path) is not None, refuse=_refuse)


async def about(request: Request, _caller: Sender) -> Response:
    """Who this is, in the words by which clients know Elasticsearch."""
    number = parts_of(request).services.settings.elasticsearch_version
    version = {
        "number": number,
        "build_flavor": "default",
        "build_type": "docker",
        "build_hash": "0" * 40,
        "build_date": "2026-01-01T00:00:00.000000000Z",
        "build_snapshot": False,
        "lucene_version": "9.12.0",
        "minimum_wire_compatibility_version": "7.17.0",
        "minimum_index_compatibility_version": "7.0.0",
    }
    document = {
        "name": "tocsin",
        "cluster_name": "tocsin",
        "cluster_uuid": "dG9jc2luLXRvY3Npbi10bw",
        "version": version,
        "tagline": "You Know, for Search",
    }
    return _json(request, document)


async def licence(request: Request, _caller: Sender) -> Response:
    """The licence that clients look for."""
    licence = {"uid": "tocsin", "type": "basic", "status": "active", "expiry_date_in_millis": 4_000_000_000_000}
    return _json(request, {"license": licence})


async def features(request: Request, _caller: Sender) -> Response:
    """Nothing but taking lines is offered."""
    nothing = {"available": False, "enabled": False}
    document = {"license": {"type": "basic", "status": "active"}, "features": {"ilm": nothing, "security": nothing}}
    return _json(request, document)


async def health(request: Request, _caller: Sender) -> Response:
    """Clients ask for this before they send again."""
    return _json(request, _HEALTH)


async def nodes(request: Request, _caller: Sender) -> Response:
    """For clients that look for further nodes: there is this one, under the name it was asked by."""
    host = request.url.hostname or "127.0.0.1"
    port = request.url.port or (443 if request.url.scheme == "https" else 80)
    node = {
        "name": "tocsin",
        "roles": ["ingest", "data", "master"],
        "version": parts_of(request).services.settings.elasticsearch_version,
        "http": {"publish_address": f"{host}:{port}"},
    }
    return _json(request, {"cluster_name": "tocsin", "nodes": {"tocsin": node}})


async def setup(request: Request, _caller: Sender) -> Response:
    """Templates, policies and pipelines: there are none, and none are needed."""
    return _json(request, {"acknowledged": True} if request.method in {"PUT", "POST"} else {})


async def index_there(index: str, request: Request, _caller: Sender) -> Response:
    """Every index is there already."""
    if request.method == "PUT":
        return _json(request, {"acknowledged": True, "shards_acknowledged": True, "index": _checked(index)})
    return _json(request, {})


async def refresh(request: Request, _caller: Sender) -> Response:
    """Nothing to do: lines are seen soon."""
    return _json(request, {"_shards": _SHARDS})


async def bulk(request: Request, caller: Sender) -> Response:
    """Take a bulk request of Elasticsearch; the indices are streams, without the date at their end.

    The answer comes when all of it is on disk, and it is taken whole or not at all. A document that cannot be read is
    kept as a dead letter and answered like the others, because senders would repeat the good ones with it. Lines are
    neither changed nor deleted: `update` is answered with 400, `delete` with 404. The same `_id` is taken once.
    """
    return await _bulk(request, caller.tenant, None)


async def bulk_of_index(index: str, request: Request, caller: Sender) -> Response:
    """As `/_bulk`, for actions that name no index."""
    return await _bulk(request, caller.tenant, _checked(index))


async def _bulk(request: Request, tenant: str, name: str | None) -> Response:
    began = time.perf_counter()
    parts = parts_of(request)
    items: list[dict[str, dict[str, Any]]] = []

    def decode(body: bytes) -> tuple[Part, ...]:
        found = decode_bulk(body, index=name, limits=parts.services.limits)
        items.extend(_item(item, parts) for item in found.items)
        return found.parts

    await parts.intake.take_parts(request, tenant, decode)
    took = int((time.perf_counter() - began) * 1000)
    errors = any("update" in item for item in items)
    return _json(request, {"took": took, "errors": errors, "items": items})


def _item(item: Item, parts: Parts) -> dict[str, dict[str, Any]]:
    told: dict[str, Any] = {"_index": item.index, "_id": item.doc_id or _new_id(parts)}
    if item.is_line:
        told |= {"_version": 1, "result": "created", "_seq_no": 0, "_primary_term": 1, "status": 201}
    elif item.action == "delete":
        told |= {"_version": 1, "result": "not_found", "status": 404}
    else:
        reason = "lines that were taken are not changed; send them with index or create"
        told |= {"status": 400, "error": {"type": "illegal_argument_exception", "reason": reason}}
    return {item.action: told}


async def document(index: str, request: Request, caller: Sender, doc_id: str | None = None) -> Response:
    """Take one document of Elasticsearch as a line."""
    name = _checked(index)
    parts = parts_of(request)
    limits = parts.services.limits
    await parts.intake.take_parts(
        request, caller.tenant, lambda body: decode_document(body, index=name, doc_id=doc_id, limits=limits)
    )
    told = {
        "_index": name,
        "_id": doc_id or _new_id(parts),
        "_version": 1,
        "result": "created",
        "_shards": _SHARDS,
        "_seq_no": 0,
        "_primary_term": 1,
    }
    return _json(request, told, 201)


def _checked(index: str) -> str:
    if index in _RESERVED or index.startswith(("_", "-", "+")):
        raise ProblemError(400, f"Invalid index name [{index[:64]}], it is reserved or begins with one of '_-+'")
    return index


def _new_id(parts: Parts) -> str:
    return parts.services.random_bytes(10).hex()


def _add(path: str, methods: str, endpoint: Callable[..., Any]) -> None:
    for method in methods.split():
        router.add_api_route(path, endpoint, methods=[method], include_in_schema=False)


def _add_bulk(path: str, endpoint: Callable[..., Any], *, shown: bool) -> None:
    router.add_api_route(
        path,
        endpoint,
        methods=["POST"],
        include_in_schema=shown,
        summary="Send lines as to Elasticsearch",
        response_class=Response,
        responses={
            200: {"description": "Taken"},
            400: {"description": "An action cannot be read; nothing was taken"},
            408: {"description": "The body stopped coming"},
            413: {"description": "The body is over a limit"},
            429: {"description": "No room just now; come back after `Retry-After` seconds"},
        },
        openapi_extra={
            PROTOCOL: "elasticsearch",
            "requestBody": {"required": True, "content": {"application/x-ndjson": {"schema": {"type": "string"}}}},
        },
    )
    _add(path, "PUT", endpoint)


def _mount(prefix: str) -> None:
    for path, endpoint in (("_license", licence), ("_xpack", features), ("_nodes", nodes), ("_nodes/http", nodes)):
        _add(f"{prefix}/{path}", "GET HEAD", endpoint)
    for path in ("_cluster/health", "_cluster/health/{index}", "_cat/health"):
        _add(f"{prefix}/{path}", "GET HEAD", health)
    for path in _SETUP:
        _add(f"{prefix}/{path}", "GET HEAD", setup)
        _add(f"{prefix}/{path}/{{name:path}}", "GET HEAD PUT POST", setup)
    _add_bulk(f"{prefix}/_bulk", bulk, shown=not prefix)
    _add_bulk(f"{prefix}/{{index}}/_bulk", bulk_of_index, shown=not prefix)
    _add(f"{prefix}/_refresh", "GET POST", refresh)
    _add(f"{prefix}/{{index}}/_refresh", "GET POST", refresh)
    _add(f"{prefix}/{{index}}/_doc", "POST", document)
    for path in ("_doc", "_create"):
        _add(f"{prefix}/{{index}}/{path}/{{doc_id:path}}", "POST PUT", document)


# First with the prefix: on the root it could be an index.
_add(ELASTICSEARCH, "GET HEAD", about)
_mount(ELASTICSEARCH)
_add(f"{ELASTICSEARCH}/{{index}}", "GET HEAD PUT", index_there)
_mount("")
