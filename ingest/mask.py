"""Masks what varies in a text, so that Drain sees few distinct lines: fields by kind, and every token with a digit.

Masking every run of characters that holds a digit does not hurt the grouping and ends the explosion of templates. No
mask reads `<*>`: that is Drain's own sign, and a line that holds it can never match again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ingest.values import Span

WILDCARD = "<*>"  # what Drain writes where the lines of a template differ
REST = "<REST>"  # the last token of a text that was too long to be read whole

#: Fields that are replaced by their kind even where they hold no digit. The other kinds (service, status word ...)
#: are what a template is about.
_MASKED_KINDS = frozenset(
    {"user", "ip", "host", "path", "url", "domain", "email", "uuid", "hash", "session", "request"}
)

_DIGITS = re.compile(
    r"(?P<BLK>blk_-?[0-9]+)"
    r"|(?P<IP>(?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![\w]|\.[0-9]))"
    r"|(?P<HEX>(?<![\w])[0-9][xX][0-9A-Fa-f]+(?![\w]))"
    r"|(?P<NUM>(?<![\w.+/#$-])[+-]?[0-9]+(?:\.[0-9]+)?(?![\w./#$+-]))"
)
# Masked when it holds a digit; asking for the digit here would take quadratic time. Dots at its ends are none of it:
# they end a sentence, or lead from a word to its value ("wait enable......0").
_RUN = re.compile(r"(?:[\w/#$+-]|(?<=[\w/#$+-])\.(?=[\w/#$+-]))+")
_TOKEN = re.compile(r"\S+")
_TIME = re.compile(
    r"(?<![\w.:-])(?:"
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) {1,2}[0-9]{1,2} "
    r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?: [A-Z]{3,4}(?= [0-9]))?(?: [0-9]{4})?"
    r"|[0-9]{4}[/-][0-9]{2}[/-][0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?:[.,][0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
    r")(?![\w:-]|\.[0-9])"
)
# Masks of one kind in a row are a list, however long; not so numbers, which are fields.
_LIST = re.compile(r"(<(?!NUM)[A-Z]+>)(?:,\1)+")
_MEMBER = re.compile(r"<(?!NUM)[A-Z]+>(?::<[A-Z]+>)?")
_JAVA = re.compile(r"(?<!\S)/(?=<IP>)")  # Java writes addresses with a slash before them


@dataclass(frozen=True, slots=True)
class Masked:
    """A text behind masks.

    Attributes:
        text: the masked text, tokens joined by single spaces.
        tokens: place of each token in the text before masking; as many as `text` has.
        spans: what was masked, in order; `kind` is what stands between the angle brackets.
    """

    text: str
    tokens: tuple[tuple[int, int], ...]
    spans: tuple[Span, ...]


def mask(text: str, fields: Iterable[Span], *, tokens_max: int) -> Masked:
    """Mask a skeleton whose entities are `fields`; tokens after the first `tokens_max` become REST."""
    places = [match.span() for match in _TOKEN.finditer(text)]
    end = len(text)
    if len(places) > tokens_max:
        end = places[tokens_max - 1][1]
        places = places[:tokens_max]
    spans = _spans(text[:end], fields)
    masked = _masked(text[:end], spans).replace(WILDCARD, "<?>")
    words = _JAVA.sub("", _LIST.sub(r"\1", masked)).split()
    tokens = _without_repeats(words, _around_times(places, spans))
    if end < len(text):
        tokens.append((REST, (end, len(text))))
    return Masked(
        text=" ".join(word for word, _ in tokens), tokens=tuple(place for _, place in tokens), spans=tuple(spans)
    )


def _spans(text: str, fields: Iterable[Span]) -> list[Span]:
    """Masked spans: first whole fields, then known forms of numbers, then whatever else holds a digit."""
    claimed = [
        Span(kind.upper(), start, end)
        for kind, start, end in sorted(fields, key=lambda field: (field.start, -field.end))
        if kind in _MASKED_KINDS and end <= len(text) and not any(character.isspace() for character in text[start:end])
    ]
    spans: list[Span] = []
    for span in claimed:
        if not spans or span.start >= spans[-1].end:
            spans.append(span)
    if ":" in text:
        spans = _with_matches(spans, text, _TIME, "TIME")
    spans = _with_matches(spans, text, _DIGITS)
    return [span for span in _with_matches(spans, text, _RUN) if span.kind != "X" or "0" in text[span.start : span.end]]


def _with_matches(spans: list[Span], text: str, pattern: re.Pattern[str], other: str = "X") -> list[Span]:
    """Spans, and the matches of a pattern between them; their kind is the name of the group, or `other`."""
    found = [
        Span(match.lastgroup or other, *match.span())
        for start, end in _gaps(spans, len(text))
        for match in pattern.finditer(text, start, end)
    ]
    return sorted([*spans, *found], key=lambda span: span.start)


def _around_times(places: Sequence[tuple[int, int]], spans: Iterable[Span]) -> list[tuple[int, int]]:
    """Places of tokens where a time, which has blanks inside, is one."""
    found = list(places)
    for span in reversed([span for span in spans if span.kind == "TIME"]):
        inside = [index for index, (start, end) in enumerate(found) if start < span.end and span.start < end]
        found[inside[0] : inside[-1] + 1] = [(found[inside[0]][0], found[inside[-1]][1])]
    return found


def _without_repeats(words: Sequence[str], places: Sequence[tuple[int, int]]) -> list[tuple[str, tuple[int, int]]]:
    """Tokens with their places; a list is one token."""
    tokens: list[tuple[str, tuple[int, int]]] = []
    for word, place in zip(words, places, strict=True):
        if tokens and word == tokens[-1][0].rstrip(",") and _MEMBER.fullmatch(word):
            tokens[-1] = (word, (tokens[-1][1][0], place[1]))
        else:
            tokens.append((word, place))
    return tokens


def _gaps(spans: Sequence[Span], end: int) -> list[tuple[int, int]]:
    starts = [0, *(span.end for span in spans)]
    return [
        (start, stop)
        for start, stop in zip(starts, [*(span.start for span in spans), end], strict=True)
        if start < stop
    ]


def _masked(text: str, spans: Sequence[Span]) -> str:
    parts = []
    place = 0
    for span in spans:
        parts += [text[place : span.start], "<", span.kind, ">"]
        place = span.end
    return "".join([*parts, text[place:]])
