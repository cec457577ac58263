"""CSV with a header row into events, as NDJSON would bring them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from ingest.batch import Rejected
from ingest.conventions import Row
from ingest.json_rows import Rows
from ingest.limits import Limits
from ingest.lines import check_lines, reject
from tocsin.errors import InputError, TooLargeError

_DELIMITERS = ",;\t|"
# As JSON writes numbers: "007" and "+1" stay text, and so do card numbers too long for 64 bits.
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?(?:[eE][+-]?[0-9]{1,2})?\Z")


def rows_of_csv(text: str, limits: Limits) -> Rows:
    """Events of a table; the first row names the fields. Empty cells are null.

    Raises:
        InputError: the header cannot be one.
        TooLargeError: there are more than `lines_max` lines or `fields_max` columns.
    """
    check_lines(text, limits)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    names: list[str] | None = None
    rows: list[Row] = []
    positions: list[int] = []
    rejected: list[Rejected] = []
    for position, cells in _cells(reader):
        if isinstance(cells, str):
            if names is None:
                raise InputError(f"body, line {position + 1}: not a CSV header ({cells})")
            rejected.append(reject(position, _line(text, position), f"not valid CSV: {cells}", limits))
        elif not any(cells):
            continue
        elif names is None:
            names = _names(cells, limits)
        elif len(cells) != len(names):
            why = f"{len(cells)} fields where the header names {len(names)}"
            rejected.append(reject(position, ",".join(cells), why, limits))
        else:
            rows.append({name: _value(cell) for name, cell in zip(names, cells, strict=True)})
            positions.append(position)
    if names is None:
        raise InputError("body: no header row")
    return Rows(rows=rows, positions=positions, texts=None, rejected=tuple(rejected))


def _cells(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str] | str]]:
    """Rows with the place of their first line; a text is why a row cannot be read. The next one can be again."""
    while True:
        position = reader.line_num  # type: ignore[attr-defined]  # csv.reader has it
        try:
            yield position, next(reader)
        except csv.Error as error:
            yield position, str(error)
        except StopIteration:
            return


def _delimiter(text: str) -> str:
    header = text.lstrip("\r\n").partition("\n")[0]
    return max(_DELIMITERS, key=header.count)


def _names(cells: Sequence[str], limits: Limits) -> list[str]:
    if len(cells) > limits.fields_max:
        raise TooLargeError(f"body, header: more than {limits.fields_max} columns")
    names: dict[str, None] = {}
    for place, cell in enumerate(cells, start=1):
        name = cell.strip() or f"column_{place}"
        names[name if name not in names else f"{name}_{place}"] = None
    if len(names) != len(cells):
        raise InputError("body, header: column names are not distinct")
    return list(names)


def _value(cell: str) -> str | int | float | None:
    if cell == "":
        return None
    if cell[0] in "-0123456789":
        if _WHOLE.match(cell):
            return int(cell)
        if _FRACTION.match(cell):
            return float(cell)
    return cell


def _line(text: str, position: int) -> str:
    at = 0
    for _ in range(position):
        at = text.index("\n", at) + 1
    return text[at : text.find("\n", at) if "\n" in text[at:] else None]
