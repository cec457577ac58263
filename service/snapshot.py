"""Snapshots of what the worker knows: copied between two steps, written by a thread, read at a start."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import structlog

from tocsin.errors import StateError
from tocsin.state import State, load_state, save_state

log = structlog.get_logger(__name__)


def copied(state: State) -> State:
    """A copy that later learning does not change, whether the parts gave us their own arrays or copies."""
    return State(
        kind=state.kind,
        version=state.version,
        words=copy.deepcopy(dict(state.words)),
        arrays={name: array.copy() for name, array in state.arrays.items()},
        children={name: copied(child) for name, child in state.children.items()},
    )


class Snapshots:
    """The newest snapshot in a folder, and the one being written. Called by one thread."""

    def __init__(self, folder: Path, passing: Callable[[str], None]) -> None:
        """Write nothing yet.

        Args:
            folder: of the snapshot; its neighbours with the endings .new, .old and .unusable are ours as well.
            passing: called with the points of `service.step.POINTS` that are ours.
        """
        self._folder = folder
        self._passing = passing
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="snapshot")
        self._writing: Future[int] | None = None
        self.offset = 0  # of the newest on the disk, as far as it was read or written here

    @property
    def is_writing(self) -> bool:
        """Whether one is under way or nobody has asked yet what became of it."""
        return self._writing is not None

    def load(self) -> State | None:
        """The newest snapshot; None when there is none that can be used. One that is damaged is set aside."""
        try:
            state = load_state(self._folder)
        except StateError as error:
            self.set_aside(str(error))
            return None
        self.offset = int(state.words.get("offset", 0)) if state else 0
        return state

    def set_aside(self, why: str) -> None:
        """Keep a snapshot that cannot be used out of the way, for somebody who wants to know why."""
        unusable = self._folder.with_name(self._folder.name + ".unusable")
        log.error("snapshot_unusable", reason=why, kept_at=str(unusable))
        self.offset = 0
        shutil.rmtree(unusable, ignore_errors=True)
        for folder in (self._folder, self._folder.with_name(self._folder.name + ".old")):
            if folder.exists():
                shutil.rmtree(unusable, ignore_errors=True)
                folder.rename(unusable)

    def begin(self, state: State, offset: int) -> None:
        """Copy `state` and have it written.

        Args:
            state: what is known.
            offset: the first journal entry it has not seen.
        """
        assert self._writing is None, "one at a time"
        taken = copied(state)
        self._passing("copied")
        self._writing = self._thread.submit(self._write, taken, offset)

    def finished(self) -> int | None:
        """Offset of a snapshot that reached the disk since this was asked last; None when none did.

        Raises:
            OSError: it could not be written.
        """
        if self._writing is None or not self._writing.done():
            return None
        writing, self._writing = self._writing, None
        self.offset = writing.result()
        return self.offset

    def wait(self) -> int | None:
        """Wait for the one under way; returns as `finished` does."""
        if self._writing is not None:
            self._writing.exception()
        return self.finished()

    def close(self) -> None:
        """End the thread; what is under way is finished first."""
        self._thread.shutdown(wait=True)

    def _write(self, state: State, offset: int) -> int:
        save_state(state, self._folder)
        self._passing("saved")
        return offset
