"""Every decoder of ingest, each with how its inputs are made: the name says which."""

from __future__ import annotations

import gzip
import shutil
import struct
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import cramjam

from ingest import fluent, gelf, syslog
from ingest.batch import Part, Rejected, Unread, decode_all, encode, encode_all
from ingest.datadog import Beside, decode_datadog
from ingest.elasticsearch import decode_bulk, decode_document
from ingest.fluent_handshake import pong, read_ping
from ingest.gelf_wire import Chunks, NulFraming
from ingest.journal_care import check
from ingest.journal_reader import JournalReader
from ingest.journald import decode_journald, whole_entries
from ingest.limits import Limits, decompress
from ingest.loki import decode_loki
from ingest.msgpack import Values
from ingest.otlp import Form, decode_otlp
from ingest.otlp_wire import Signal
from ingest.plain import Format, PlainOptions, decode_plain, take_plain
from ingest.prometheus import decode_write
from ingest.segment import END_NAME, End, pack, pack_end, pack_gap, preamble, segment_path
from ingest.splunk import Origin, decode_events, decode_raw
from tocsin.record import empty_lines

from . import seeds
from .bend import SIZE_MAX, Packed, bent_bytes, bent_message, bent_tree, json_of, msgpack_of
from .sink import NOW, batch_of

Make = Callable[[Random], bytes]
Take = Callable[[bytes, Limits], Sequence[Part]]

PEER = "10.0.0.9"
#: Reached by inputs of some hundred bytes.
_SMALL = Limits(
    compressed_bytes_max=2048, decompressed_bytes_max=3000, ratio_free_bytes=1000, line_bytes_max=200, lines_max=12,
    streams_max=2, fields_max=8, json_depth_max=5, message_bytes_max=1500, rejected_bytes_max=60,
)  # fmt: skip
_ROOMY = Limits()


@dataclass(frozen=True, slots=True)
class Target:
    """One decoder.

    Attributes:
        make: an input by chance.
        take: what the service does with it; raises only what is documented.
    """

    name: str
    make: Make
    take: Take


def limits_for(data: bytes) -> Limits:
    """Those of a service that nobody configured, and for every fourth input small ones."""
    return _SMALL if zlib.crc32(data) % 4 == 0 else _ROOMY


# How inputs are made


def _of_bytes(*given: bytes) -> Make:
    return lambda chance: bent_bytes(chance, given)


def _of_trees(trees: Sequence[Any], write: Callable[[Random, Any], bytes] = json_of) -> Make:
    """Trees that are bent, and written; half of them are bent again as bytes."""
    plain = [write(Random(0), tree) for tree in trees]

    def make(chance: Random) -> bytes:
        data = write(chance, bent_tree(chance, chance.choice(trees)))
        return data[:SIZE_MAX] if chance.randrange(2) else bent_bytes(chance, [data, data, *plain])

    return make


def _of_messages(messages: Sequence[bytes]) -> Make:
    def make(chance: Random) -> bytes:
        data = bent_message(chance, chance.choice(messages))
        return data if chance.randrange(3) else bent_bytes(chance, [data, *messages])

    return make


def _ndjson(chance: Random, rows: Any) -> bytes:
    return b"\n".join(json_of(chance, row) for row in rows)


def _events(chance: Random, event: Any) -> bytes:
    """Lines of one shape with digits of their own, as one program writes them."""
    line = json_of(chance, event)
    return b"\n".join((line, *(_with_other_digits(chance, line) for _ in range(chance.randrange(3)))))


def _with_other_digits(chance: Random, line: bytes) -> bytes:
    return bytes(chance.randrange(48, 58) if 48 < byte < 58 and chance.randrange(3) == 0 else byte for byte in line)


_MADE_OF_EVENTS = _of_trees(seeds.EVENTS, _events)
_MADE_OF_LINES = _of_bytes(*(line.encode() for line in seeds.LINES), "\n".join(seeds.LINES[:8]).encode())
_MADE_OF_CSV = _of_bytes(*seeds.CSV)
_MADE_OF_ARRAYS = _of_trees([list(seeds.EVENTS[:3]), seeds.EVENTS[0], [seeds.EVENTS[3], seeds.EVENTS[4]]])


def _any_plain(chance: Random) -> bytes:
    return chance.choice((_MADE_OF_EVENTS, _MADE_OF_LINES, _MADE_OF_CSV, _MADE_OF_ARRAYS))(chance)


def _any_line(chance: Random) -> bytes:
    """Text, and objects that the parser finds in text."""
    return chance.choice((_MADE_OF_LINES, _MADE_OF_EVENTS))(chance)


# What is done with them


