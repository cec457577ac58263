"""`tocsin ship`: sends files to a running service, in order, each line once, however often it is stopped."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import cramjam

from service.chunks import STDIN, Chunk, Format, Source, head_digest, opened_source
from service.client import Client
from service.resume import DEFAULT_FOLDER, Memory, Progress, sending, sent
from tocsin.errors import InputError, UnreachableError

_ZSTD_LEVEL = 1  # logs shrink eightfold at 400 MB/s; higher levels cost more than they save
_JITTER = random.SystemRandom()  # many shippers wait for one service; they should not come back as a crowd
_CONTENT_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv", "text": "text/plain"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipSettings:
    """How files are sent."""

    chunk_bytes: int = 1_000_000  # one answer each 25 ms or so; below the MiB from which bodies are checked for bombs
    timeout_s: float = 60.0  # for one chunk
    patience_s: float = 300.0  # without any chunk taken for this long we give up; a restart of the service takes 10 s
    pause_s_min: float = 0.5  # before a chunk is sent again; doubled each time
    pause_s_max: float = 30.0  # a service that asks for more gets more
    errors_shown_max: int = 10  # lines that were refused, with their reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipOptions:
    """What the command line said."""

    stream: str
    url: str
    key: str | None = None
    format: Format = "auto"
    time_field: str | None = None
    message_field: str | None = None
    again: bool = False  # forget what was sent
    state: Path = DEFAULT_FOLDER


@dataclass(slots=True, kw_only=True)
class Shipped:
    """What became of one file."""

    file: str
    resumed_at: int = 0  # byte offset at which this run began
    bytes: int = 0
    lines: int = 0
    accepted: int = 0
    rejected: int = 0
    errors: list[dict[str, object]] = field(default_factory=list)  # line of the file, detail


class Watcher(Protocol):
    """Follows what happens, for a progress bar."""

    def begin(self, file: str, total_bytes: int | None) -> None:
        """A file is about to be sent."""

    def moved(self, position: int, lines: int) -> None:
        """A chunk was taken: so many bytes of the file on disk are behind us, so many lines in this run."""

    def waiting(self, reason: str, pause_s: float) -> None:
        """The service does not take more now."""


def ship(
    files: list[str], options: ShipOptions, settings: ShipSettings, watcher: Watcher, sleep: Callable[[float], None]
) -> list[Shipped]:
    """Send files one after the other.

    Args:
        files: paths, or `-` for standard input.
        options: where to, and as what.
        settings: sizes and patience.
        watcher: told of every step.
        sleep: waits so many seconds.

    Raises:
        InputError: a file cannot be read, or the service refused a chunk.
        UnreachableError: the service did not take a chunk for `patience_s`.
    """
    with Client(options.url, options.key, timeout_s=settings.timeout_s) as client:
        shipment = _Shipment(client, options, settings, watcher, sleep)
        return [shipment.send_file(file) for file in files]


class _Shipment:
    def __init__(
        self,
        client: Client,
        options: ShipOptions,
        settings: ShipSettings,
        watcher: Watcher,
        sleep: Callable[[float], None],
    ) -> None:
        self._client = client
        self._options = options
        self._settings = settings
        self._watcher = watcher
        self._sleep = sleep
        self._memory = Memory(options.state)

    def send_file(self, name: str) -> Shipped:
        with opened_source(name, self._options.format) as source:
            progress = self._progress(source)
            shipped = Shipped(file=name, resumed_at=progress.acknowledged)
            self._watcher.begin(name, source.total_bytes)
            chunks = source.chunks(progress.acknowledged, self._settings.chunk_bytes, progress.pending_end)
            for chunk in chunks:
                progress = self._keep(sending(progress, chunk.end))
                answer = self._send(chunk, source, progress)
                _count(shipped, chunk, answer, progress.lines, self._settings.errors_shown_max)
                progress = self._keep(sent(progress, chunk.end, chunk.lines))
                self._watcher.moved(source.position(chunk.end), shipped.lines)
        return shipped

    def _progress(self, source: Source) -> Progress:
        begun = Progress(
            # Standard input cannot be read again, so nothing is remembered of it.
            path=str(Path(source.name).resolve()) if source.name != STDIN else f"-{_JITTER.getrandbits(64):x}",
            stream=self._options.stream,
            url=self._client.url,
            head_bytes=len(source.head),
            head_digest=head_digest(source.head),
        )
        if source.name == STDIN or self._options.again:
            return begun
        known = self._memory.recall(begun.path, begun.stream, begun.url)
        return known if known is not None and source.is_same(known.head_bytes, known.head_digest) else begun

    def _keep(self, progress: Progress) -> Progress:
        return progress if progress.path.startswith("-") else self._memory.keep(progress)

    def _send(self, chunk: Chunk, source: Source, progress: Progress) -> Any:
        options = self._options
        asked = {"format": source.format, "time_field": options.time_field, "message_field": options.message_field}
        headers = {"Content-Type": _CONTENT_TYPES[source.format], "Idempotency-Key": _identity(chunk, progress)}
        content = chunk.content
        if len(content) <= 2**20:
            content = bytes(cramjam.zstd.compress(content, level=_ZSTD_LEVEL))
            headers["Content-Encoding"] = "zstd"
        path = f"/v1/ingest/{quote(options.stream, safe='')}"
        params = {name: value for name, value in asked.items() if value}
        deadline = time.monotonic() + self._settings.patience_s
        pause_s = self._settings.pause_s_min
        while True:
            try:
                return self._client.call("POST", path, params=params, content=content, headers=headers)
            except InputError as error:
                first = progress.lines + 1
                raise InputError(f"{source.name}, lines {first} to {first + chunk.lines - 1}: {error}") from error
            except UnreachableError as error:
                wait_s = max(pause_s * _JITTER.uniform(0.75, 1.25), error.retry_after_s or 0.0)
                if time.monotonic() + wait_s > deadline:
                    raise UnreachableError(f"{error}; gave up, the same command goes on from here") from error
                self._watcher.waiting(str(error), wait_s)
                self._sleep(wait_s)
                pause_s = min(2 * pause_s, self._settings.pause_s_max)


def _identity(chunk: Chunk, progress: Progress) -> str:
    """Names the chunk the same way in every run, so that the service takes it once."""
    where = (socket.gethostname(), progress.path, progress.stream, progress.head_digest, str(chunk.start))
    digest = blake2b("\x1f".join(where).encode("utf-8", "surrogateescape"), digest_size=20)
    digest.update(chunk.content)
    return f"ship-{digest.hexdigest()}"


def _count(shipped: Shipped, chunk: Chunk, answer: Any, lines_before: int, errors_max: int) -> None:
    shipped.bytes += chunk.end - chunk.start
    shipped.lines += chunk.lines
    shipped.accepted += int(answer["accepted"])
    shipped.rejected += int(answer["rejected"])
    for error in answer["errors"][: errors_max - len(shipped.errors)]:
        line = lines_before + int(error["line"]) - chunk.added_lines
        shipped.errors.append({"line": line, "detail": error["detail"]})
