"""The two frames everything passes through: lines as they arrived and records as we understood them.

Names follow the OpenTelemetry log data model. A frame is a polars DataFrame; no Python object is made per line.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

TIME = pl.Datetime("ns", "UTC")

#: What a protocol decodes a request into. Null means "the sender did not say".
LINES: dict[str, pl.DataType] = {
    "position": pl.UInt32(),  # 0-based place in the request, counting rejected lines too
    "time": TIME,
    "severity_number": pl.Int8(),  # OpenTelemetry: 1 trace, 5 debug, 9 info, 13 warn, 17 error, 21 fatal
    "body": pl.String(),
    "attributes": pl.String(),  # a JSON object
    "trace_id": pl.String(),
    "span_id": pl.String(),
    "identity": pl.String(),  # the sender's own id of the line, where its protocol has one
}

#: What every detector reads. Sorted by `time`; never null except where said.
RECORDS: dict[str, pl.DataType] = {
    "event_id": pl.String(),  # 32 hex digits, `tocsin.identity.event_ids`
    "tenant": pl.String(),
    "stream": pl.String(),
    "time": TIME,
    "observed_time": TIME,
    "severity_number": pl.Int8(),  # 0 where unknown
    "body": pl.String(),
    "attributes": pl.String(),  # a JSON object, "{}" where there are none
    "trace_id": pl.String(),  # may be null
    "span_id": pl.String(),  # may be null
    "template_id": pl.String(),  # 16 hex digits; UNPARSED where the line has no template
    "parameters": pl.List(pl.String()),
    "entities": pl.List(pl.String()),  # `kind:value`, distinct within a record, sorted
}

#: The template of a line that could not be parsed.
UNPARSED = "0" * 16


def lines_of_texts(bodies: pl.Series, positions: Sequence[int]) -> pl.DataFrame:
    """A LINES frame of texts of which the sender said nothing else.

    Args:
        bodies: the texts, String.
        positions: place of each in its request.
    """
    columns = {name: pl.Series([None], dtype=kind).new_from_index(0, len(bodies)) for name, kind in LINES.items()}
    return pl.DataFrame(columns | {"position": pl.Series(positions, dtype=pl.UInt32), "body": bodies})


def empty_lines() -> pl.DataFrame:
    """A LINES frame without rows."""
    return pl.DataFrame(schema=LINES)


def empty_records() -> pl.DataFrame:
    """A RECORDS frame without rows."""
    return pl.DataFrame(schema=RECORDS)
