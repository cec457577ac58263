from __future__ import annotations

import gzip
import tracemalloc
import zlib

import cramjam
import pytest

from ingest.limits import Limits, decompress
from tocsin.errors import InputError, TooLargeError

TEXT = b"".join(b"line %d of a log, value %d\n" % (number, number * 7919 % 1009) for number in range(20_000))
LIMITS = Limits()


def deflated(body: bytes) -> bytes:
    return zlib.compress(body)


def raw_deflated(body: bytes) -> bytes:
    return zlib.compress(body)[2:-4]


def zstd(body: bytes) -> bytes:
    return bytes(cramjam.zstd.compress(body))


CODINGS = [
    pytest.param("gzip", gzip.compress, id="gzip"),
    pytest.param("zstd", zstd, id="zstd"),
    pytest.param("deflate", deflated, id="deflate"),
    pytest.param("deflate", raw_deflated, id="deflate without its header"),
]


@pytest.fixture(scope="module")
def gzip_bomb() -> bytes:
    """1 GiB of zeros."""
    stream = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(2**24)
    return b"".join([stream.compress(zeros) for _ in range(64)] + [stream.flush()])


@pytest.fixture(scope="module")
def zstd_bomb() -> bytes:
    """1 GiB of zeros in 32 KiB."""
    stream = cramjam.zstd.Compressor()
    zeros = bytes(2**24)
    parts = []
    for _ in range(64):
        stream.compress(zeros)
        parts.append(bytes(stream.flush()))
    return b"".join([*parts, bytes(stream.finish())])


@pytest.mark.parametrize(("encoding", "compress"), CODINGS)
def test_what_was_compressed_comes_back(encoding, compress) -> None:  # type: ignore[no-untyped-def]
    assert decompress(compress(TEXT), encoding, LIMITS) == TEXT
    assert decompress(compress(b"x"), encoding, LIMITS) == b"x"
    assert decompress(compress(b""), encoding, LIMITS) == b""


@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "zstd", "deflate"])
def test_an_empty_body_is_empty_in_every_encoding(encoding: str) -> None:
    assert decompress(b"", encoding, LIMITS) == b""


@pytest.mark.parametrize(("encoding", "compress"), CODINGS)
def test_a_body_cut_in_the_middle_is_refused_with_its_position(encoding, compress) -> None:  # type: ignore[no-untyped-def]
    body = compress(TEXT)
    for size in (1, 3, len(body) // 2, len(body) - 1):
        with pytest.raises(InputError, match=rf"position {size}\b.*cut short"):
            decompress(body[:size], encoding, LIMITS)


@pytest.mark.parametrize(("encoding", "compress"), CODINGS)
def test_bytes_that_are_not_compressed_are_refused(encoding, compress) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="body"):
        decompress(b"\xff\xfeno such thing", encoding, LIMITS)
    with pytest.raises(InputError, match="body"):
        decompress(compress(TEXT) + b"trailing garbage", encoding, LIMITS)


def test_several_gzip_members_are_one_body() -> None:
    assert decompress(gzip.compress(b"one ") + gzip.compress(b"two"), "gzip", LIMITS) == b"one two"


def test_a_body_of_countless_empty_members_is_refused() -> None:
    with pytest.raises(TooLargeError, match="members"):
        decompress(gzip.compress(b"") * 20_000, "gzip", LIMITS)


def test_a_bomb_stops_early_with_little_memory(gzip_bomb: bytes, zstd_bomb: bytes) -> None:
    limits = Limits(decompressed_bytes_max=32 * 2**20)
    for body, encoding in ((gzip_bomb, "gzip"), (gzip_bomb[10:-8], "deflate"), (zstd_bomb, "zstd")):
        tracemalloc.start()
        with pytest.raises(TooLargeError, match="holds more than"):
            decompress(body, encoding, limits)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 48 * 2**20, encoding


def test_a_ratio_that_no_log_has_is_refused_above_a_mebibyte() -> None:
    harmless = b"x" * 2**20
    assert decompress(gzip.compress(harmless), "gzip", LIMITS) == harmless
    with pytest.raises(TooLargeError, match="200 times"):
        decompress(gzip.compress(harmless * 2), "gzip", LIMITS)


def test_a_plain_body_has_the_same_limit() -> None:
    limits = Limits(decompressed_bytes_max=10)
    assert decompress(b"x" * 10, "", limits) == b"x" * 10
    with pytest.raises(TooLargeError, match="10 bytes"):
        decompress(b"x" * 11, "identity", limits)


def test_an_unknown_encoding_is_named() -> None:
    with pytest.raises(InputError, match="'br' is not supported"):
        decompress(b"x", "br", LIMITS)


def test_a_snappy_block_is_read_and_its_claim_is_checked_before_it_is_believed() -> None:
    assert decompress(bytes(cramjam.snappy.compress_raw(TEXT)), "snappy", LIMITS) == TEXT
    claims_4_gib = b"\xff\xff\xff\xff\x0f" + b"\x00a"
    with pytest.raises(TooLargeError):
        decompress(claims_4_gib, "snappy", LIMITS)
    for damaged in (b"\xff", b"\x05\x00a", bytes(cramjam.snappy.compress_raw(TEXT))[:-3]):
        with pytest.raises(InputError, match="damaged"):
            decompress(damaged, "snappy", LIMITS)
