"""Lets one process at a time own its part of a data folder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tocsin.errors import LockedError, StorageError

_PAUSE_S = 0.05


@contextmanager
def owned(folder: Path, part: str, *, wait_s: float = 0.0) -> Iterator[None]:
    """Own `part` (`api` or `worker`) of `folder` until the block ends, or this process does, however it dies.

    Args:
        folder: the data folder; it exists.
        part: names the lock file, `lock-<part>`; it stays, with the process id of its last owner.
        wait_s: how long to wait for an owner that is about to end.

    Raises:
        LockedError: another process owns it; the message names its process id.
        StorageError: the lock file cannot be written.
    """
    path = folder / f"lock-{part}"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        _lock(descriptor, folder, part, wait_s)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def owner_of(folder: Path, part: str) -> int | None:
    """The process that owns `part` of `folder`, or None when nobody does."""
    try:
        descriptor = os.open(folder / f"lock-{part}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)
    return None


def _lock(descriptor: int, folder: Path, part: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(_PAUSE_S)
                continue
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise LockedError(
                f"{folder}: process {owner} runs the {part} of this data folder; stop it, or use another --data"
            ) from None
        except OSError as error:  # a network file system without locks
            raise StorageError(f"{folder}/lock-{part}: cannot be locked: {error.strerror}") from error
        else:
            return
