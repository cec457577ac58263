from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from api.schemas import Evidence, Finding, Incident
from api.words import ago, because, chance, count, lasted, plain, severity_bars, severity_word

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("severity", "word", "bars"),
    [(0, "low", 1), (54, "low", 1), (55, "medium", 2), (70, "high", 3), (84, "high", 3), (85, "critical", 4)],
)
def test_a_severity_is_told_by_a_word_and_by_bars(severity: int, word: str, bars: int) -> None:
    assert (severity_word(severity), severity_bars(severity)) == (word, bars)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ünïcödé, 日本", "plain text, ünïcödé, 日本"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x9b31mred", "red"),
        ("file\u202egnp.exe", "file<U+202E>gnp.exe"),
        ("a\u200bb", "a<U+200B>b"),
        ("nul\x00here", "nul<U+0000>here"),
        ("lone \ud800 surrogate", "lone <U+D800> surrogate"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("back\rover", "back<U+000D>over"),
        ("tag\U000e0041", "tag<U+E0041>"),
    ],
)
def test_a_foreign_line_cannot_hide_or_turn_text(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "just now"), (42, "42 s ago"), (60, "1 min ago"), (7300, "2 h ago"), (200_000, "2 d ago"), (-3, "just now")],
)
def test_the_past_is_told_in_one_unit(seconds: int, words: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == words


def test_a_time_to_come_is_not_called_past() -> None:
    assert ago(NOW + timedelta(hours=3), NOW) == "in 3 h"


def test_a_span_of_nothing_is_a_moment() -> None:
    assert lasted(NOW, NOW) == "a moment"


def test_numbers_are_grouped() -> None:
    assert count(1_203_441) == "1\u202f203\u202f441"


def test_a_p_value_is_told_as_a_chance() -> None:
    assert chance(0.001) == "1 in 1\u202f000"
    assert chance(1.0) == "1 in 1"
    assert chance(1e-300).startswith("1 in more than")


RARE = "1 in 1\u202f000 in normal times"


def an_incident(finding_count: int, detectors: list[str]) -> Incident:
    return Incident(
        incident_id="inc_1",
        tenant="default",
        status="open",
        severity=70,
        title="the title",
        opened_at=NOW,
        last_at=NOW,
        closed_at=None,
        finding_count=finding_count,
        entities=[],
        streams=["shop"],
        detectors=detectors,
        assignee=None,
    )


def a_finding(summary: str, *reasons: str) -> Finding:
    evidence = [
        Evidence(rank=rank, kind="line", summary=text, event_id=None, payload={}) for rank, text in enumerate(reasons)
    ]
    return Finding(
        finding_id="1",
        incident_id="inc_1",
        tenant="default",
        stream="shop",
        detector="novelty",
        start_at=NOW,
        end_at=NOW,
        score=1.0,
        p_value=0.001,
        severity=70,
        summary=summary,
        expected=None,
        actual=None,
        entities=[],
        held_by=None,
        evidence=evidence,
    )


@pytest.mark.parametrize(
    ("count", "detectors", "findings", "says"),
    [
        (1, ["novelty"], [a_finding("a new line")], f"a new line ({RARE})."),
        (
            1,
            ["novelty"],
            [a_finding("a new line", "the strongest reason.", "the second")],
            f"the strongest reason ({RARE}).",
        ),
        (
            2,
            ["novelty"],
            [a_finding("a new line")],
            f"a new line ({RARE}); 1 more finding points to the same thing.",
        ),
        (
            1200,
            ["novelty", "volume"],
            [a_finding("a new line")],
            f"a new line ({RARE}); 1\u202f199 more findings point to the same thing, volume among them.",
        ),
        (5, ["novelty"], [], "the title"),
    ],
)
def test_why_is_one_sentence(count: int, detectors: list[str], findings: list[Finding], says: str) -> None:
    assert because(an_incident(count, detectors), findings) == says
