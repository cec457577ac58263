"""How much of anything a sender may send, and decompression that stops at those limits."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import cramjam
import numpy as np

from tocsin.errors import InputError, TooLargeError

_MIB = 2**20
_CHUNK = 64 * 1024  # compressed bytes fed at once: small beside the output, so the running count is checked often
_OUTPUT = 4 * _MIB  # decompressed bytes taken out at once
_MEMBERS_MAX = 10_000  # of one gzip body: five times what 64 KiB blocks need for a full one; each costs 10 us
_ZLIB_WINDOW = 15
_GZIP_WINDOW = 16 + _ZLIB_WINDOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may hold."""

    compressed_bytes_max: int = 64 * _MIB  # OTLP's recommended cap; shippers that cannot split a batch stay below it
    decompressed_bytes_max: int = 128 * _MIB  # twice that: logs shrink 5 to 20 times, so shippers send far less
    ratio_max: int = 200  # logs reach 60 at the very most; a bomb of zeros has 1,000 and more
    ratio_free_bytes: int = _MIB  # below this a high ratio harms nobody: one short line a thousand times
    line_bytes_max: int = _MIB  # a stack trace is 100 KiB; a longer line is a dead letter, the others are taken
    lines_max: int = 1_000_000  # 128 bytes a line when the body is full
    streams_max: int = 1000  # of one request: each costs a frame of its own; an agent's batch has dozens
    fields_max: int = 4096  # keys of one event, nested ones too; more is data used as names
    json_depth_max: int = 64  # OpenTelemetry's own limit on nested attribute values
    message_bytes_max: int = 32 * _MIB  # protobuf of Loki and Prometheus: two bytes of a hostile one take 32 of memory
    rejected_bytes_max: int = 64 * 1024  # what is kept of a poison line: enough to see what it was
    errors_max: int = 100  # poison lines named in an answer; all are counted and kept as dead letters


def decompress(body: bytes, encoding: str, limits: Limits) -> bytes:
    """Undo a Content-Encoding.

    Memory stays within `decompressed_bytes_max` and one chunk, whatever the body claims about itself.

    Args:
        body: as received.
        encoding: gzip, zstd, deflate, snappy (one block, without frames), identity or "".
        limits: where to stop.

    Raises:
        InputError: the body is damaged, cut short, or of an unknown encoding.
        TooLargeError: it holds more than the limits allow.
    """
    if encoding in {"", "identity"}:
        if len(body) > limits.decompressed_bytes_max:
            raise TooLargeError(f"body: larger than {limits.decompressed_bytes_max} bytes; send it in parts")
        return body
    if not body:
        return body
    if encoding == "gzip":
        return _inflate(body, _GZIP_WINDOW, limits)
    if encoding == "deflate":
        # The name means zlib's format; some senders leave its two-byte header out.
        wrapped = len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0
        return _inflate(body, _ZLIB_WINDOW if wrapped else -_ZLIB_WINDOW, limits)
    if encoding == "zstd":
        return _unzstd(body, limits)
    if encoding == "snappy":
        return _unsnappy(body, limits)
    raise InputError(
        f"Content-Encoding {encoding[:40]!r} is not supported; send gzip, zstd, deflate, snappy or identity"
    )


def _size_max(compressed: int, limits: Limits) -> int:
    return min(limits.decompressed_bytes_max, max(limits.ratio_free_bytes, limits.ratio_max * compressed))


def _too_large(position: int, compressed: int, limits: Limits) -> TooLargeError:
    if _size_max(compressed, limits) < limits.decompressed_bytes_max:
        return TooLargeError(f"body, position {position}: it holds more than {limits.ratio_max} times its own size")
    return TooLargeError(
        f"body, position {position}: it holds more than {limits.decompressed_bytes_max} bytes; send it in parts"
    )


def _inflate(body: bytes, window: int, limits: Limits) -> bytes:
    size_max = _size_max(len(body), limits)
    parts: list[bytes] = []
    size = position = members = 0
    stream = zlib.decompressobj(window)
    try:
        while position < len(body):
            if stream.eof:  # the next member of a gzip file made of several
                stream = zlib.decompressobj(window)
                members += 1
                if members == _MEMBERS_MAX:
                    raise TooLargeError(f"body, position {position}: more than {_MEMBERS_MAX} gzip members")
            chunk = body[position : position + _CHUNK]
            position += len(chunk)
            while chunk and not stream.eof:
                part = stream.decompress(chunk, _OUTPUT)
                size += len(part)
                if size > size_max:
                    raise _too_large(position - len(stream.unconsumed_tail), len(body), limits)
                parts.append(part)
                chunk = stream.unconsumed_tail
            position -= len(stream.unused_data)
    except zlib.error as error:
        raise InputError(f"body, about position {max(0, position - _CHUNK)}: damaged compression ({error})") from error
    if not stream.eof:
        raise InputError(f"body, position {len(body)}: cut short in the middle of its compressed data")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _unzstd(body: bytes, limits: Limits) -> bytes:
    # Into a buffer that cannot grow. It is memory only as far as it is written to, which a bytearray is at once.
    buffer = np.empty(_size_max(len(body), limits), np.uint8)
    try:
        size = cramjam.zstd.decompress_into(body, buffer.data)
    except cramjam.DecompressionError as error:
        reason = str(error)
        if "whole buffer" in reason:
            raise _too_large(0, len(body), limits) from error
        if "incomplete" in reason:
            raise InputError(f"body, position {len(body)}: cut short in the middle of its compressed data") from error
        raise InputError(f"body: damaged compression ({reason})") from error
    return buffer[:size].tobytes()


def _unsnappy(body: bytes, limits: Limits) -> bytes:
    # A block says its size at its beginning, and the library makes room for it at once: the claim is checked first.
    try:
        size = cramjam.snappy.decompress_raw_len(body)
    except cramjam.DecompressionError as error:
        raise InputError(f"body: damaged compression ({error})") from error
    if size > _size_max(len(body), limits):
        raise _too_large(0, len(body), limits)
    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise InputError(f"body: damaged compression ({error})") from error
