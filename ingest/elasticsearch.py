"""Elasticsearch's bulk requests and single documents into lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import polars as pl

from ingest.batch import Part, Rejected, stream_name
from ingest.conventions import Asked, to_lines
from ingest.json_rows import rows_of_json, rows_of_ndjson
from ingest.limits import Limits
from ingest.lines import Split, check_lines, count_openers, reject, text_of
from tocsin.errors import InputError, TooLargeError

DEFAULT_STREAM = "elasticsearch"
ID_BYTES_MAX = 512  # Elasticsearch's own limit

Action = Literal["index", "create", "update", "delete"]

#: The date or the number of a rollover at the end of an index: `logs-2026.11.25`, `logs-2026.11.25-000001`.
_TURN = re.compile(r"(?:[-_.](?:20[0-9]{2}([.-])[0-9]{2}(?:\1[0-9]{2}){0,2}|20[0-9]{4}(?:[0-9]{2})?|0[0-9]{5}))+\Z")


class _Target(msgspec.Struct, rename={"index": "_index", "doc_id": "_id"}):
    index: str | None = None
    doc_id: str | int | None = None


class _Actions(msgspec.Struct):
    index: _Target | None = None
    create: _Target | None = None
    update: _Target | None = None
    delete: _Target | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One action of a bulk request."""

    action: Action
    index: str
    doc_id: str | None

    @property
    def is_line(self) -> bool:
        """Whether it brings a line; lines that were taken are neither changed nor deleted."""
        return self.action in {"index", "create"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """What a bulk request asks for."""

    items: tuple[Item, ...]
    parts: tuple[Part, ...]


@dataclass(slots=True)
class _Documents:
    """The documents of one stream."""

    positions: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


_decode = msgspec.json.Decoder(_Actions).decode


def stream_of(index: str) -> str:
    """The stream of an index: its name without the date that makes it a new one every day."""
    return stream_name(_TURN.sub("", index) or index, DEFAULT_STREAM)


def decode_bulk(body: bytes, *, index: str | None, limits: Limits) -> Bulk:
    """The items of a bulk body, in its order, and the lines they bring.

    A document that cannot be read is a dead letter, not an error: senders would repeat the good ones with it.

    Args:
        body: decompressed.
        index: where the path names one.
        limits: where to stop.

    Raises:
        InputError: it is empty, or an action cannot be read.
        TooLargeError: it is over a limit.
    """
    text = text_of(body)
    if not text or text.isspace():
        raise InputError("request body is required")
    check_lines(text, limits)
    items: list[Item] = []
    identities: list[str | None] = []
    names: dict[str, str] = {}
    streams: dict[str, _Documents] = {}
    for item, source in _pairs(text.split("\n"), index or DEFAULT_STREAM):
        stream = names.get(item.index) or names.setdefault(item.index, stream_of(item.index))
        if item.is_line:
            _add(streams.setdefault(stream, _Documents()), len(items), source, limits)
        if len(names) > limits.streams_max:
            raise TooLargeError(f"item {len(items) + 1}: more than {limits.streams_max} indices; send it in parts")
        items.append(item)
        identities.append(_identity(item.index, item.doc_id, stream))
    openers = count_openers(text)
    parts = tuple(_part(stream, documents, identities, openers, limits) for stream, documents in streams.items())
    return Bulk(items=tuple(items), parts=parts)


def decode_document(body: bytes, *, index: str, doc_id: str | None, limits: Limits) -> tuple[Part, ...]:
    """The line of one document.

    Raises:
        InputError: it is empty or not a JSON object.
        TooLargeError: it is over a limit.
    """
    text = text_of(body)
    if not text or text.isspace():
        raise InputError("request body is required")
    if text.lstrip()[:1] != "{":
        raise InputError("body: not a JSON object")
    found = rows_of_json(text, limits)
    if found.rejected:
        raise InputError(f"document: {found.rejected[0].detail}")
    lines = to_lines(found.rows, found.positions, Asked()).lines
    stream = stream_of(index)
    return (Part(stream=stream, lines=_named(lines, [_identity(index, doc_id, stream)])),)


def _pairs(texts: Sequence[str], index: str) -> Iterator[tuple[Item, str]]:
    """Actions, each with its document; an empty text where it has none."""
    at = 0
    while at < len(texts):
        text = texts[at]
        at += 1
        if not text or text.isspace():
            continue
        item = _item(text, at, index)
        if item.action == "delete":
            yield item, ""
            continue
        if at == len(texts) or (at == len(texts) - 1 and not texts[at]):
            raise InputError(f"line {at}: the document of the last action is missing")
        yield item, texts[at].removesuffix("\r")
        at += 1


def _item(text: str, line: int, index: str) -> Item:
    try:
        actions = _decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InputError(f"Malformed action/metadata line [{line}]: {str(error)[:200]}") from error
    action, target = _asked(actions)
    if action is None or target is None:
        raise InputError(
            f"Malformed action/metadata line [{line}], expected field [create], [delete], [index] or [update]"
        )
    doc_id = None if target.doc_id is None else str(target.doc_id)
    if doc_id is not None and len(doc_id.encode()) > ID_BYTES_MAX:
        raise InputError(f"line {line}: _id is longer than {ID_BYTES_MAX} bytes")
    return Item(action, target.index or index, doc_id or None)


def _asked(actions: _Actions) -> tuple[Action | None, _Target | None]:
    if actions.index is not None:
        return "index", actions.index
    if actions.create is not None:
        return "create", actions.create
    if actions.update is not None:
        return "update", actions.update
    return ("delete", actions.delete) if actions.delete is not None else (None, None)


def _add(documents: _Documents, position: int, source: str, limits: Limits) -> None:
    if not source or source.isspace():
        documents.rejected.append(reject(position, source, "the document is empty", limits))
    elif 4 * len(source) > limits.line_bytes_max and len(source.encode()) > limits.line_bytes_max:
        documents.rejected.append(reject(position, source, f"longer than {limits.line_bytes_max} bytes", limits))
    else:
        documents.positions.append(position)
        documents.texts.append(source)


def _identity(index: str, doc_id: str | None, stream: str) -> str | None:
    """What tells a document from all others of its stream: indices of several days are one stream."""
    return doc_id if doc_id is None or index == stream else f"{index}/{doc_id}"


def _part(stream: str, documents: _Documents, identities: Sequence[str | None], openers: int, limits: Limits) -> Part:
    found = rows_of_ndjson(
        Split(
            positions=documents.positions,
            texts=documents.texts,
            openers=openers,
            rejected=tuple(documents.rejected),
        ),
        limits,
    )
    lines = to_lines(found.rows, found.positions, Asked()).lines
    rejected = tuple(sorted(found.rejected, key=lambda line: line.line))
    return Part(stream=stream, lines=_named(lines, identities), rejected=rejected)


def _named(lines: pl.DataFrame, identities: Sequence[str | None]) -> pl.DataFrame:
    names = [identities[position] for position in lines["position"]]
    return lines.with_columns(pl.Series("identity", names, dtype=pl.String))
