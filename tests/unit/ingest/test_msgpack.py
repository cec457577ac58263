"""MessagePack that arrives in pieces."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.msgpack import Values, bytes_of, cut, members_of, value_of
from tocsin.errors import InputError, TooLargeError

DECODER = msgspec.msgpack.Decoder()

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=40),
    st.binary(max_size=300),
    st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20)),
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner), max_leaves=60
)


@given(st.lists(anything, max_size=4), st.integers(1, 50))
def test_values_are_found_however_the_bytes_are_cut(sent: list[Any], step: int) -> None:
    packed = [msgpack.packb(value) for value in sent]
    values, data, found = Values(10**6), b"".join(packed), []
    for at in range(0, len(data), step):
        found += values.feed(data[at : at + step])
    assert found == packed
    assert (values.held, values.broken) == (0, None)


@pytest.mark.parametrize("size", [31, 32, 255, 256, 65_535, 65_536])
def test_long_texts_arrays_and_maps_are_found(size: int) -> None:
    for value in ("x" * size, b"x" * size, [1] * size, dict.fromkeys(range(size)), msgpack.ExtType(1, b"x" * size)):
        packed = msgpack.packb(value)
        assert cut(packed * 2, 2) == [packed] * 2


def test_what_is_no_value_is_said_and_those_before_it_are_found() -> None:
    values = Values(100)
    assert values.feed(b"\x01\x92\x02\xc1\x03") == [b"\x01"]
    assert str(values.broken) == "byte 2: not MessagePack"
    assert values.beginning == b"\x92\x02\xc1\x03"


@pytest.mark.parametrize("head", [b"\xc6\xff\xff\xff\xff", b"\xdd\x00\x00\x00\x65", b"\xdf\xff\xff\xff\xff"])
def test_a_value_that_says_it_is_too_large_is_refused_before_it_comes(head: bytes) -> None:
    values = Values(100)
    assert values.feed(head) == []
    assert isinstance(values.broken, TooLargeError)


@pytest.mark.parametrize(
    ("data", "why"), [(b"\x01\x02\x03", "more than 2 values"), (b"\x01\xa2x", "cut short after 2")]
)
def test_what_does_not_consist_of_values_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(InputError, match=why):
        cut(data, 2)


def test_texts_and_binary_data_are_the_same() -> None:
    for size in (0, 31, 32, 256, 70_000):
        assert bytes_of(msgpack.packb("x" * size)) == bytes_of(msgpack.packb(b"x" * size)) == b"x" * size
    assert bytes_of(msgpack.packb([1])) is None


@pytest.mark.parametrize("size", [0, 15, 16, 70_000])
def test_the_members_of_an_array_are_counted(size: int) -> None:
    packed = msgpack.packb([None] * size)
    counted = members_of(packed)
    assert counted is not None
    assert (counted[0], len(packed) - counted[1]) == (size, size)
    assert members_of(b"\x80") is None


@given(anything)
def test_texts_that_are_not_utf8_are_read_as_bytes(value: Any) -> None:
    latin = msgpack.packb(["caf\xe9", value], unicode_errors="surrogatepass").replace(b"caf\xc3\xa9", b"caf\xe9!")
    first, *_ = value_of(latin, DECODER)
    assert first == b"caf\xe9!"


@pytest.mark.parametrize(("data", "why"), [(b"\x91" * 5000 + b"\xc0", "nested too deep"), (b"\x81\x80\x01", "read")])
def test_what_cannot_be_made_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(InputError, match=why):
        value_of(data, DECODER)


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(data: bytes) -> None:
    values = Values(1000)
    for value in values.feed(data):
        try:
            value_of(value, DECODER)
        except InputError as error:
            assert str(error)  # noqa: PT017 -- many are refused, and none may do anything else
