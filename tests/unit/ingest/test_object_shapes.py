"""JSON objects read by their shape are what they are when each is read alone; ids are told from words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.batch import Batch
from ingest.object_shapes import ObjectShapes
from ingest.parse import Parser
from ingest.skeleton import collapse, skeletons
from ingest.words import words
from tocsin.record import LINES

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEYS = st.sampled_from(
    sorted(
        words("user ip host port pid status EventID event action path trace_id session_id uid tags note n a.b item1")
    )
)
TEXTS = st.one_of(
    st.sampled_from(
        sorted(
            words(
                "root c241733 10.0.0.7 fe80::1 2001:db8::7 web-1.example.com 443 /srv/a7/b login 404 none - é9"
                " 0af7651916cd43dd8448eb211c80319c 6f9619ff-8b86-d011-b42d-00c04fc964ff aa:bb:cc:0d:ee:ff"
                " https://a7.example.com/x?y=1 2026-03-01T10:00:00Z"
            )
        )
    ),
    st.sampled_from(["", "Failed password for root from 10.0.0.9 port 22", 'a "quote" 7', "disk 7 is full"]),
    st.text(max_size=10),
)
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(0, 70_000), st.floats(0, 1000, width=16), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=5,
)
OBJECTS = st.lists(st.dictionaries(KEYS, VALUES, min_size=1, max_size=6), min_size=1, max_size=6)


def parsed(bodies: list[str]) -> pl.DataFrame:
    columns: dict[str, Any] = dict.fromkeys(LINES, [None] * len(bodies))
    columns |= {"position": range(len(bodies)), "body": bodies, "time": [NOW] * len(bodies)}
    lines = pl.DataFrame(columns, schema=LINES)
    batch = Batch(tenant="t", stream="s", observed_time=NOW, identity=None, fingerprint="", lines=lines)
    return Parser().parse(batch, 0)


@given(OBJECTS)
def test_by_shape_is_as_one_by_one(documents: list[dict[str, Any]]) -> None:
    bodies = [json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in documents]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectShapes, "of", lambda _, texts: ([None], np.zeros(len(texts), np.uint32)))
        alone = parsed(bodies)
    found = parsed(bodies)
    for name in ("template_id", "entities", "trace_id", "span_id"):
        assert found[name].to_list() == alone[name].to_list(), name
    for one, other in zip(found["parameters"], alone["parameters"], strict=True):
        assert list(map(as_number, one)) == list(map(as_number, other))


def as_number(text: str) -> str | float:
    """Numbers are kept as they were written, and read alone as Python writes them."""
    try:
        return float(text)
    except ValueError:
        return text


def test_what_a_shape_says_holds_for_each_of_its_objects() -> None:
    bodies = [f'{{"event":"login","user":"c{n}00","ip":"10.0.0.{n}","status":{n}04,"took":{n}.5}}' for n in range(1, 6)]
    records = parsed(bodies)
    assert records["entities"].to_list() == [[f"ip:10.0.0.{n}", f"status:{n}04", f"user:c{n}00"] for n in range(1, 6)]
    assert records["template_id"].n_unique() == 5  # a status of another class is another event
    assert records["parameters"].to_list() == [[f"10.0.0.{n}", f"{n}.5", f"c{n}00"] for n in range(1, 6)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trace 8f3c0a9b done", "trace 0000000a done"),
        ("at 0x7fed875eb5d", "at 0x0000000000a"),
        ("id 6F9619FF-8B86-D011-B42D-00C04FC964FF.", "id 00000000-0000-0000-0000-000000000000."),
        ("session aB3xY9kQ27mZ", "session 00000000000a"),
        ("worker12345 of deadbeef", "worker00000 of deadbeef"),
        ("1772359200 1 [17", "1000000000 0 [00"),
        ("[1772359200]", "[1000000000]"),
        ("", ""),
    ],
)
def test_letters_of_ids_are_zeroed_and_those_of_words_are_not(text: str, expected: str) -> None:
    assert collapse(skeletons(pl.Series([text, text]))).to_list() == [expected, expected]
