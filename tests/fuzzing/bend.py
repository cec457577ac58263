"""Valid messages bent: bytes, trees of values and protobuf's fields, always the same for the same chance."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import msgpack

SIZE_MAX = 4096  # of an input: what is special about long ones is the limits, and those are small in a part of the runs

PIECES = (
    *(
        b"\0",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"\\",
        b'"',
        b"'",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"=",
        b"<",
        b">",
        b"|",
    ),
    *(
        b"\xff",
        b"\xc3",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
        "é".encode(),
    ),
    *(b"\\u0000", b"\\ud800", b"\\udc00\\ud83d", b"\\ud83d\\ude00", "😀".encode(), "²".encode(), "İ".encode()),
    *(b"null", b"true", b"NaN", b"Infinity", b"-1e999", b"1e308", b"1e-400", b"-0", b"-0.0", b"00", b"0x1f", b"1_0"),
    *(b"9" * 20, b"9" * 400, b"-9223372036854775809", b"18446744073709551616", b"0." + b"3" * 60),
    *(b"{}", b"[]", b'""', b'{"":{}}', b'{"message":', b'"time":', b"<34>", b"<999>", b"<*>", b"8 <34>1 - ", b"a=b "),
    *(b"2026-13-45T99:99:99Z", b"2026-03-01T10:00:00.123456789+25:61", b"0000-00-00 00:00:00", b"Feb 30 10:01:02 "),
    *(b"9999-12-31T23:59:59Z", b"1677-09-21 00:12:43", b"2262-04-12T00:00:00Z", b"1e18", b"9223372036854775807"),
)
EDGES = (0, 1, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
TEXTS = (
    *(
        "",
        "\0",
        "a\0b",
        "\ud800",
        "x\udfff",
        "\U0010ffff",
        "\ufeff",
        "\u2028",
        "a" * 200,
        "é" * 90,
        "{",
        '{"a":1}',
        "[]",
    ),
    *(
        "NaN",
        "inf",
        "-1",
        "1e999",
        "9" * 30,
        "٣",
        "2026-03-01T10:00:00Z",
        "1772359200",
        "1772359200.25",
        "error",
        "INFO",
    ),
    *("../..", "a.b", "a..b", ".", "message", "time", "level", '{a="b"}', "{a=", "__name__", "%s%n", "<*>", "\\", '"'),
)
NUMBERS = (
    *(0, -1, 1, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64 - 1, 10**30, 10**400, -(10**20)),
    *(0.0, -0.0, 0.1, 1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf, 1.5e18, 1772359200.25, 1772359200123),
)
_KEYS = (
    "",
    "message",
    "time",
    "level",
    "severity",
    "trace_id",
    "a",
    "a.b",
    "é",
    "\0",
    "0",
    "timestamp",
    "event",
    "\ud800",
)


# Bytes


def bent_bytes(chance: Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds, changed in one to four ways."""
    data = chance.choice(seeds)
    for _ in range(chance.randint(1, 4)):
        data = chance.choice(_WAYS)(chance, data, seeds)
    return data[:SIZE_MAX]


def _span(chance: Random, data: bytes) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.choice((1, 1, 2, 4, 8, 16, 64, 256)))


def _flip(chance: Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = chance.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]


