from __future__ import annotations

import pytest

from ingest.csv_rows import rows_of_csv
from ingest.limits import Limits
from tocsin.errors import InputError, TooLargeError

LIMITS = Limits()


def test_cells_become_the_values_that_json_would_have() -> None:
    found = rows_of_csv("a,b,c,d,e,f,g\n1,-2.50,007,+1,,1e3,4111111111111111111\n", LIMITS)
    assert found.rows == [
        {"a": 1, "b": -2.5, "c": "007", "d": "+1", "e": None, "f": 1000.0, "g": "4111111111111111111"}
    ]


@pytest.mark.parametrize("text", ["1_000", "١٢", "0x10", "1.", ".5", "nan", "inf", "-", "1e999", "--1"])
def test_what_json_does_not_call_a_number_stays_text(text: str) -> None:
    assert rows_of_csv(f"a\n{text}\n", LIMITS).rows == [{"a": text}]


def test_quotes_hold_delimiters_quotes_and_line_ends() -> None:
    found = rows_of_csv('a,b\n"x,""y""\nz",1\r\nlast,2', LIMITS)
    assert found.rows == [{"a": 'x,"y"\nz', "b": 1}, {"a": "last", "b": 2}]
    assert found.positions == [1, 3]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_read_off_the_header(delimiter: str) -> None:
    text = f"\na{delimiter}b{delimiter}c\n1{delimiter}2{delimiter}3\n"
    assert rows_of_csv(text, LIMITS).rows == [{"a": 1, "b": 2, "c": 3}]


def test_rows_of_another_width_are_set_aside_and_blank_ones_skipped() -> None:
    found = rows_of_csv("a,b\n1,2\n\n3\n4,5,6\n7,8\n9", LIMITS)
    assert found.rows == [{"a": 1, "b": 2}, {"a": 7, "b": 8}]
    assert [(line.line, line.detail, line.raw) for line in found.rejected] == [
        (4, "1 fields where the header names 2", b"3"),
        (5, "3 fields where the header names 2", b"4,5,6"),
        (7, "1 fields where the header names 2", b"9"),
    ]


def test_a_row_with_a_broken_quote_is_set_aside() -> None:
    found = rows_of_csv('a,b\n"x"y,1\n2,3\n', LIMITS)
    assert found.rows == [{"a": 2, "b": 3}]
    assert found.rejected[0].line == 2
    assert found.rejected[0].raw == b'"x"y,1'


def test_columns_without_a_name_or_with_the_same_one_are_told_apart() -> None:
    assert rows_of_csv("a,,a\n1,2,3\n", LIMITS).rows == [{"a": 1, "column_2": 2, "a_3": 3}]


def test_a_header_alone_brings_nothing() -> None:
    assert rows_of_csv("a,b\n", LIMITS).rows == []


def test_headers_that_cannot_be_one_are_refused() -> None:
    with pytest.raises(TooLargeError, match="4096 columns"):
        rows_of_csv(",".join(f"c{number}" for number in range(5000)), LIMITS)
    with pytest.raises(InputError, match="header"):
        rows_of_csv('"a"b,c\n1,2\n', LIMITS)
    with pytest.raises(InputError, match="distinct"):
        rows_of_csv("a,a_3,a\n1,2,3\n", LIMITS)


def test_an_open_quote_does_not_swallow_the_whole_body() -> None:
    rows = "\n".join(f"{number},x" for number in range(60_000))
    found = rows_of_csv(f'a,b\n"open,1\n{rows}\n', LIMITS)
    assert len(found.rows) > 30_000
    assert found.rejected
