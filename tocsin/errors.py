"""The exception tree.

TocsinError
├── InputError            bad input; the message says where (line, field, position)
│   └── TooLargeError     over a limit named in settings
├── SettingsError         a setting is unknown, malformed or contradictory
├── StateError            a state file is foreign, damaged or from another version
├── StorageError          the data folder or the database cannot be used
│   ├── CorruptionError   bytes that were durable no longer read back
│   ├── FullError         no room: the disk is full or a backlog is over its limit
│   └── LockedError       another process owns the data folder
├── QueryError            a SQL query was refused, failed, or went over its limits
└── DeliveryError         a notification did not arrive
    ├── UnreachableError  try again later
    └── RejectedError     never try again

The docstring of a class is its text when it is raised without one.
"""

from __future__ import annotations


class TocsinError(Exception):
    """Tocsin failed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class InputError(TocsinError):
    """The input is malformed."""


class TooLargeError(InputError):
    """The input is over a limit."""


class SettingsError(TocsinError):
    """The settings are wrong."""


class StateError(TocsinError):
    """The state file is foreign, damaged or from another version."""


class StorageError(TocsinError):
    """The data folder or the database cannot be used."""


class CorruptionError(StorageError):
    """Durable bytes no longer read back."""


class FullError(StorageError):
    """There is no room."""


class LockedError(StorageError):
    """Another process owns the data folder."""


class QueryError(TocsinError):
    """The query was refused."""


class DeliveryError(TocsinError):
    """The notification did not arrive."""


class UnreachableError(DeliveryError):
    """The receiver did not answer; try again later."""

    def __init__(self, message: str | None = None, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RejectedError(DeliveryError):
    """The receiver refused; never try again."""