def _set(chance: Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    start, _ = _span(chance, data)
    return data[:start] + bytes((chance.randrange(256),)) + data[start + 1 :]


def _drop(chance: Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    start, end = _span(chance, data)
    return data[:start] + data[end:]


def _cut_short(chance: Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _repeat(chance: Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    start, end = _span(chance, data)
    return data[:start] + data[start:end] * chance.choice((2, 3, 20)) + data[end:]


def _splice(chance: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    other = chance.choice(seeds)
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]


def _insert(chance: Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    start, end = _span(chance, data)
    return data[:start] + chance.choice(PIECES) + data[chance.choice((start, end)) :]


def _number(chance: Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    """A number in binary is one more, one less, or at an edge."""
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    width, order = chance.choice((1, 2, 4, 8)), chance.choice(orders)
    at = chance.randrange(len(data) + 1)
    old = int.from_bytes(data[at : at + width], order)
    new = chance.choice((old + 1, old - 1, chance.choice(EDGES))) % (1 << 8 * width)
    return data[:at] + new.to_bytes(width, order) + data[at + width :]


def _nest(chance: Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    start, end = _span(chance, data)
    opener, closer = chance.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"\x91", b""), (b"\x81\xa1a", b""), (b"(", b")")))
    depth = chance.choice((1, 5, 65, 70, 300, 1100))
    return data[:start] + opener * depth + data[start:end] + closer * depth + data[end:]


_WAYS: tuple[Callable[[Random, bytes, Sequence[bytes]], bytes], ...] = (
    *(_flip, _set, _drop, _cut_short, _repeat, _splice, _insert, _insert, _number, _nest),
)


# Trees: dictionaries, lists and what they hold


class Packed(list[Any]):
    """Values that stand as MessagePack, one after the other, in one value of bytes."""


def bent_tree(chance: Random, tree: Any) -> Any:
    """The tree with one to three of its nodes changed; the others are shared with it."""
    size = _size(tree)
    chosen = {chance.randrange(size) for _ in range(chance.randint(1, 3))}
    return _walk(chance, tree, chosen, [0])


def _size(tree: Any) -> int:
    if isinstance(tree, dict):
        return 1 + sum(map(_size, tree.values()))
    return 1 + sum(map(_size, tree)) if isinstance(tree, list) else 1


def _walk(chance: Random, tree: Any, chosen: set[int], place: list[int]) -> Any:
    mine = place[0]
    place[0] += 1
    if isinstance(tree, dict):
        tree = {key: _walk(chance, value, chosen, place) for key, value in tree.items()}
    elif isinstance(tree, list):
        tree = type(tree)(_walk(chance, value, chosen, place) for value in tree)
    return _bent_node(chance, tree) if mine in chosen else tree


def _bent_node(chance: Random, node: Any) -> Any:
    if chance.randrange(3) == 0 or not node:
        return any_value(chance)
    if isinstance(node, dict):
        return _bent_dict(chance, node)
    if isinstance(node, list):
        return _bent_list(chance, node)
    return _bent_text(chance, node) if isinstance(node, str) else any_value(chance)


def _bent_dict(chance: Random, node: dict[Any, Any]) -> dict[Any, Any]:
    key, other = chance.choice(list(node)), chance.choice(_KEYS)
    ways: tuple[Callable[[], dict[Any, Any]], ...] = (
        lambda: {name: value for name, value in node.items() if name != key},
        lambda: {**node, other: node[key]},
        lambda: {other if name == key else name: value for name, value in node.items()},
        lambda: {**node, key: any_value(chance)},
    )
    return chance.choice(ways)()


def _bent_list(chance: Random, node: list[Any]) -> list[Any]:
    at = chance.randrange(len(node))
    middle = chance.choice(([], [any_value(chance), node[at]], [node[at]] * 2, [node[at]] * 25))
    return type(node)([*node[:at], *middle, *node[at + 1 :]])


def _bent_text(chance: Random, node: str) -> str:
    at = chance.randrange(len(node) + 1)
    return chance.choice((node[:at], node[:at] + chance.choice(TEXTS) + node[at:]))


def any_value(chance: Random) -> Any:
    """A value of some kind, often at an edge."""
    way = chance.randrange(10)
    if way < 3:
        return chance.choice(TEXTS)
    if way < 6:
        return chance.choice(NUMBERS)
    if way == 6:
        value: Any = chance.choice(TEXTS)
        for _ in range(chance.choice((1, 5, 7, 63, 65, 200))):
            value = {"a": value} if chance.randrange(2) else [value]
        return value
    return chance.choice((None, True, False, [], {}, {"": ""}, [None], [[]], {"a": {"b": 1}}, chance.randrange(10**6)))


def json_of(chance: Random, tree: Any) -> bytes:
    """A tree as JSON, as more or less careful writers have it."""
    is_ascii, separators = chance.randrange(4) == 0, chance.choice(((",", ":"), (", ", ": ")))
    return json.dumps(tree, ensure_ascii=is_ascii, separators=separators).encode(errors="surrogatepass")


def msgpack_of(chance: Random, tree: Any) -> bytes:
    """A tree as MessagePack, with texts as text or as bytes."""
    has_binary = chance.randrange(4) > 0
    packed: bytes = msgpack.packb(_packable(chance, tree), use_bin_type=has_binary, unicode_errors="surrogatepass")
    return packed


def _packable(chance: Random, tree: Any) -> Any:
    if isinstance(tree, Packed):
        return b"".join(msgpack_of(chance, value) for value in tree)
    if isinstance(tree, dict):
        return {_packable(chance, key): _packable(chance, value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_packable(chance, value) for value in tree]
    if isinstance(tree, int) and not -(2**63) <= tree < 2**64:
        return msgpack.ExtType(
            chance.choice((0, 1, 127)), chance.choice((b"", b"x", b"12345678", b"\xff" * 8, b"x" * 16))
        )
    return tree


# Protobuf, without its schema


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a message.

    Attributes:
        content: a number (varint), or bytes, or the fields of a message.
        lie: what is added to the length it states.
    """

    number: int
    kind: int  # 0 varint, 1 eight bytes, 2 with a length, 5 four bytes
    content: Any
    lie: int = 0


def bent_message(chance: Random, data: bytes) -> bytes:
    """A message with one to three of its fields changed, at any depth; the lengths around them are right."""
    fields = _fields(data)
    if fields is None:
        return data
    for _ in range(chance.randint(1, 3)):
        fields = _bent_fields(chance, fields)
    return b"".join(map(_written, fields))[:SIZE_MAX]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _fields(data: bytes) -> list[_Field] | None:
    """The fields of a message; None where these are no such bytes."""
    found: list[_Field] = []
    at = 0
    try:
        while at < len(data):
            tag, at = _varint(data, at)
            number, kind = tag >> 3, tag & 7
            if not 0 < number < 1000 or kind not in {0, 1, 2, 5}:
                return None
            if kind == 0:
                content: Any
                content, at = _varint(data, at)
            else:
                size, at = _varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
                content, at = data[at : at + size], at + size
                if at > len(data):
                    return None
                if kind == 2 and len(content) > 1:
                    content = _fields(content) or content
            found.append(_Field(number, kind, content))
    except IndexError:
        return None
    return found


def _bent_fields(chance: Random, fields: list[_Field]) -> list[_Field]:
    if not fields:
        return [_Field(chance.randint(1, 20), 0, chance.choice(EDGES))]
    at = chance.randrange(len(fields))
    field = fields[at]
    if isinstance(field.content, list) and chance.randrange(4):
        return [
            *fields[:at],
            _Field(field.number, 2, _bent_fields(chance, field.content), field.lie),
            *fields[at + 1 :],
        ]
    way = chance.randrange(7)
    if way == 0:
        return [*fields[:at], *fields[at + 1 :]]
    if way == 1:
        return [*fields[:at], *[field] * chance.choice((2, 30)), *fields[at + 1 :]]
    if way == 2:
        changed = _Field(field.number, field.kind, field.content, chance.choice((-1, 1, 100, 2**31, 2**40)))
    elif way == 3:
        changed = _Field(chance.randint(1, 20), field.kind, field.content)
    elif way == 4:  # the message in itself
        changed = field
        for _ in range(chance.choice((1, 5, 70, 200))):
            changed = _Field(field.number, 2, [changed])
    else:
        changed = _any_field(chance, field)
    return [*fields[:at], changed, *fields[at + 1 :]]


def _any_field(chance: Random, field: _Field) -> _Field:
    if field.kind == 0:
        return _Field(field.number, 0, chance.choice(EDGES))
    if field.kind in {1, 5}:
        size = len(field.content)
        return _Field(
            field.number,
            field.kind,
            (chance.choice((0x7FF8 << 48, 0x7FF0 << 48, *EDGES)) % 256**size).to_bytes(size, "little"),
        )
    content = b"".join(map(_written, field.content)) if isinstance(field.content, list) else field.content
    return _Field(field.number, 2, bent_bytes(chance, [content, chance.choice(TEXTS).encode(errors="surrogatepass")]))


def _put(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _written(field: _Field) -> bytes:
    head = _put(field.number << 3 | field.kind)
    if field.kind == 0:
        return head + _put(field.content)
    if field.kind != 2:
        return head + bytes(field.content)
    content = b"".join(map(_written, field.content)) if isinstance(field.content, list) else field.content
    return head + _put(max(0, len(content) + field.lie)) + content