def _plain(form: Format, data: bytes, limits: Limits) -> list[Part]:
    choice = zlib.adler32(data) % 8
    options = PlainOptions(
        format=form, time_field="time" if choice == 0 else None, message_field={1: "message", 2: "a.b"}.get(choice)
    )
    content_type = ("", "application/json", "text/plain", "application/x-ndjson", "text/csv")[choice % 5]
    taken = take_plain(data, stream="s", content_type=content_type, options=options, limits=limits)
    if taken.unread is not None:
        lines, rejected = decode_plain(data, content_type=content_type, options=options, limits=limits)
        # Lines with a number that is out of range are refused by one, and kept as text by the other.
        assert len(taken.lines) + len(taken.rejected) == len(lines) + len(rejected), "a line was lost"
    return [taken]


def _otlp(signal: Signal, form: Form, data: bytes, limits: Limits) -> Sequence[Part]:
    return decode_otlp(data, signal, form=form, limits=limits)


def _loki(is_json: bool, data: bytes, limits: Limits) -> Sequence[Part]:  # noqa: FBT001 -- one of two decoders
    return decode_loki(data, is_json=is_json, limits=limits)


def _bulk(data: bytes, limits: Limits) -> Sequence[Part]:
    found = decode_bulk(data, index=None, limits=limits)
    lines = sum(item.is_line for item in found.items)
    assert lines == sum(part.lines.height + len(part.rejected) for part in found.parts), "an item was lost"
    return found.parts


def _document(data: bytes, limits: Limits) -> Sequence[Part]:
    return decode_document(data, index="shop-2026.11.25", doc_id=None, limits=limits)


def _write(version: int, data: bytes, limits: Limits) -> Sequence[Part]:
    return decode_write(data, version=version, limits=limits).parts


def _pieces(data: bytes) -> Iterator[bytes]:
    """The bytes as a network may deliver them."""
    size, at = 1 + zlib.crc32(data) % 97, 0
    while at < len(data):
        yield data[at : at + size]
        at += size


def _syslog(data: bytes, limits: Limits) -> list[Part]:
    framing = syslog.Framing(limits.line_bytes_max)
    messages: list[syslog.Message] = []
    for piece in _pieces(data):
        messages += [syslog.Message(raw, PEER, is_cut) for raw, is_cut in framing.feed(piece)]
    messages += [syslog.Message(raw, PEER, is_cut) for raw, is_cut in framing.finish()]
    part = syslog.lines_of(messages, "syslog", limits)
    return [part]


def _gelf_tcp(data: bytes, limits: Limits) -> Sequence[Part]:
    whole, parted = NulFraming(limits.line_bytes_max), NulFraming(limits.line_bytes_max)
    found = [message for piece in _pieces(data) for message in parted.feed(piece)] + parted.finish()
    assert found == whole.feed(data) + whole.finish(), "messages depend on how their bytes arrive"
    messages = [gelf.Message(raw, PEER, "too long" if is_cut else None) for raw, is_cut in found]
    parts = gelf.lines_of(messages, limits)
    assert len(messages) == sum(part.lines.height + len(part.rejected) for part in parts), "a message was lost"
    return parts


class _Datagrams:
    """GELF over UDP: an input is many datagrams, each with its length in two bytes before it."""

    def __init__(self) -> None:
        self._chunks = Chunks(bytes_max=20_000, wait_s=5.0)
        self._now = 0.0

    def take(self, data: bytes, limits: Limits) -> Sequence[Part]:
        messages: list[gelf.Message] = []
        while len(data) > 2:
            size = int.from_bytes(data[:2], "big") % 1500
            datagram, data = data[2 : 2 + size], data[2 + size :]
            self._now += 0.05
            for raw, why in self._chunks.feed(datagram, PEER, self._now):
                message = gelf.opened(raw, PEER, limits.decompressed_bytes_max, limits)
                messages.append(message if why is None else gelf.Message(raw, PEER, why))
        return gelf.lines_of(messages, limits)


def _datagrams(chance: Random) -> bytes:
    message = chance.choice(
        (json_of(chance, bent_tree(chance, chance.choice(seeds.GELF))), seeds.in_json(*seeds.GELF)[0])
    )
    message = chance.choice((message, gzip.compress(message, 1), zlib.compress(message)))
    size = chance.choice((20, 50, 200, 1000))
    pieces = [message[at : at + size] for at in range(0, len(message), size)] or [b""]
    name = chance.randbytes(8)
    chunks = [b"\x1e\x0f" + name + bytes((at % 256, len(pieces) % 256)) + piece for at, piece in enumerate(pieces)]
    sent = chance.choice(([message], chunks, chunks[::-1], chunks[1:], chunks * 2))
    if chance.randrange(2):
        at = chance.randrange(len(sent)) if sent else 0
        sent = [*sent[:at], bent_bytes(chance, [message, *chunks]), *sent[at + 1 :]]
    return b"".join(len(datagram).to_bytes(2, "big") + datagram for datagram in sent)[:SIZE_MAX]


