"""Counts how often the step at one place of the journal was begun and not survived, over restarts of the process."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A step that was begun."""

    first: int  # journal entry it began with
    entries: int
    count: int  # how often, this time included


class Attempts:
    """One small file, written before a step is computed and removed after it.

    It is not fsynced: it is there for batches that kill the process (memory, a crash in a library), and what a process
    wrote survives the process. A power failure in the middle of a step costs one count.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._last = _read(file)

    def begin(self, first: int, entries: int) -> Attempt:
        """Note that a step begins; more entries may have arrived since the attempt before, it is the same step."""
        last = self._last
        again = last is not None and last.first == first and (last.entries == 1) == (entries == 1)
        self._last = Attempt(first=first, entries=entries, count=last.count + 1 if again and last else 1)
        with suppress(OSError):  # a full disk is no reason not to try
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_bytes(orjson.dumps([first, entries, self._last.count]))
        return self._last

    def survived(self) -> None:
        """Note that the step was computed."""
        self._last = None
        with suppress(OSError):
            self._file.unlink(missing_ok=True)


def _read(file: Path) -> Attempt | None:
    try:
        first, entries, count = orjson.loads(file.read_bytes())
        return Attempt(first=int(first), entries=int(entries), count=int(count))
    except (OSError, ValueError, TypeError):  # none, or half of one: the count begins again
        return None
