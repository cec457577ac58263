"""MessagePack of hostile senders: where a value ends, without making it, and values whose texts need not be UTF-8.

https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from tocsin.errors import InputError, TooLargeError

_UNUSED = 0xC1

#: By first byte: bytes of a value whose size the byte says; 0 where a length follows.
_SIZES = bytes(
    [
        *[1] * 0xA0,  # small numbers; maps and arrays of up to 15, whose members follow
        *[1 + length for length in range(32)],  # short texts
        *(1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 5, 9, 2, 3, 5, 9, 2, 3, 5, 9, 3, 4, 6, 10, 18, 0, 0, 0, 0, 0, 0, 0),
        *[1] * 32,  # small numbers below 0
    ]
)
#: By first byte: how many values follow inside.
_MEMBERS = bytes([*[0] * 0x80, *range(0, 32, 2), *range(16), *[0] * 96])
#: By first byte: bytes of the length, bytes that follow beside what it counts, and values inside for each it counts.
_LENGTHS = {
    **{0xC4 + at: (1 << at, 0, 0) for at in range(3)},  # bin
    **{0xC7 + at: (1 << at, 1, 0) for at in range(3)},  # ext, with its type
    **{0xD9 + at: (1 << at, 0, 0) for at in range(3)},  # str
    **{0xDC + at: (2 << at, 0, 1) for at in range(2)},  # array
    **{0xDE + at: (2 << at, 0, 2) for at in range(2)},  # map
}
_ARRAYS = {0xDC: 2, 0xDD: 4}  # first byte -> bytes of the length
_TEXTS = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_BLOBS = {0xC4: 1, 0xC5: 2, 0xC6: 4}


class Values:
    """Cuts bytes into MessagePack values, one after the other.

    Args:
        size_max: bytes of a value; a longer one is refused as soon as it says so.
        count_max: of the values; None where nothing limits them.
    """

    def __init__(self, size_max: int, count_max: int | None = None) -> None:
        self._size_max = size_max
        self._count_max = count_max
        self._count = 0
        self._buffer = bytearray()
        self.broken: InputError | None = None  # why nothing more can be found
        self._at = 0  # what is read next; behind the buffer's end where the rest of a text has not come
        self._left = 1  # values that are still to be read until the present one is whole

    @property
    def held(self) -> int:
        """Bytes of the value that is not whole yet."""
        return len(self._buffer)

    @property
    def beginning(self) -> bytes:
        """What there is of that value, for whoever looks at what went wrong."""
        return bytes(self._buffer[:1024])

    def feed(self, data: bytes) -> list[bytes]:
        """The values that became whole; where nothing more can be found after them, `broken` says why."""
        self._buffer += data
        found: list[bytes] = []
        start = 0
        while self._is_whole(start):
            found.append(bytes(memoryview(self._buffer)[start : self._at]))
            start, self._left = self._at, 1
            self._count += 1
            if self._count_max is not None and self._count > self._count_max:
                self.broken = TooLargeError(f"more than {self._count_max} values")
        del self._buffer[:start]
        self._at -= start
        return found

    def _is_whole(self, start: int) -> bool:
        """Read on; whether the value that begins at `start` is whole now."""
        buffer, at, left, size = self._buffer, self._at, self._left, len(self._buffer)
        while left and at < size and self.broken is None:
            code = buffer[at]
            step = _SIZES[code]
            if step:
                left += _MEMBERS[code] - 1
            elif code == _UNUSED:
                self.broken = InputError(f"byte {at - start}: not MessagePack")
                break
            else:
                width, more, members = _LENGTHS[code]
                if at + 1 + width > size:
                    break
                length = int.from_bytes(buffer[at + 1 : at + 1 + width], "big")
                step = 1 + width + more + (0 if members else length)
                left += members * length - 1
            at += step
            if at - start + left > self._size_max:  # each value inside takes a byte at least
                self.broken = TooLargeError(f"a value of more than {self._size_max} bytes")
        self._at, self._left = at, left
        return not left and at <= size and self.broken is None


def cut(data: bytes, count_max: int) -> list[bytes]:
    """The values of which `data` consists.

    Raises:
        InputError: it consists of something else.
        TooLargeError: there are too many.
    """
    values = Values(sys.maxsize, count_max)
    found = values.feed(data)
    if values.broken is not None:
        raise values.broken
    if values.held:
        raise InputError(f"the last value is cut short after {values.held} bytes")
    return found


def members_of(array: bytes | memoryview) -> tuple[int, int] | None:
    """How many members an array has and where the first begins; None where it is none."""
    if 0x90 <= array[0] <= 0x9F:
        return array[0] & 0x0F, 1
    width = _ARRAYS.get(array[0])
    return None if width is None else (int.from_bytes(array[1 : 1 + width], "big"), 1 + width)


def bytes_of(value: bytes | memoryview) -> bytes | None:
    """The bytes of a text or of binary data; None where it is something else. Senders write the one for the other."""
    code = value[0]
    if 0xA0 <= code <= 0xBF:
        return bytes(value[1:])
    width = _TEXTS.get(code) or _BLOBS.get(code)
    return None if width is None else bytes(value[1 + width :])


def value_of(data: bytes, decode: msgspec.msgpack.Decoder[Any]) -> Any:
    """The value that `data` is. Texts that are not UTF-8 make all of its texts bytes.

    Raises:
        InputError: it cannot be made, because it is nested too deep or a key is an object.
    """
    try:
        try:
            return decode.decode(data)
        except UnicodeDecodeError:
            return decode.decode(_texts_as_blobs(data))
    except (msgspec.MsgspecError, RecursionError, TypeError, ValueError, OverflowError) as error:
        why = "nested too deep to be read" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"it cannot be read: {why[:200]}") from error


def _texts_as_blobs(data: bytes) -> bytes:
    made, at = bytearray(), 0
    while at < len(data):
        code = data[at]
        step, head = _SIZES[code], data[at : at + 1]
        if 0xA0 <= code <= 0xBF:
            head = bytes((0xC4, code & 0x1F))
            made += head + data[at + 1 : at + step]
        elif step:
            made += data[at : at + step]
        else:
            width, more, members = _LENGTHS[code]
            length = int.from_bytes(data[at + 1 : at + 1 + width], "big")
            step = 1 + width + more + (0 if members else length)
            if code in _TEXTS:
                head = bytes((code - 0xD9 + 0xC4,))
            made += head + data[at + 1 : at + step]
        at += step
    return bytes(made)
