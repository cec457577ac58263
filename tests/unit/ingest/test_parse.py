"""Parsing: lines in, records out; templates, ids, times, bounds, and a state that resumes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ingest.batch import Batch
from ingest.parse import Parser, ParseSettings, Template
from ingest.templates import TemplateSettings
from tocsin.errors import StateError
from tocsin.identity import event_ids, template_id
from tocsin.record import LINES, RECORDS, UNPARSED
from tocsin.state import State, load_state, save_state

NOW = datetime(2024, 6, 1, 12, 0, tzinfo=UTC)


def a_batch(bodies: list[str], *, stream: str = "app", key: str | None = None, **columns: Any) -> Batch:
    base: dict[str, list[object]] = {name: [None] * len(bodies) for name in LINES}
    base |= {"position": list(range(len(bodies))), "body": list(bodies), **columns}
    return Batch(
        tenant="acme",
        stream=stream,
        observed_time=NOW,
        identity=key,
        fingerprint="",
        lines=pl.DataFrame(base, schema=LINES),
    )


def parsed(bodies: list[str], parser: Parser | None = None, **columns: Any) -> pl.DataFrame:
    return (parser or Parser()).parse(a_batch(bodies, **columns), 7)


def texts(parser: Parser) -> list[str]:
    return [template.text for template in parser.new_templates()]


def test_records_have_the_promised_columns() -> None:
    records = parsed(["a line", '{"event":"login","n":1}', ""])
    assert dict(records.schema) == RECORDS
    assert records.drop("trace_id", "span_id").null_count().sum_horizontal().item() == 0
    assert records["tenant"].unique().to_list() == ["acme"]
    assert records["attributes"].to_list() == ["{}"] * 3
    assert records["severity_number"].to_list() == [0, 0, 0]


def test_an_empty_batch_has_no_records() -> None:
    records = parsed([])
    assert records.is_empty()
    assert dict(records.schema) == RECORDS


def test_lines_that_differ_in_values_share_a_template() -> None:
    records = parsed(["user alice took 5 ms", "user bob took 17 ms", "cache was flushed"])
    first, second, third = records["template_id"]
    assert first == second != third
    assert records["parameters"].to_list() == [["alice", "5"], ["bob", "17"], []]


def test_a_template_is_named_by_its_first_text_and_told_when_it_changes() -> None:
    parser = Parser()
    records = parsed(["disk nas.one full, mode=(ro)", "disk nas.two full, mode=(rw)"], parser)
    identity = template_id("acme", "app", "disk nas.one full, mode=(ro)")
    assert records["template_id"].to_list() == [identity, identity]
    assert parser.new_templates() == (
        Template(template_id=identity, tenant="acme", stream="app", text="disk <*> full, mode=(<*>)"),
    )
    assert records["parameters"].to_list() == [["nas.one", "ro"], ["nas.two", "rw"]]
    assert parser.new_templates() == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("VM 12 Started (Lifecycle Event)", "VM 12 Paused (Lifecycle Event)"),
        ("link eth0 is up now", "link eth0 is down now"),
        ("backup job finished with success", "backup job finished with failure"),
        ("state=connected peer=a", "state=disconnected peer=a"),
        ("rule 7 accept packet", "rule 7 reject packet"),
        ('"GET /a/1 HTTP/1.1" 200', '"DELETE /a/2 HTTP/1.1" 200'),
    ],
)
def test_opposites_never_share_a_template(one: str, other: str) -> None:
    first, second = parsed([one, other])["template_id"]
    assert first != second


def test_words_of_a_place_are_events_until_there_are_too_many_for_that() -> None:
    parser = Parser(ParseSettings(template=TemplateSettings(words_per_place_max=3)))
    records = parsed([f"loaded module {name} in time" for name in ("zlib", "ssl", "json", "http", "mail")], parser)
    assert records["template_id"].n_unique() == 4
    assert records["template_id"][3] == records["template_id"][4]
    assert texts(parser)[3] == "loaded module <*> in time"
    assert records["parameters"].to_list() == [[], [], [], ["http"], ["mail"]]
    again = parser.parse(a_batch(["loaded module zlib in time"]), 8)
    assert again["template_id"][0] == records["template_id"][0]


def test_what_is_masked_by_different_kinds_is_one_template() -> None:
    parser = Parser()
    records = parsed(["peer 10.0.0.1:53 lost", "peer db-1.example.com:53 lost"], parser)
    assert records["template_id"][0] == records["template_id"][1]
    assert texts(parser)[0] == "peer <X>:<X> lost"
    assert records["parameters"].to_list()[1] == ["db-1.example.com", "53"]


def test_streams_and_tenants_have_templates_of_their_own() -> None:
    parser = Parser()
    one = parser.parse(a_batch(["same line"], stream="one"), 0)["template_id"][0]
    two = parser.parse(a_batch(["same line"], stream="two"), 1)["template_id"][0]
    other = parser.parse(replace(a_batch(["same line"], stream="one"), tenant="globex"), 2)["template_id"][0]
    assert len({one, two, other}) == 3


def test_lines_with_nothing_to_parse_are_kept_as_unparsed() -> None:
    records = parsed(["", "   ", "\x00\x01\x02\x03 \ufffd\ufffd", "fine"])
    assert records["template_id"].to_list()[:3] == [UNPARSED] * 3
    assert records["template_id"][3] != UNPARSED


def test_events_are_named_by_place_and_offset_by_the_batch_or_by_the_line() -> None:
    assert sorted(parsed(["a", "b"])["event_id"]) == sorted(event_ids("acme", "app", "7", [0, 1]))
    named = Parser().parse(a_batch(["a", "b"], key="key-1"), 7)["event_id"].to_list()
    assert named == event_ids("acme", "app", "key-1", [0, 1])
    by_line = parsed(["a", "b"], identity=[None, "doc-9"])["event_id"].to_list()
    assert by_line[0] == event_ids("acme", "app", "7", [0])[0]
    assert by_line[1] == Parser().parse(a_batch(["x"], identity=["doc-9"]), 99)["event_id"][0]


def test_positions_count_rejected_lines_too() -> None:
    records = parsed(["a", "b"], position=[0, 5])
    assert records["event_id"].to_list() == event_ids("acme", "app", "7", [0, 5])


def test_a_line_named_twice_in_a_batch_is_one_event() -> None:
    assert parsed(["a", "a again", "b"], identity=["x", "x", None])["body"].to_list() == ["a", "b"]


def test_records_are_sorted_by_time_and_equal_times_keep_their_order() -> None:
    early, late = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
    records = parsed(["1", "2", "3", "4"], time=[late, early, late, early])
    assert records["body"].to_list() == ["2", "4", "1", "3"]


def test_a_line_without_a_time_takes_that_of_the_line_before_it() -> None:
    early, late = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
    records = parsed(["head", "Error", "  at x", "end"], time=[None, early, None, late])
    assert records["time"].to_list() == [early, early, early, late]
    assert parsed(["no time at all"])["time"].to_list() == [NOW]


@pytest.mark.parametrize("wrong", [datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)])
def test_an_impossible_time_is_replaced_and_kept_as_an_attribute(wrong: datetime) -> None:
    right = NOW - timedelta(minutes=1)
    records = parsed(["a", "b", "c"], time=[wrong, wrong, right], attributes=['{"k":1}', "{}", None])
    assert records["time"].to_list() == [right, NOW, NOW]
    stated = [json.loads(text).get("tocsin.original_time") for text in records["attributes"]]
    assert stated[0] is None
    assert [text[:19] for text in stated[1:]] == [wrong.isoformat()[:19]] * 2
    assert json.loads(records["attributes"][1])["k"] == 1


def test_a_clock_a_little_ahead_is_believed() -> None:
    ahead = NOW + timedelta(minutes=5)
    assert parsed(["a"], time=[ahead])["time"].to_list() == [ahead]


def test_the_shape_of_an_object_is_its_template_with_what_names_the_event() -> None:
    parser = Parser()
    bodies = [
        '{"action":"login","user":{"name":"ann"},"outcome":"success","took_ms":12}',
        '{"took_ms":9,"outcome":"success","user":{"name":"ben"},"action":"login"}',
        '{"action":"login","user":{"name":"ann"},"outcome":"failure","took_ms":12}',
        '{"action":"logout","user":{"name":"ann"},"outcome":"success","took_ms":12}',
    ]
    records = parsed(bodies, parser)
    assert records["template_id"].n_unique() == 3
    assert records["template_id"][0] == records["template_id"][1]
    assert records["parameters"].to_list()[:2] == [["12", "ann"], ["9", "ben"]]
    assert texts(parser)[0] == '{"action": "login", "outcome": "success", "took_ms": <*>, "user": {"name": <*>}}'


def test_status_codes_of_objects_count_by_class_and_event_numbers_whole() -> None:
    parser = Parser()
    parsed(
        [
            '{"status":404,"path":"/a"}',
            '{"status":403,"path":"/b"}',
            '{"EventID":4624,"x":1}',
            '{"EventID":4625,"x":1}',
        ],
        parser,
    )
    assert texts(parser) == [
        '{"path": <*>, "status": 4xx}',
        '{"EventID": 4624, "x": <*>}',
        '{"EventID": 4625, "x": <*>}',
    ]


def test_a_key_with_too_many_names_holds_no_names() -> None:
    settings = ParseSettings(template=TemplateSettings(values_per_key_max=3))
    parser = Parser(settings)
    words = ["red", "green", "blue", "pink", "gold", "grey"]
    parsed([json.dumps({"event": word}) for word in words], parser)
    assert len(texts(parser)) == 4


def test_broken_json_is_text() -> None:
    records = parsed(['{"a": 1', '{"a": }', "{}", "[1]"])
    assert UNPARSED not in records["template_id"].to_list()


def test_a_flood_of_new_templates_is_stopped_and_known_lines_go_on() -> None:
    parser = Parser(ParseSettings(template=TemplateSettings(templates_new_max=50)))
    words = [f"{'abcdefghij'[i % 10]}{'klmnopqrst'[i // 10 % 10]}{'uvwxyzabcd'[i // 100]}" for i in range(1000)]
    first = parsed(["known line", *words], parser)
    assert first["template_id"].n_unique() == 51
    assert texts(parser)[-1] == "<*>"
    second = parser.parse(a_batch(["known line", *words]), 8)
    assert second["template_id"][0] == first["template_id"][0]
    assert second["template_id"].n_unique() == 101


def test_templates_used_longest_ago_are_forgotten_first() -> None:
    parser = Parser(ParseSettings(template=TemplateSettings(templates_per_stream_max=10)))
    words = ["ash", "bay", "cot", "dew", "elm", "fig", "gum", "hop", "ivy", "jam", "kit", "log", "mud", "nut", "oak"]
    kept = parsed(["always here", *words[:5]], parser)["template_id"][0]
    for number, word in enumerate(words[5:]):
        records = parser.parse(a_batch(["always here", word]), number)
        assert records["template_id"][0] == kept
    assert len(parser.state().words["streams"][0][2]["known"]) <= 10


def test_streams_without_lines_for_longest_are_forgotten_first() -> None:
    parser = Parser(ParseSettings(streams_max=2))
    for number, stream in enumerate(["one", "two", "one", "three"]):
        parser.parse(a_batch(["hello there"], stream=stream), number)
    assert [stream for _, stream, _ in parser.state().words["streams"]] == ["one", "three"]


def test_a_huge_line_costs_little_and_is_kept_whole() -> None:
    body = "x9 " * 350_000
    records = parsed([body, "y" * 1_000_000, '{"a":"' + "z" * 1_000_000 + '"}'])
    assert records["body"].str.len_bytes().to_list() == [1_050_000, 1_000_000, 1_000_008]
    assert records["parameters"].list.len().max() <= ParseSettings().parameters_max  # type: ignore[operator]


def test_a_line_break_inside_a_body_is_white_space() -> None:
    records = parsed(["Error: boom\n  at a.py:10\r\n  at b.py:20", "Error: boom\n  at a.py:11\r\n  at b.py:21"])
    assert records["template_id"].n_unique() == 1


def some_lines(count: int) -> list[str]:
    verbs = ["opened", "closed", "moved", "read", "wrote", "lost", "found"]
    places = ["cache", "disk", "queue", "socket", "table", "index", "ledger", "basket", "vault"]
    lines = []
    for i in range(count):
        verb, place = verbs[i * 7919 % 7], places[i * 104_729 % 9]
        lines.append(f"{verb} {place} {i % 13} for {['alpha', 'beta', 'gamma', 'delta'][i * 31 % 4]} in {i} ms")
        if i % 5 == 0:
            lines.append(json.dumps({"event": verb, place: i, "user": f"u{i % 50}"}))
    return lines


@pytest.mark.parametrize("templates_max", [5_000, 12])
def test_a_parser_resumes_from_its_state_as_if_it_had_never_stopped(tmp_path: Path, templates_max: int) -> None:
    settings = ParseSettings(template=TemplateSettings(templates_per_stream_max=templates_max, texts_per_stream_max=40))
    lines = some_lines(4_000)
    one = Parser(settings)
    for number in range(20):
        one.parse(a_batch(lines[number * 100 : number * 100 + 100]), number)
    save_state(one.state(), tmp_path / "parser")
    two = Parser(settings)
    state = load_state(tmp_path / "parser")
    assert state is not None
    two.restore(state)
    one.new_templates()
    for number in range(20, 48):
        batch = a_batch(lines[number * 100 : number * 100 + 100])
        assert one.parse(batch, number).equals(two.parse(batch, number))
        assert one.new_templates() == two.new_templates()
    assert one.state() == two.state()


def test_reading_the_state_changes_nothing() -> None:
    lines = some_lines(300)
    settings = ParseSettings(template=TemplateSettings(templates_per_stream_max=12))
    watched, left_alone = Parser(settings), Parser(settings)
    for number in range(10):
        batch = a_batch(lines[number * 30 : number * 30 + 30])
        assert watched.parse(batch, number).equals(left_alone.parse(batch, number))
        watched.state()
        watched.new_templates()


def test_a_foreign_state_is_refused() -> None:
    with pytest.raises(StateError, match="parser"):
        Parser().restore(State(kind="novelty", version=1))


def test_many_batches_at_once_give_the_records_of_one_by_one() -> None:
    lines = some_lines(200)
    batches = [
        (a_batch(lines[number * 10 : number * 10 + 10], stream="even" if number % 2 == 0 else "odd"), number)
        for number in range(20)
    ]
    one_by_one, at_once = Parser(), Parser()
    for batch, number in batches:  # the templates have settled the second time
        one_by_one.parse(batch, number)
        at_once.parse(batch, number)
    batches.insert(5, (a_batch([]), 99))
    expected = [one_by_one.parse(batch, number) for batch, number in batches]
    assert all(one.equals(other) for one, other in zip(at_once.parse_all(batches), expected, strict=True))
    assert Parser().parse_all([]) == []


def test_letters_of_several_bytes_are_not_cut_in_two() -> None:
    word = "1é" * 1000  # longer than a parameter may be
    bodies = [f"id {word}", f"id é{word}", f'{{"a":"{word}","b":"x{word}"}}', f'{{"a":"é{word}","b":"xx{word}"}}']
    records = parsed(bodies)
    assert records["body"].to_list() == bodies
    for parameters in records["parameters"].to_list():
        assert all(parameter.rstrip("…") in word + "é" + word + "x" + word + "xx" + word for parameter in parameters)


def test_nul_in_an_object_is_left_out_of_what_is_read() -> None:
    records = parsed([r'{"a\u0000b":"x\u0000y","user":"u\u00007"}', r'{"a":"x\\u0000y"}'])
    assert records["parameters"].to_list() == [["x\ufffdy", "u\ufffd7"], [r"x\u0000y"]]
    assert not any("\0" in entity for entity in records["entities"].explode())
