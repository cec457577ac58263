"""The plain protocol: a body of NDJSON, JSON, CSV or lines of text into LINES."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import msgspec
import polars as pl

from ingest.batch import Part, Rejected, Unread
from ingest.conventions import Asked, to_lines
from ingest.csv_rows import rows_of_csv
from ingest.json_rows import Rows, are_valid, rows_of_json, rows_of_ndjson
from ingest.limits import Limits
from ingest.lines import Split, reject, split, text_of
from tocsin.errors import InputError
from tocsin.record import lines_of_texts

Format = Literal["auto", "ndjson", "json", "csv", "text"]

_CONTENT_TYPES: dict[str, Format] = {
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "application/stream+json": "ndjson",
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "csv",
}

_OBJECT = re.compile(r'\s*\{\s*["}]')
_ARRAY = re.compile(r"\s*\[\s*[{\]]")  # "[" alone also begins many a line of text: "[error] ..."


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainOptions:
    """How a sender wants its body to be read."""

    format: Format = "auto"  # by the content type, then by the first bytes
    time_field: str | None = None  # by convention
    message_field: str | None = None  # by convention


def decode_plain(
    body: bytes, *, content_type: str, options: PlainOptions, limits: Limits
) -> tuple[pl.DataFrame, tuple[Rejected, ...]]:
    """Lines of a decompressed body, and those that could not be read.

    Raises:
        InputError: the body as a whole cannot be read, or is empty.
        TooLargeError: it is over a limit.
    """
    text = text_of(body)
    if not text or text.isspace():
        raise InputError("body: it is empty")
    asked = Asked(time_field=options.time_field, message_field=options.message_field)
    form = options.format if options.format != "auto" else _sniff(text, content_type)
    if form == "text":
        parts = split(text, limits)
        return _lines_of_text(parts), parts.rejected
    if form == "csv":
        return _lines_of_rows(rows_of_csv(text, limits), asked, limits)
    if form == "json":
        return _lines_of_rows(rows_of_json(text, limits), asked, limits)
    return _lines_of_rows(rows_of_ndjson(split(text, limits), limits), asked, limits)


def take_plain(body: bytes, *, stream: str, content_type: str, options: PlainOptions, limits: Limits) -> Part:
    """As `decode_plain`, but valid lines of JSON are only checked, and read later with those of other bodies.

    Raises:
        InputError, TooLargeError: as `decode_plain`.
    """
    text = text_of(body)
    form = options.format if options.format != "auto" or not text else _sniff(text, content_type)
    if form == "ndjson" and options.time_field is None:
        parts = split(text, limits)
        if parts.texts and are_valid(parts.texts, limits):
            unread = Unread(message_field=options.message_field)
            return Part(stream=stream, lines=_lines_of_text(parts), rejected=parts.rejected, unread=unread)
    lines, rejected = decode_plain(body, content_type=content_type, options=options, limits=limits)
    return Part(stream=stream, lines=lines, rejected=rejected)


def _sniff(text: str, content_type: str) -> Format:
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _CONTENT_TYPES:
        return _CONTENT_TYPES[kind]
    # Shippers send JSON as text/plain and curl calls everything a form, so only JSON's own type settles it.
    if _OBJECT.match(text):
        return "json" if _is_one_document(text) else "ndjson"
    return "json" if kind == "application/json" or _ARRAY.match(text) else "text"


def _is_one_document(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _lines_of_text(parts: Split) -> pl.DataFrame:
    return lines_of_texts(pl.Series(parts.texts, dtype=pl.String), parts.positions)


def _lines_of_rows(found: Rows, asked: Asked, limits: Limits) -> tuple[pl.DataFrame, tuple[Rejected, ...]]:
    read = to_lines(found.rows, found.positions, asked)
    refused = [
        reject(found.positions[at], _text_of_row(found, at), why, limits) for at, why in sorted(read.refused.items())
    ]
    return read.lines, tuple(sorted((*found.rejected, *refused), key=lambda line: line.line))


def _text_of_row(found: Rows, at: int) -> str:
    return found.texts[at] if found.texts is not None else msgspec.json.encode(found.rows[at]).decode()