def _values(data: bytes, size_max: int) -> tuple[list[bytes], Exception | None]:
    whole, parted = Values(size_max), Values(size_max)
    found = [value for piece in _pieces(data) for value in parted.feed(piece)]
    at_once = whole.feed(data)
    if whole.broken is None and parted.broken is None:
        assert found == at_once, "values depend on how their bytes arrive"
    return at_once, whole.broken


def _fluent(data: bytes, limits: Limits) -> list[Part]:
    values, broken = _values(data, limits.decompressed_bytes_max)
    messages = [found for value in values if (found := fluent.read_message(value, PEER, limits)) is not None]
    if broken is not None:
        messages.append(fluent.Message(raw=data[:1024], peer=PEER, why_refused=str(broken)))
    for message in messages:
        assert not message.chunk or _values(message.ack, SIZE_MAX * 2)[0] == [message.ack]
    batches = fluent.batches_of(messages, "t", NOW, limits)
    return [Part(stream=batch.stream, lines=batch.lines, rejected=batch.rejected) for batch in batches]


def _handshake(data: bytes, _limits: Limits) -> list[Part]:
    values, broken = _values(data, 4096)
    for value in values:
        ping = read_ping(value)
        assert not ping.is_of("key", b"0" * 16), "nobody knows the key"
        pong(ping, "key", b"0" * 16)
    if broken is not None:
        raise broken
    return []


def _packed(chance: Random, tree: Any) -> bytes:
    """A message of the forward protocol; its stream may be compressed."""
    tag, events, *rest = tree if isinstance(tree, list) and len(tree) > 1 else (tree, None)
    if isinstance(events, Packed) and chance.randrange(3) == 0:
        packed = b"".join(msgpack_of(chance, event) for event in events)
        way = chance.choice(("gzip", "zstd"))
        events = gzip.compress(packed, 1) if way == "gzip" else bytes(cramjam.zstd.compress(packed))
        options = rest[0] if rest and isinstance(rest[0], dict) else {}
        return msgpack_of(chance, [tag, events, {**options, "compressed": way}])
    return msgpack_of(chance, tree)


def _journald(data: bytes, limits: Limits) -> Sequence[Part]:
    whole = whole_entries(data)
    assert 0 <= whole <= len(data)
    decode_journald(data[:whole], _ROOMY)
    return decode_journald(data, limits)


# Compression


def _compressed(encoding: str) -> Make:
    compress: dict[str, Callable[[bytes], Any]] = {
        "gzip": lambda data: gzip.compress(data, 1),
        "zstd": cramjam.zstd.compress,
        "deflate": zlib.compress,
        "snappy": cramjam.snappy.compress_raw,
    }
    write = compress[encoding]
    texts = (b"", b"x", "\n".join(seeds.LINES).encode(), b"abc" * 300, bytes(3 * 2**20), Random(0).randbytes(500))
    given = [bytes(write(text)) for text in texts]
    given += [given[1] + given[2], given[1] * 50]
    return lambda chance: bent_bytes(chance, given)


def _decompress(encoding: str, data: bytes, limits: Limits) -> list[Part]:
    assert len(decompress(data, encoding, limits)) <= limits.decompressed_bytes_max
    return []


# The journal's own bytes, as a disk may give them back


def _journalled() -> tuple[bytes, ...]:
    # No lines: polars ends the process when lengths in Arrow's bytes are absurd. A checksum stands before them.
    rejected = (Rejected(line=3, detail="not valid JSON", raw=b'{"a":'),)
    poison = batch_of(Part(stream="s", lines=empty_lines(), rejected=rejected, unread=Unread(message_field="msg")))
    empty = batch_of(Part(stream="s", lines=empty_lines()))
    return encode(poison), encode(empty), encode_all([poison, empty]), encode_all([empty] * 3)


def _batches(data: bytes, _limits: Limits) -> list[Part]:
    decode_all(data)
    return []


def _frames(chance: Random) -> bytes:
    """A segment of frames whose checksums are right, whatever they say; half of them are bent as bytes."""
    out, at = preamble(0), 0
    for _ in range(chance.randrange(4)):
        entries = [chance.randbytes(chance.randrange(40)) for _ in range(chance.randrange(1, 4))]
        frame = chance.choice((pack(at, entries, 1), pack_gap(at, at + len(entries))))
        if chance.randrange(3) == 0:
            head = list(struct.unpack("<4sIQIII", frame[:28]))
            field = chance.randrange(1, 4)
            head[field] = chance.choice((0, 1, 2, 2**16, 2**31, 2**32 - 1))
            body = struct.pack("<4sIQIII", *head)
            frame = body + zlib.crc32(body).to_bytes(4, "little") + frame[32:]
        out, at = out + frame, at + len(entries)
    return out if chance.randrange(2) else bent_bytes(chance, [out])


