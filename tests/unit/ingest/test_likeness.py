"""Likeness: which tokens make two lines different events, and what a token that varies keeps."""

from __future__ import annotations

import pytest

from ingest.likeness import constant, joined, likeness, varying


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("Started", "Started"),
        ("(closed),", "closed"),
        ("user_login", "user_login"),
        ("don't", "don't"),
        ("größe", "größe"),
        ("<X>", "<X>"),
        ("[<X>]:", "<X>"),
        ("<X>:<X>", None),
        ("uid=<X>", "uid"),
        ("flags=abc.d", "flags"),
        ("state=down", "state=down"),
        ("WWEN[enable]", "enable"),
        ("a.b.c", None),
        ("/var/log", None),
        ("KB", None),
        ("TRUE", None),
        ("Jul", None),
        ("****", None),
        ("<*>", None),
    ],
)
def test_words_and_masks_count_and_values_do_not(token: str, expected: str | None) -> None:
    assert constant(token) == expected


def test_lines_differ_where_both_have_a_word_and_not_the_same() -> None:
    def places(one: str, other: str) -> list[int]:
        return likeness(one.split()).differing(likeness(other.split()))

    assert places("link is up", "link is down") == [2]
    assert places("link eth.a is up", "link eth.b is up") == []
    assert places("from <IP> ok", "from <HOST> ok") == []
    assert places("from <IP> ok", "from console ok") == [1]
    assert places("from <*> ok", "from console ok") == []
    assert places("old log full", "new disk empty") == [0, 1]


@pytest.mark.parametrize(
    ("template", "token", "expected", "value"),
    [
        ("alice.b", "bob.c", "<*>", "bob.c"),
        ("mask=ff.a,", "mask=0,", "mask=<*>,", "0"),
        ("(null)", "()", "(<*>)", ""),
        ("tag=<*>", "tag=x", "tag=<*>", "x"),
        ("name='a.b'", "name='c.d'", "name='<*>'", "c.d"),
        ("f(a):", "g(a):", "<*>):", "g(a"),
    ],
)
def test_what_leads_to_a_value_and_follows_it_stays(template: str, token: str, expected: str, value: str) -> None:
    assert joined(template, token) == expected
    start, end = varying(expected, 10, 10 + len(token))
    assert token[start - 10 : end - 10] == value
