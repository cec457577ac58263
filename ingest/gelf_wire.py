"""GELF on the wire: messages that end with NUL over TCP, and messages in chunks over UDP.

https://go2docs.graylog.org/current/getting_in_log_data/gelf.html
"""

from __future__ import annotations

from dataclasses import dataclass, field

_MAGIC = b"\x1e\x0f"
_HEAD_BYTES = 12  # magic, 8 bytes of an id, number of the chunk, how many there are
_CHUNKS_MAX = 128
_ENTRY_BYTES = 1024  # what a message in the making costs beside its bytes
_BLANKS = b"\r\n\t "


class NulFraming:
    """Takes the bytes of one connection apart.

    Args:
        size_max: a longer message is cut, and its rest skipped.
    """

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._buffer = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        """The messages that became complete, and whether each was cut."""
        found: list[tuple[bytes, bool]] = []
        *ended, rest = data.split(b"\0")
        for piece in ended:
            self._add(piece, found)
            found += self.finish()
        self._add(rest, found)
        return found

    def finish(self) -> list[tuple[bytes, bool]]:
        """What is left when the connection ends: a message that lacks its NUL."""
        whole, self._buffer, self._skipping = bytes(self._buffer), bytearray(), False
        return [(whole, False)] if whole.strip(_BLANKS) else []

    def _add(self, piece: bytes, found: list[tuple[bytes, bool]]) -> None:
        if self._skipping:
            return
        self._buffer += piece
        if len(self._buffer) > self._size_max:
            found.append((bytes(self._buffer[: self._size_max]), True))
            self._buffer = bytearray()
            self._skipping = True


@dataclass(slots=True)
class _Making:
    """A message of which chunks are missing."""

    begun_at: float
    count: int
    chunks: dict[int, bytes] = field(default_factory=dict)
    size: int = _ENTRY_BYTES

    @property
    def beginning(self) -> bytes:
        return b"".join(self.chunks[number] for number in sorted(self.chunks))


class Chunks:
    """Puts chunks together. Messages that stay incomplete are given up, the oldest first where there are too many.

    Args:
        bytes_max: held of incomplete messages.
        wait_s: how long a message may take.
    """

    def __init__(self, *, bytes_max: int, wait_s: float) -> None:
        self._bytes_max = bytes_max
        self._wait_s = wait_s
        self._making: dict[tuple[str, bytes], _Making] = {}  # in the order they were begun
        self._size = 0

    def feed(self, datagram: bytes, peer: str, now: float) -> list[tuple[bytes, str | None]]:
        """What one datagram brought.

        Returns:
            Whole messages; and the beginnings of those that are given up, each with the reason.
        """
        found = self._given_up(now)
        if not datagram.startswith(_MAGIC):
            return [*found, (datagram, None)]
        if len(datagram) < _HEAD_BYTES:
            return [*found, (datagram, "a chunk without its head of 12 bytes")]
        number, count = datagram[10], datagram[11]
        key = (peer, datagram[2:10])
        making = self._making.get(key)
        if not number < (making.count if making else count) <= _CHUNKS_MAX:
            return [*found, (datagram, f"chunk {number} of {count}: 1 to {_CHUNKS_MAX} are allowed")]
        if making is None:
            making = self._making[key] = _Making(now, count)
            self._size += making.size
        if number not in making.chunks:
            making.chunks[number] = datagram[_HEAD_BYTES:]
            making.size += len(datagram)
            self._size += len(datagram)
        if len(making.chunks) == making.count:
            self._forget(key)
            return [*found, (making.beginning, None)]
        return found

    def _given_up(self, now: float) -> list[tuple[bytes, str | None]]:
        found: list[tuple[bytes, str | None]] = []
        while self._making:
            key, making = next(iter(self._making.items()))
            is_late = now - making.begun_at > self._wait_s
            if not is_late and self._size <= self._bytes_max:
                break
            why = f"after {self._wait_s:g} s" if is_late else "when too many others were incomplete"
            found.append((making.beginning, f"{len(making.chunks)} of {making.count} chunks had come {why}"))
            self._forget(key)
        return found

    def _forget(self, key: tuple[str, bytes]) -> None:
        self._size -= self._making.pop(key).size
