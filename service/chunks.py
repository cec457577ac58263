"""Cuts a file into chunks of whole lines at offsets that a later run finds again."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Literal

import orjson

from ingest.limits import Limits, decompress
from tocsin.errors import InputError, TooLargeError

Format = Literal["auto", "ndjson", "json", "csv", "text"]

STDIN = "-"

_HEAD_BYTES = 4096  # of a file, to recognise it and its format
_LINE_BYTES_MAX = 32 * 2**20  # read as one; the service refuses lines far shorter, and says so
_JSON_BYTES_MAX = 256 * 2**20  # a JSON array is one value, so it has to be held whole
_ZSTD_BYTES_MAX = 256 * 2**20  # a zstd file is held whole, compressed and not
_TEXT_BYTES_MAX = 2**32  # of a zstd file
_ZSTD = b"\x28\xb5\x2f\xfd"
_UNDO: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zX": lzma.open,
}  # by how the file begins
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
_ARRAY = re.compile(rb"\s*\[\s*\{")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Whole lines of a file."""

    start: int  # byte offset in the decompressed file
    end: int
    lines: int
    content: bytes  # as it is sent: with the header, where the file is CSV
    added_lines: int  # at its front, that are not of this chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An open file."""

    name: str
    format: Format  # never auto
    head: bytes
    total_bytes: int | None  # as on disk, None where that is not known
    _file: BinaryIO
    _raw: BinaryIO | None  # below the decompression

    def position(self, offset: int) -> int:
        """How much of `total_bytes` has been read when `offset` is reached."""
        return self._raw.tell() if self._raw is not None else offset

    def is_same(self, head_bytes: int, digest: str) -> bool:
        """Whether the file began like this when it was seen last."""
        return len(self.head) >= head_bytes and head_digest(self.head[:head_bytes]) == digest

    def chunks(self, start: int, chunk_bytes: int, pending_end: int | None) -> Iterator[Chunk]:
        """The lines from `start` on.

        Args:
            start: a chunk began here.
            chunk_bytes: a chunk ends with the line that reaches this size.
            pending_end: where the first chunk has to end, because it was sent before and the answer was lost.

        Raises:
            InputError: the compression is damaged.
        """
        header = self._header() if start > 0 else b""
        if self.name != STDIN:
            self._file.seek(start)
        while content := self._content(start, chunk_bytes, pending_end):
            added = header if start > 0 else b""
            if start == 0 and self.format == "csv":
                header = content[: content.index(b"\n") + 1] if b"\n" in content else content + b"\n"
            yield Chunk(
                start=start,
                end=start + len(content),
                lines=content.count(b"\n") + (not content.endswith(b"\n")),
                content=added + content,
                added_lines=1 if added else 0,
            )
            start, pending_end = start + len(content), None

    def _content(self, start: int, chunk_bytes: int, pending_end: int | None) -> bytes:
        try:
            if pending_end:
                return self._file.read(pending_end - start)
            content = self._file.read(chunk_bytes)
            return content + self._rest(content) if content else b""
        except _DAMAGED as error:
            raise InputError(f"{self.name}: damaged compression behind {start:,} bytes of text ({error})") from error
        except OSError as error:
            raise InputError(f"{self.name}: cannot be read: {error.strerror or error}") from error

    def _rest(self, content: bytes) -> bytes:
        """The rest of the last line; of a CSV file, of the last row, whose fields may hold ends of lines."""
        rest = b"" if content.endswith(b"\n") else self._file.readline(_LINE_BYTES_MAX)
        while self.format == "csv" and (content.count(b'"') + rest.count(b'"')) % 2:
            more = self._file.readline(_LINE_BYTES_MAX)
            if not more or len(rest) > _LINE_BYTES_MAX:
                break
            rest += more
        return rest

    def _header(self) -> bytes:
        if self.format != "csv":
            return b""
        self._file.seek(0)
        line = self._file.readline(_LINE_BYTES_MAX)
        return line if line.endswith(b"\n") else line + b"\n"