class _Segments:
    """A journal of one segment whose bytes are the input."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        weakref.finalize(self, shutil.rmtree, self._folder)

    def take(self, data: bytes, _limits: Limits) -> list[Part]:
        segment_path(self._folder, 0).write_bytes(data)
        (self._folder / END_NAME).write_bytes(pack_end(End(0, len(data), zlib.crc32(data) % 9)))
        check(self._folder)
        reader = JournalReader(self._folder)
        try:
            reader.read(0, entries_max=100, bytes_max=10_000)
        finally:
            reader.close()
        return []


def _nul_ended(chance: Random, messages: Any) -> bytes:
    return b"\0".join(json_of(chance, message) for message in (messages if isinstance(messages, list) else [messages]))


_SYSLOG = tuple(line.encode() for line in seeds.LINES[:8])
_COUNTED = b"".join(b"%d %s" % (len(line), line) for line in _SYSLOG[2:5])
_FORMATS: tuple[tuple[Format, Make], ...] = (
    ("auto", _any_plain),
    ("ndjson", _MADE_OF_EVENTS),
    ("json", _MADE_OF_ARRAYS),
    ("csv", _MADE_OF_CSV),
    ("text", _any_line),
)


def targets() -> dict[str, Target]:
    """All of them, by name."""
    splunk = [seeds.SPLUNK[0], list(seeds.SPLUNK), seeds.SPLUNK[1]]
    found = [
        *(Target(f"plain-{form}", make, partial(_plain, form)) for form, make in _FORMATS),
        *(
            Target(
                f"otlp-{signal.name.lower()}-{form}",
                _of_messages(seeds.otlp_messages(signal)) if form == "protobuf" else _of_trees(seeds.OTLP[signal]),
                partial(_otlp, signal, form),
            )
            for signal in Signal
            for form in _FORMS
        ),
        Target("loki-protobuf", _of_messages(seeds.loki_messages()), partial(_loki, False)),
        Target("loki-json", _of_trees(seeds.LOKI), partial(_loki, True)),
        Target("elasticsearch-bulk", _of_trees([list(rows) for rows in seeds.BULK], _ndjson_or_one), _bulk),
        Target("elasticsearch-document", _of_trees(seeds.EVENTS), _document),
        Target(
            "splunk-event",
            _of_trees(splunk, _ndjson_or_one),
            lambda data, limits: decode_events(data, Origin(), limits),
        ),
        Target("splunk-raw", _MADE_OF_LINES, lambda data, limits: decode_raw(data, Origin(host="web-1"), limits)),
        Target(
            "datadog",
            _of_trees([list(seeds.DATADOG), seeds.DATADOG[0]]),
            lambda data, limits: decode_datadog(data, Beside(), limits),
        ),
        Target("prometheus-1", _of_messages(seeds.write_messages(1)), partial(_write, 1)),
        Target("prometheus-2", _of_messages(seeds.write_messages(2)), partial(_write, 2)),
        Target("gelf-http", _of_trees([list(seeds.GELF), seeds.GELF[0]], _ndjson_or_one), gelf.decode_gelf),
        Target("gelf-tcp", _of_trees([list(seeds.GELF)], _nul_ended), _gelf_tcp),
        Target("gelf-udp", _datagrams, _Datagrams().take),
        Target("syslog", _of_bytes(*_SYSLOG, b"\n".join(_SYSLOG), b"\0".join(_SYSLOG[:3]), _COUNTED), _syslog),
        Target("fluent-forward", _of_trees(seeds.FLUENT, _packed), _fluent),
        Target("fluent-handshake", _of_trees(seeds.PINGS, msgpack_of), _handshake),
        Target("journald", _of_bytes(*seeds.journal_entries()), _journald),
        *(Target(f"decompress-{name}", _compressed(name), partial(_decompress, name)) for name in _ENCODINGS),
        Target("journal-batch", _of_bytes(*_journalled()), _batches),
        Target("journal-segment", _frames, _Segments().take),
    ]
    return {target.name: target for target in found}


_FORMS: tuple[Form, ...] = ("protobuf", "json")
_ENCODINGS = ("gzip", "zstd", "deflate", "snappy")


def _ndjson_or_one(chance: Random, tree: Any) -> bytes:
    return _ndjson(chance, tree) if isinstance(tree, list) and chance.randrange(4) else json_of(chance, tree)
