"""Lets one process at a time own its part of a data folder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tocsin.errors import LockedError, StorageError

_ATTEMPTS, _PAUSE_S = 5, 0.02  # `owner_of` holds a lock for a moment, which is no owner


@contextmanager
def owned(folder: Path, part: str) -> Iterator[None]:
    """Own `part` (`api` or `worker`) of `folder` until the block ends, or this process does, however it dies.

    Args:
        folder: the data folder; it exists.
        part: names the lock file, `lock-<part>`; it stays, with the process id of its last owner.

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
        _lock(descriptor, folder, part)
        with suppress(OSError):  # a full disk has no room for the number; the lock holds all the same
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


def _lock(descriptor: int, folder: Path, part: str) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt < _ATTEMPTS - 1:
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
