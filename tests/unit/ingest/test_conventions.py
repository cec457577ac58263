from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.conventions import MESSAGE_NAMES, SPAN_NAMES, TIME_NAMES, TRACE_NAMES, Asked, to_lines


def line_of(event: dict[str, Any]) -> dict[str, Any]:
    return to_lines([json.loads(json.dumps(event))], range(1), Asked()).lines.to_dicts()[0]


@pytest.mark.parametrize("name", MESSAGE_NAMES)
def test_a_message_is_found_by_each_of_its_names_in_any_case(name: str) -> None:
    for key in (name, name.upper()):
        line = line_of({"other": 1, key: "hello"})
        assert (line["body"], line["attributes"]) == ("hello", '{"other":1}')


@pytest.mark.parametrize("name", TIME_NAMES)
def test_a_time_is_found_by_each_of_its_names(name: str) -> None:
    line = line_of({"msg": "x", name: "2024-01-02T03:04:05Z"})
    assert line["time"] is not None
    assert line["attributes"] == "{}"


@pytest.mark.parametrize(("names", "column"), [(TRACE_NAMES, "trace_id"), (SPAN_NAMES, "span_id")])
def test_traces_and_spans_are_found_by_each_of_their_names(names: tuple[str, ...], column: str) -> None:
    for name in names:
        assert line_of({"msg": "x", name: "4bf92f"})[column] == "4bf92f"
        assert line_of({"msg": "x", name: 77})[column] == "77"
        assert line_of({"msg": "x", name: ""})[column] is None
        assert line_of({"msg": "x", name: "x" * 200})[column] is None


def test_dotted_names_are_found_nested_too() -> None:
    line = line_of(
        {
            "@timestamp": "2024-01-02T03:04:05Z",
            "log": {"level": "error", "file": "a"},
            "trace": {"id": "t"},
            "message": "m",
        }
    )
    assert (line["severity_number"], line["trace_id"], line["body"]) == (17, "t", "m")
    assert json.loads(line["attributes"]) == {"log": {"file": "a"}, "trace": {}}


def test_a_group_of_fields_is_no_message() -> None:
    line = line_of({"log": {"file": "a"}, "event": {"kind": "b"}})
    assert line["body"] == '{"log":{"file":"a"},"event":{"kind":"b"}}'
    assert line_of({"log": {"file": "a"}, "text": "t"})["body"] == "t"


def test_an_empty_message_leaves_the_next_name_its_turn() -> None:
    assert line_of({"message": "", "msg": None, "text": "t"})["body"] == "t"
    assert line_of({"message": ""})["body"] == '{"message":""}'


def test_a_level_that_is_none_stays_an_attribute() -> None:
    line = line_of({"msg": "x", "level": "gold", "severity": "error"})
    assert line["severity_number"] == 17
    assert line["attributes"] == '{"level":"gold"}'
    assert line_of({"msg": "x", "level": {"a": 1}})["severity_number"] is None


@pytest.mark.parametrize(
    ("event", "severity"),
    [
        ({"PRIORITY": "3"}, 17),  # journald
        ({"level": 6}, 9),  # GELF
        ({"level": 40}, 13),  # pino
        ({"levelno": 40, "levelname": "ERROR"}, 17),  # Python
        ({"severity_number": 21, "severity_text": "INFO"}, 21),  # OpenTelemetry
        ({"severity": "WARNING"}, 13),
        ({"@l": "Fatal"}, 21),  # Serilog
        ({"status": "failed"}, None),  # what became of a thing is a fact about it, not a level
    ],
)
def test_levels_of_the_usual_loggers(event: dict[str, Any], severity: int | None) -> None:
    assert line_of({"msg": "x", **event})["severity_number"] == severity
