"""JSON lines read by their skeletons are what they are when each is read alone."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.conventions import Asked, to_lines
from ingest.limits import Limits
from ingest.ndjson import UnreadObjects
from ingest.plain import PlainOptions, take_plain
from ingest.words import words
from tocsin.record import LINES

KEYS = st.sampled_from(
    sorted(
        words(
            "time ts @timestamp msg message log level severity severity_number trace_id span_id user n log.level event"
            " item1"
        )
    )
)
TEXTS = st.one_of(
    st.sampled_from(
        sorted(
            words(
                "2026-03-01T10:00:00Z 2026-03-01T10:00:00.5+02:00 2026-13-01T10:00:00Z 1772359200 1772359200.25 info"
                " ERROR 6 é日本 0af7651916cd43dd8448eb211c80319c 10.0.0.1 c241733"
            )
        )
    ),
    st.sampled_from(["", "2026-03-01 10:00:00.123456", "disk 7 full", 'a "quoted" word', "tab\there"]),
    st.text(max_size=12),
)
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(0, 2**40), st.floats(0, 1e6), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(KEYS, VALUES, max_size=6), min_size=1, max_size=6)


def alone(documents: list[dict[str, Any]], message_field: str | None = None) -> pl.DataFrame:
    copies = json.loads(json.dumps(documents))
    return to_lines(copies, list(range(len(copies))), Asked(message_field=message_field)).lines


def same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert dict(found.schema) == LINES
    for name in ("position", "time", "severity_number", "trace_id", "span_id", "identity"):
        assert found[name].to_list() == expected[name].to_list(), name
    for one, other in zip(found["body"], expected["body"], strict=True):
        assert one == other or json.loads(one) == json.loads(other)
    for one, other in zip(found["attributes"], expected["attributes"], strict=True):
        assert json.loads(one) == json.loads(other)


@given(OBJECTS, st.sampled_from([None, "user", "log"]), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_by_shape_is_as_one_by_one(
    documents: list[dict[str, Any]], message_field: str | None, separators: tuple[str, str]
) -> None:
    bodies = pl.Series([json.dumps(one, separators=separators, ensure_ascii=False) for one in documents])
    same(UnreadObjects(shapes_max=100, chars_max=4096).read(bodies, message_field), alone(documents, message_field))


def test_lines_of_one_skeleton_have_their_own_values() -> None:
    documents: list[dict[str, Any]] = [
        {"ts": f"2026-03-01T10:00:0{n}.25Z", "level": 30 + 10 * (n % 2), "log": {"x": n}, "msg": f"took {n} ms", "n": n}
        for n in range(6)
    ]
    found = UnreadObjects(shapes_max=100, chars_max=4096).read(pl.Series([json.dumps(one) for one in documents]), None)
    same(found, alone(documents))
    assert found["body"].to_list() == [f"took {n} ms" for n in range(6)]
    assert [json.loads(text) for text in found["attributes"]] == [{"log": {"x": n}, "n": n} for n in range(6)]


@pytest.mark.parametrize(
    ("line", "is_left"),
    [
        ('{"msg":"a"}', True),
        ('{"a":05}', False),
        ('{"a":1}x', False),
        ("[1]", False),
        ('{"a":' * 70 + "1" + "}" * 70, False),
        ('{"msg":"' + "x" * 100_000 + '"}', False),
    ],
)
def test_only_valid_lines_are_left_for_later(line: str, is_left: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    body = f'{{"msg":"b"}}\n{line}\n'.encode()
    taken = take_plain(body, stream="s", content_type="application/x-ndjson", options=PlainOptions(), limits=Limits())
    assert (taken.unread is not None) == is_left
    assert len(taken.lines) + len(taken.rejected) == 2


def test_a_number_out_of_range_makes_a_line_text() -> None:
    lines = [f'{{"msg":"x","n":{n}}}' for n in ("1e307", "5e309", "[1,5e309]", "[123456e400]")] * 2
    body = "\n".join(lines).encode()
    taken = take_plain(body, stream="s", content_type="application/x-ndjson", options=PlainOptions(), limits=Limits())
    assert taken.unread is not None
    found = UnreadObjects(shapes_max=100, chars_max=4096).read(taken.lines["body"], "msg")
    assert found["body"].to_list() == ["x", *lines[1:4]] * 2
    assert [json.loads(text) for text in found["attributes"]] == [{"n": 1e307}, {}, {}, {}] * 2


def test_a_level_with_an_exponent_is_read_as_a_number() -> None:
    lines = [f'{{"msg":"x","level":{level}}}' for level in ("3e0", "5e-3", "4E+1", "3.5e0")] * 2
    found = UnreadObjects(shapes_max=100, chars_max=4096).read(pl.Series(lines), None)
    same(found, alone([json.loads(line) for line in lines]))
