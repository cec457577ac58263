"""Parsing of anything: nothing raises, nothing is lost, and a line does not depend on its neighbours."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.batch import Batch
from ingest.fields import find
from ingest.mask import mask
from ingest.parse import Parser, ParseSettings
from ingest.skeleton import collapse, skeleton, skeletons
from ingest.templates import TemplateSettings
from ingest.words import RANKED_KINDS
from tocsin.record import LINES, RECORDS

NOW = datetime(2024, 6, 1, tzinfo=UTC)

# Characters that mean something to a parser, and some that mean nothing anywhere
PIECES = st.sampled_from(
    [
        *(
            "user",
            "for",
            "from",
            "port",
            "pid=",
            "host=",
            "path:",
            "status",
            "session",
            "http://",
            "blk_",
            "req-",
            "uid=",
        ),
        *(
            "10.0.0.1",
            "::1",
            "fe80::1",
            "a@b.co",
            "/a/b",
            "C:\\x",
            "<*>",
            "<X>",
            "0x1f",
            "7",
            "1e9",
            "-",
            "=",
            ":",
            '"',
        ),
        *(
            "'",
            "[",
            "]",
            "{",
            "}",
            "(",
            ")",
            ",",
            "\n",
            "\r",
            "\t",
            "\x0b",
            "\x00",
            "é",
            "日本",
            "😀",
            "²",
            "\u2028",
            "\ufffd",
        ),
        *(
            "0af7651916cd43dd8448eb211c80319c",
            "6F9619FF-8B86-D011-B42D-00C04FC964FF",
            "aa:bb:cc:dd:ee:ff",
            "GET / HTTP/1.1",
        ),
    ]
)
ANY = st.characters(codec="utf-8", exclude_categories=["Cs"])
BODIES = st.one_of(
    st.lists(PIECES, max_size=12).map(" ".join),
    st.lists(PIECES, max_size=12).map("".join),
    st.text(ANY, max_size=60),
    st.text(ANY, max_size=20).map(lambda text: '{"user":"' + text + '","n":1}'),
)


def parsed(bodies: list[str], parser: Parser | None = None, number: int = 0) -> pl.DataFrame:
    columns: dict[str, object] = dict.fromkeys(LINES, [None] * len(bodies))
    columns |= {"position": range(len(bodies)), "body": bodies, "time": [NOW] * len(bodies)}
    batch = Batch(
        tenant="t",
        stream="s",
        observed_time=NOW,
        identity=None,
        fingerprint="",
        lines=pl.DataFrame(columns, schema=LINES),
    )
    return (parser or Parser()).parse(batch, number)


@settings(deadline=None, max_examples=150)
@given(st.lists(BODIES, min_size=1, max_size=8))
def test_every_line_becomes_one_proper_record(bodies: list[str]) -> None:
    records = parsed(bodies)
    assert dict(records.schema) == RECORDS
    assert records["body"].to_list() == bodies
    assert records["event_id"].is_unique().all()
    assert records["template_id"].str.contains("^[0-9a-f]{16}$").all()
    for entities in records["entities"].to_list():
        assert entities == sorted(set(entities))
        assert {entity.partition(":")[0] for entity in entities} <= set(RANKED_KINDS)
        assert all(entity.partition(":")[2] for entity in entities)


@settings(deadline=None, max_examples=60)
@given(st.lists(BODIES, min_size=1, max_size=5))
def test_the_entities_of_a_line_do_not_depend_on_its_neighbours(bodies: list[str]) -> None:
    assert parsed(bodies)["entities"].to_list() == [parsed([body])["entities"][0].to_list() for body in bodies]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text(ANY, max_size=80), min_size=1, max_size=5))
def test_a_skeleton_has_the_bytes_of_its_line_at_the_same_offsets(bodies: list[str]) -> None:
    found = collapse(skeletons(pl.Series(bodies, dtype=pl.String)))
    assert found.str.len_bytes().to_list() == [len(body.encode()) for body in bodies]


@settings(deadline=None, max_examples=200)
@given(BODIES)
def test_masked_tokens_are_the_tokens_of_the_line_without_digits(body: str) -> None:
    (text,) = collapse(skeletons(pl.Series([body]))).to_list()
    text = skeleton(text)
    if text.split():
        found = mask(text, find(text), tokens_max=8)
        assert len(found.text.split()) == len(found.tokens) <= 9
        assert not any(digit in found.text for digit in "0123456789")


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.lists(BODIES, min_size=1, max_size=6), min_size=2, max_size=6), st.integers(min_value=1, max_value=6)
)
def test_a_parser_resumes_wherever_it_was_stopped(batches: list[list[str]], templates_max: int) -> None:
    bounds = ParseSettings(template=TemplateSettings(templates_per_stream_max=templates_max, texts_per_stream_max=4))
    one = Parser(bounds)
    for number, bodies in enumerate(batches):
        two = Parser(bounds)
        two.restore(one.state())
        assert parsed(bodies, one, number).equals(parsed(bodies, two, number))
        assert one.state() == two.state()
