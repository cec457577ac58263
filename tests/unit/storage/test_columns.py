"""Values on their way into a column and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy.dialects import postgresql, sqlite

from storage.columns import Instant, Json, kept_name, kept_text

SQLITE, POSTGRESQL = sqlite.dialect(), postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 3, 1, 12, tzinfo=UTC),
        datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    ],
)
def test_an_instant_survives_sqlite(at: datetime) -> None:
    kept = Instant().process_bind_param(at, SQLITE)
    assert Instant().process_result_value(kept, SQLITE) == at


def test_instants_sort_as_their_texts_do() -> None:
    instants = [
        datetime(2026, 3, 1, 12, 0, second, micro, tzinfo=UTC) for second in (1, 2) for micro in (0, 5, 100_000)
    ]
    texts = [Instant().process_bind_param(at, SQLITE) for at in instants]
    assert texts == sorted(texts)
    assert len({len(text) for text in texts}) == 1


def test_a_text_without_what_no_database_keeps_is_left_as_it_is() -> None:
    assert kept_text("Zürich \U0001f514\n") == "Zürich \U0001f514\n"
    assert kept_text("a\x00b\ud800c") == "a\ufffdb\ufffdc"


def test_a_long_name_stays_apart_from_others_with_the_same_beginning() -> None:
    one, two = kept_name("x" * 5_000), kept_name("x" * 4_999 + "y")
    assert one != two
    assert len(one) == len(two) == 400
    assert kept_name("x" * 400) == "x" * 400
    assert kept_name(one) == one


def test_json_has_no_word_for_nan_and_keeps_the_order_of_lists() -> None:
    value = {
        "b": [3, 1, float("nan")],
        "a": ("x", True, None, 1.5),
        "big": 2**53,
        "at": datetime(2026, 3, 1, tzinfo=UTC),
    }
    kept = Json().process_bind_param(value, SQLITE)
    assert Json().process_result_value(kept, SQLITE) == {
        "b": [3, 1, None],
        "a": ["x", True, None, 1.5],
        "big": 2**53,
        "at": "2026-03-01T00:00:00.000000Z",
    }
    assert Json().process_bind_param({"a": "\x00"}, POSTGRESQL) == {"a": "\ufffd"}
