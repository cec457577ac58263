"""The fixtures of `tests.house`, for this folder."""

from __future__ import annotations

from tests.house import clock, empty_database, house, journal, store, story

__all__ = ["clock", "empty_database", "house", "journal", "store", "story"]
