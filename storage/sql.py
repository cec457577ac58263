"""Users' SQL: DuckDB in a process of its own, over copies of what the tenant may see, with an end to everything.

The query is taken apart in that process too, never in this one. It learns which views the query reads; only those are
copied, only this tenant's rows, and only the tenant's files of events are named.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import msgspec
import orjson

from storage import sandbox
from storage.events import EventStore
from storage.snapshot import take_snapshot, view_sql
from storage.store import Store
from storage.views import VIEWS
from tocsin.errors import QueryError, StorageError

_NAMES = (*VIEWS, "events")
_READ_BYTES = 1 << 20
_OLD_S = 3600.0  # far longer than any timeout
_GONE = "the query needed more memory or time than it may have"


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlSettings:
    """How much one query may take."""

    timeout_s: float = 30.0  # then its process is killed; a person waits no longer
    memory_bytes: int = 536_870_912  # what DuckDB plans with; sorting a million lines takes half of it
    address_bytes: int = 1_610_612_736  # what the kernel grants, reserved or used; below 1 GiB sorting fails
    threads: int = 2  # of one query, so that it leaves cores to the worker
    bytes_max: int = 33_554_432  # of an answer as JSON; more is an export, not an answer
    query_chars_max: int = 100_000  # as the HTTP surface takes
    snapshot_rows_max: int = 1_000_000  # of one view; copying them takes about 5 s
    parallel_max: int = 4  # queries of one process at once: 4 x memory_bytes is the most they take together
    wait_s: float = 10.0  # for a place; then the query is refused


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlResult:
    """The rows of a query, as JSON values: times are ISO 8601 with Z."""

    columns: list[str]
    types: list[str]  # DuckDB's
    rows: list[list[Any]]
    truncated: bool  # whether there was more than the limit of rows or bytes


def run_sql(  # noqa: PLR0913 -- who asks what of which data
    store: Store, events: EventStore, tenant: str, query: str, *, limit: int, settings: SqlSettings
) -> SqlResult:
    """Run one read-only query over the tenant's views.

    Args:
        store: the database.
        events: the files of events.
        tenant: whose rows are seen; nothing else can be.
        query: one SELECT in DuckDB's dialect; also DESCRIBE, SHOW TABLES, SUMMARIZE, EXPLAIN.
        limit: rows at most.
        settings: limits.

    Raises:
        QueryError: it was refused, it failed, or it went over a limit; the text says which.
        StorageError: the database or the disk cannot be used.
    """
    if len(query) > settings.query_chars_max:
        raise QueryError(f"the query has {len(query):,} characters, at most {settings.query_chars_max:,} are allowed")
    places = _places(settings.parallel_max)
    if not places.acquire(timeout=settings.wait_s):
        raise QueryError(f"{settings.parallel_max} queries are running already; try again in a moment")
    deadline = time.monotonic() + settings.timeout_s
    try:
        with _folder(events.folder.parent / "tmp") as folder, _Child(settings, folder, deadline) as child:
            named = child.ask({"query": query, "views": _NAMES})
            granted = _granted(store, events, tenant, named, folder, settings)
            answer = child.ask(granted | {"rows": limit, "bytes": settings.bytes_max})
    finally:
        places.release()
    return SqlResult(
        columns=answer["columns"], types=answer["types"], rows=answer["rows"], truncated=answer["truncated"]
    )


def _granted(  # noqa: PLR0913, PLR0917 -- as `run_sql`
    store: Store, events: EventStore, tenant: str, named: dict[str, Any], folder: Path, settings: SqlSettings
) -> dict[str, Any]:
    """The views the query reads, and the files they are made of."""
    wanted = [name for name in named["names"] if name in VIEWS]
    # The tables first: the events they name are then in the files, which are listed later.
    files = take_snapshot(store.database, tenant, wanted, folder, settings.snapshot_rows_max)
    if "events" in named["names"]:
        files["events"] = [events.path_of(segment).absolute() for segment in store.reads.segments(tenant)]
    if named["all"]:
        files = {name: [] for name in _NAMES} | files
    return {
        "views": {name: view_sql(name, paths) for name, paths in files.items()},
        "paths": [str(path) for paths in files.values() for path in paths],
    }


class _Child:
    """The process of one query. It is gone when the block ends."""

    def __init__(self, settings: SqlSettings, folder: Path, deadline: float) -> None:
        limits = {
            "timeout_s": settings.timeout_s,
            "memory_bytes": settings.memory_bytes,
            "address_bytes": settings.address_bytes,
            "threads": settings.threads,
        }
        self._timeout_s = settings.timeout_s
        self._deadline = deadline
        # An answer is JSON around `bytes_max` of rows; columns and types come on top.
        self._bytes_max = 4 * settings.bytes_max + (1 << 20)
        self._process = subprocess.Popen(  # noqa: S603 -- our own file with our own interpreter
            [sys.executable, "-I", sandbox.__file__, orjson.dumps(limits).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={"TZ": "UTC", "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send one line and wait for one.

        Raises:
            QueryError: the answer is a refusal, or none came in time.
        """
        self._send(orjson.dumps(question) + b"\n")
        answer = msgspec.json.decode(self._line())
        if "error" in answer:
            raise QueryError(str(answer["error"]))
        return dict(answer)

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        descriptor = self._process.stdin.fileno()
        os.set_blocking(descriptor, False)
        rest = memoryview(line)
        while rest:
            self._wait(descriptor, writing=True)
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise QueryError(_GONE) from None

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        parts: list[bytes] = []
        size = 0
        while True:
            self._wait(descriptor, writing=False)
            part = os.read(descriptor, _READ_BYTES)
            size += len(part)
            if not part or size > self._bytes_max:
                raise QueryError(_GONE)
            parts.append(part)
            if part.endswith(b"\n"):  # JSON on one line has no other line feed
                return b"".join(parts)

    def _wait(self, descriptor: int, *, writing: bool) -> None:
        left_s = self._deadline - time.monotonic()
        poll = select.poll()  # not select.select, which knows no descriptor above 1023
        poll.register(descriptor, select.POLLOUT if writing else select.POLLIN)
        if left_s <= 0 or not poll.poll(1000 * left_s):
            raise QueryError(f"the query took longer than {self._timeout_s:g} s")


@contextlib.contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    """A private folder for copies. What a kill left behind is removed by the next query an hour later."""
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="sql-", dir=parent))
        _remove_old(parent, folder)
    except OSError as error:
        raise StorageError(f"{parent}: {error.strerror or error}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_old(parent: Path, newest: Path) -> None:
    """Remove folders of queries that were killed with this process. The file system's clock says how old they are."""
    now_s = newest.stat().st_mtime
    for folder in parent.glob("sql-*"):
        with contextlib.suppress(FileNotFoundError):
            if now_s - folder.stat().st_mtime > _OLD_S:
                shutil.rmtree(folder, ignore_errors=True)


@lru_cache
def _places(parallel_max: int) -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(parallel_max)
