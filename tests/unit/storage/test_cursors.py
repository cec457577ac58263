"""Cursors of pages: opaque, checked, and exact."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from storage import tables
from storage.cursors import after, cursor_of
from tocsin.errors import InputError

KEYS = (tables.incidents.c.last_at, tables.incidents.c.incident_id)
AT = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)


def test_a_cursor_leads_behind_its_row() -> None:
    query = after(select(tables.incidents), KEYS, cursor_of([AT, "inc_1"]))
    words = str(query)
    assert "ORDER BY t_incidents.last_at DESC, t_incidents.incident_id DESC" in words
    assert set(query.compile().params.values()) >= {AT, "inc_1"}


def test_without_a_cursor_everything_is_in_order() -> None:
    assert "WHERE" not in str(after(select(tables.incidents), KEYS, None))


@pytest.mark.parametrize(
    "values",
    [
        ["inc_1"],
        [AT],
        [AT, "inc_1", "more"],
        [AT, 7],
        [7, "inc_1"],
        [None, "inc_1"],
        ["2026-03-01T12:00:00", "inc_1"],  # no zone
        ["yesterday", "inc_1"],
    ],
)
def test_a_cursor_of_another_kind_is_refused(values: list[object]) -> None:
    with pytest.raises(InputError, match="cursor"):
        after(select(tables.incidents), KEYS, cursor_of(values))


def test_a_number_is_no_truth() -> None:
    with pytest.raises(InputError):
        after(select(tables.deliveries), (tables.deliveries.c.delivery_id,), cursor_of([True]))
