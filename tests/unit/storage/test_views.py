"""The promised views are made of columns their tables have, and each is explained."""

from __future__ import annotations

import re

import pytest

from storage import tables
from storage.snapshot import view_sql
from storage.views import EVENTS, VIEWS, create_sql, select_sql
from tocsin.record import RECORDS

SECRET = {"body", "secrets", "routing_key", "url", "secret_sha256"}


def test_every_column_is_explained_in_a_sentence() -> None:
    for view, columns in {**VIEWS, "events": EVENTS}.items():
        for column, sentence in columns.items():
            assert sentence.endswith("."), f"{view}.{column}"
            assert sentence[0].isupper() or sentence[0] in "`0123", f"{view}.{column}"


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_sql_of_a_view_has_its_columns_and_no_others(dialect: str) -> None:
    for view, columns in VIEWS.items():
        sql = select_sql(view, dialect)  # type: ignore[arg-type]
        match = re.fullmatch(r"SELECT (.*) FROM t_(\w+)", sql)
        assert match is not None
        assert match[2] == view
        # Outside of parentheses, a comma separates columns; a column is its last word.
        flat = re.sub(r"\([^()]*(\([^()]*\))?[^()]*\)", "", match[1])
        assert [part.split()[-1] for part in flat.split(",")] == list(columns)
    assert len(create_sql(dialect)) == len(VIEWS)  # type: ignore[arg-type]


def test_no_view_shows_a_column_that_holds_a_secret() -> None:
    for view, columns in VIEWS.items():
        assert not SECRET & set(columns), view


def test_every_view_knows_whose_rows_it_shows() -> None:
    for view in VIEWS:
        assert "tenant" in tables.metadata.tables[f"t_{view}"].c


def test_events_has_the_columns_of_records() -> None:
    assert list(EVENTS) == list(RECORDS)


def test_a_view_without_files_still_has_its_columns() -> None:
    for view, columns in {**VIEWS, "events": EVENTS}.items():
        sql = view_sql(view, [])
        assert sql.endswith("WHERE false")
        assert re.findall(r'AS "(\w+)"', sql) == list(columns)