def head_digest(head: bytes) -> str:
    """Recognises the beginning of a file."""
    return blake2b(head, digest_size=16).hexdigest()


@contextmanager
def opened_source(name: str, form: Format) -> Iterator[Source]:
    """Open `name`, or standard input for `-`; gzip, zstd, bzip2 and xz are undone.

    Raises:
        InputError: it cannot be read, or is a JSON array that is damaged or too large.
    """
    if name == STDIN:
        yield _source(name, form, sys.stdin.buffer, None, None)
        return
    path = Path(name)
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(path.open("rb"))
            magic = raw.read(len(_ZSTD))
            raw.seek(0)
            total = path.stat().st_size
        except OSError as error:
            raise InputError(f"{name}: cannot be read: {error.strerror}") from error
        if magic.startswith(_ZSTD):
            yield _source(name, form, io.BytesIO(_unzstd(name, raw.read(_ZSTD_BYTES_MAX + 1))), None, None)
            return
        undo = next((undo for mark, undo in _UNDO.items() if magic.startswith(mark)), None)
        if undo is None:
            yield _source(name, form, raw, None, total)
            return
        file = stack.enter_context(undo(raw))
        yield _source(name, form, io.BufferedReader(file, 2**20), raw, total)


def _unzstd(name: str, content: bytes) -> bytes:
    """A whole zstd file: the library does not undo it in parts."""
    if len(content) > _ZSTD_BYTES_MAX:
        raise TooLargeError(
            f"{name}: a zstd file of more than {_ZSTD_BYTES_MAX} bytes; use: zstdcat FILE | tocsin ... -"
        )
    limits = Limits(decompressed_bytes_max=_TEXT_BYTES_MAX)
    try:
        return decompress(content, "zstd", limits)
    except InputError as error:
        raise InputError(str(error).replace("body", name, 1)) from error


def _source(name: str, form: Format, file: BinaryIO, raw: BinaryIO | None, total: int | None) -> Source:
    if name == STDIN:
        peeked = io.BufferedReader(file, 2**20) if not hasattr(file, "peek") else file  # type: ignore[type-var]
        head = peeked.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    else:
        try:
            head = file.read(_HEAD_BYTES)
        except (*_DAMAGED, OSError) as error:
            raise InputError(f"{name}: damaged compression ({error})") from error
        file.seek(0)
    found = _format_of(name, head) if form == "auto" else form
    if found == "json":
        file, found, raw = io.BytesIO(_lines_of_array(name, file)), "ndjson", None
        total = len(file.getbuffer())
        head = file.getvalue()[:_HEAD_BYTES]
    return Source(name=name, format=found, head=head, total_bytes=total, _file=file, _raw=raw)


def _format_of(name: str, head: bytes) -> Format:
    if _ARRAY.match(head):
        return "json"
    first = head.lstrip().split(b"\n", 1)[0]
    if first.startswith(b"{"):
        try:
            orjson.loads(first)
        except orjson.JSONDecodeError:
            # A first line longer than what was looked at is no less JSON.
            return "ndjson" if len(first) == len(head.lstrip()) else "text"
        return "ndjson"
    return (
        "csv"
        if Path(name)
        .name.removesuffix(".gz")
        .removesuffix(".zst")
        .removesuffix(".bz2")
        .removesuffix(".xz")
        .endswith(".csv")
        else "text"
    )


def _lines_of_array(name: str, file: BinaryIO) -> bytes:
    content = file.read(_JSON_BYTES_MAX + 1)
    if len(content) > _JSON_BYTES_MAX:
        raise TooLargeError(f"{name}: a JSON array of more than {_JSON_BYTES_MAX} bytes; make lines of it: jq -c '.[]'")
    try:
        values = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InputError(f"{name}: not JSON: {error}") from error
    if not isinstance(values, list):
        return orjson.dumps(values) + b"\n"
    return b"".join(orjson.dumps(value) + b"\n" for value in values)
