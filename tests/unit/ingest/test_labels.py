from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.labels import parse_labels
from tocsin.errors import InputError


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("{}", {}),
        (" { } ", {}),
        ('{app="shop"}', {"app": "shop"}),
        ('{app="shop", level="warn",}', {"app": "shop", "level": "warn"}),
        ('{ app = "shop" , level = "warn" }', {"app": "shop", "level": "warn"}),
        ("{app='it\"s', raw=`a\\n\nb`}", {"app": 'it"s', "raw": "a\\n\nb"}),
        ('{"k8s.pod.name"="web-1", a="{,}=\\"\\""}', {"k8s.pod.name": "web-1", "a": '{,}=""'}),
        (r'{a="\a\b\f\n\r\t\v\\\""}', {"a": '\a\b\f\n\r\t\v\\"'}),
        (r"{a='it\'s'}", {"a": "it's"}),
        (r'{a="\303\251\xc3\xa9\u00e9\U000000e9"}', {"a": "éééé"}),
        (r'{a="\xff"}', {"a": "\ufffd"}),
        (r'{a="\000"}', {"a": "\ufffd"}),
        ('{a="日本", b="\\u65e5"}', {"a": "日本", "b": "日"}),
        ('{a="", b="x"}', {"b": "x"}),
    ],
)
def test_label_sets_are_read_as_prometheus_reads_them(text: str, labels: dict[str, str]) -> None:
    assert parse_labels(text) == labels


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "position 0"),
        ("app", "position 0"),
        ('{app="shop"', "position 1"),
        ('{app="shop"} x', "position 11"),
        ('{app="shop" level="warn"}', "position 1"),
        ("{app=shop}", "position 1"),
        ('{1app="x"}', "position 1"),
        ('{app="a\nb"}', "position 1"),
        ('{app="\\q"}', "escape"),
        ('{app="\\777"}', "escape"),
        ('{app="\\ud800"}', "escape"),
        ('{app="\\U00110000"}', "escape"),
        ('{app="\\x1"}', "escape"),
        ('{,app="x"}', "position 1"),
    ],
)
def test_what_is_no_label_set_is_refused_with_its_position(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_labels(text)


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), st.text(min_size=1)))
def test_any_text_can_be_the_value_of_a_label(labels: dict[str, str]) -> None:
    # JSON quotes as Go does, but for characters of more than two bytes, which it is told to leave alone.
    written = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items())
    assert parse_labels("{" + written + "}") == {name: value.replace("\0", "\ufffd") for name, value in labels.items()}


@given(st.text())
def test_no_text_crashes_the_parser(text: str) -> None:
    for attempt in (text, "{" + text + "}"):
        with suppress(InputError):
            parse_labels(attempt)
