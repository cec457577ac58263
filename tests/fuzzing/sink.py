"""What becomes of decoded lines: the journal's bytes and back, and the parser, which must keep each of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import polars as pl

from ingest.batch import Batch, Part, Unread, check_stream, decode_all, encode_all
from ingest.conventions import Asked, to_lines
from ingest.ndjson import UnreadObjects
from ingest.parse import Parser, ParseSettings
from ingest.templates import TemplateSettings
from tocsin.record import LINES, RECORDS

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_WORDS = re.compile(r"'.*'|\".*\"|[0-9]+", re.DOTALL)
_MESSAGES_MAX = 10_000
_APART_NS_MAX = 2_000  # of seconds with a fraction: cut out as a text they are exact, as a number of JSON they are not
_decode = msgspec.json.Decoder().decode

#: Small, so that a run reaches what happens when they are full.
_BOUNDS = ParseSettings(
    streams_max=20, chars_max=300, tokens_max=16, parameters_max=8, parameter_chars_max=40, entities_max=6,
    shapes_max=1000, template=TemplateSettings(templates_per_stream_max=50, texts_per_stream_max=50),
)  # fmt: skip


def batch_of(part: Part) -> Batch:
    check_stream(part.stream)
    return part.batch("t", NOW, "")


class Sink:
    """Takes the parts of many inputs and checks them together."""

    def __init__(self) -> None:
        self.messages: set[str] = set()
        self._parser = Parser(_BOUNDS)
        self._unread = UnreadObjects(shapes_max=100, chars_max=4096)
        self._offset = 0

    def note(self, message: str) -> None:
        """Count a refusal, by its words."""
        if len(self.messages) < _MESSAGES_MAX:
            self.messages.add(_WORDS.sub("#", message)[:160])

    def check(self, parts: Sequence[Part]) -> None:
        """Raise where what was decoded is not what the rest of the program may rely on."""
        batches = [batch_of(part) for part in parts]
        if not batches:
            return
        for batch in batches:
            for line in batch.rejected:
                self.note(line.detail)
        back = decode_all(encode_all(batches))
        assert [(batch.stream, batch.rejected, batch.unread) for batch in back] == [
            (batch.stream, batch.rejected, batch.unread) for batch in batches
        ]
        for one, other in zip(back, batches, strict=True):
            assert one.lines.equals(other.lines)
        _check_lines(pl.concat([batch.lines for batch in batches]))
        self._parse(back)

    def _parse(self, batches: Sequence[Batch]) -> None:
        expected = self._read(batches)
        offsets = range(self._offset, self._offset + len(batches))
        self._offset += len(batches)
        found = self._parser.parse_all(list(zip(batches, offsets, strict=True)))
        self._parser.new_templates()
        for records, lines in zip(found, expected, strict=True):
            named = lines.filter(pl.col("identity").is_null() | pl.col("identity").is_first_distinct())
            assert _bodies(records) == _bodies(named), "lines were lost or changed"
            assert records["event_id"].is_unique().all(), "an event's id came twice"
            assert records["time"].is_sorted(), "records are not in the order of their times"
        _check_records(pl.concat(found))

    def _read(self, batches: Sequence[Batch]) -> list[pl.DataFrame]:
        """The lines of batches; those of JSON that nobody has read, read one by one, as all others must be."""
        read = [batch.lines if batch.unread is None else _read_alone(batch) for batch in batches]
        for message_field in dict.fromkeys(batch.unread.message_field for batch in batches if batch.unread):
            asked = Unread(message_field=message_field)
            mine = [at for at, batch in enumerate(batches) if batch.unread == asked]
            bodies = pl.concat([batches[at].lines["body"] for at in mine])
            same(self._unread.read(bodies, message_field), pl.concat([read[at] for at in mine]))
        return read


def _read_alone(batch: Batch) -> pl.DataFrame:
    assert batch.unread is not None
    bodies = batch.lines["body"]
    asked = Asked(message_field=batch.unread.message_field)
    return to_lines([_document(text, asked) for text in bodies], range(len(bodies)), asked).lines


def _document(text: str, asked: Asked) -> dict[str, Any]:
    try:
        return _decode(text)  # type: ignore[no-any-return]  # it begins with a brace
    except msgspec.DecodeError as error:
        if "out of range" not in str(error):
            raise
        return {asked.message_field or "message": text}


def same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Raise where lines read by shape differ from lines read alone; attributes may be spelt in another way."""
    assert dict(found.schema) == LINES
    apart = (found["time"].to_physical() - expected["time"].to_physical()).abs()
    assert found["time"].is_null().equals(expected["time"].is_null()), "a time was read one way and not the other"
    assert (apart.fill_null(0) <= _APART_NS_MAX).all(), f"times are {apart.max()!r} ns apart"
    for name in ("severity_number", "trace_id", "span_id", "identity"):
        assert found[name].to_list() == expected[name].to_list(), f"{name}: {found[name]} is not {expected[name]}"
    for name in ("body", "attributes"):
        for one, other in zip(found[name], expected[name], strict=True):
            assert one == other or _value(one) == _value(other), f"{name}: {one!r} is not {other!r}"


def _bodies(lines: pl.DataFrame) -> list[str]:
    """In order of what they say; an object that is a body may be spelt in two ways."""
    return sorted(repr(_value(text)) if text.startswith("{") else text for text in lines["body"])


def _value(text: str) -> Any:
    try:
        return _decode(text)
    except msgspec.DecodeError:
        return text


def _check_lines(lines: pl.DataFrame) -> None:
    assert dict(lines.schema) == LINES
    assert lines["body"].null_count() == lines["position"].null_count() == 0
    assert lines["severity_number"].is_between(1, 24).all(), "a severity that is none"
    for name in ("body", "attributes", "trace_id", "span_id", "identity"):
        assert not lines[name].str.contains("\0", literal=True).any(), f"{name} has NUL"
    for text in lines["attributes"].drop_nulls():
        assert isinstance(_decode(text), dict)


def _check_records(records: pl.DataFrame) -> None:
    assert dict(records.schema) == RECORDS
    for name in records.columns:
        assert name in {"trace_id", "span_id"} or records[name].null_count() == 0, f"{name} is null"
    for name in ("entities", "parameters"):
        texts = records[name].explode()
        assert not texts.str.contains("\0", literal=True).any(), f"{name} has NUL"
    assert (records["entities"].list.len() <= _BOUNDS.entities_max).all()
    assert (records["parameters"].list.len() <= _BOUNDS.parameters_max).all()
    for text in records["attributes"]:
        assert isinstance(_decode(text), dict)
