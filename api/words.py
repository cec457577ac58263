"""Turns values into words for people, and foreign text into text that cannot lie about itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from markupsafe import Markup, escape

from api.schemas import Finding, Incident

#: Severity is a number, a word and a mark of one to four bars; no meaning rests on colour alone.
_LEVELS = ((85, "critical", 4), (70, "high", 3), (55, "medium", 2), (0, "low", 1))

_NOTABLE = 0.01  # a chance above this is no news to anybody
_CODE = re.compile(r"`([^`]+)`")

# Terminal escapes: CSI, OSC, the two-character ones, and the 8-bit forms of the first two.
_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]"
)
# Characters that turn the direction of the text around them, cannot be seen, or cannot be encoded: a log line must not
# be able to show something other than what it holds. Tab and line feed stay.
_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def severity_word(severity: int) -> str:
    """`low`, `medium`, `high` or `critical`."""
    return next(word for least, word, _ in _LEVELS if severity >= least)


def severity_bars(severity: int) -> int:
    """How many of the four bars of the mark are full."""
    return next(bars for least, _, bars in _LEVELS if severity >= least)


def plain(text: str) -> str:
    r"""Foreign text without terminal colours, with every hidden or direction-turning character made visible.

    >>> plain("user \u202egnp.exe")
    'user <U+202E>gnp.exe'
    """
    return _HIDDEN.sub(lambda match: f"<U+{ord(match[0]):04X}>", _ANSI.sub("", text))


def code(text: str) -> Markup:
    """Text of ours in which `words between backticks` are set as code.

    >>> code("pass `cursor` & go on")
    Markup('pass <code>cursor</code> &amp; go on')
    """
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 -- escaped before it is marked up


def ago(then: datetime, now: datetime) -> str:
    """How long ago `then` was, in one unit."""
    seconds = (now - then).total_seconds()
    if seconds < 0:
        return "just now" if seconds > -60 else f"in {_span(timedelta(seconds=-seconds))}"
    return "just now" if seconds < 10 else f"{_span(now - then)} ago"


def lasted(start: datetime, end: datetime) -> str:
    """How long something lasted, in one unit."""
    return _span(end - start) if end > start else "a moment"


def _span(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def count(number: int) -> str:
    """A number with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u202f")


def chance(p_value: float) -> str:
    r"""A p-value as people say it.

    >>> chance(0.0004)
    '1 in 2\u202f500'
    """
    return f"1 in {count(max(1, round(1 / p_value)))}" if p_value > 1e-12 else "1 in more than 10\u00b9\u00b2"


def because(incident: Incident, findings: Sequence[Finding]) -> str:
    """Why an incident is one, as one sentence: its strongest reason, and who agrees.

    Args:
        incident: which one.
        findings: its own, the gravest first; they may be no longer kept.
    """
    if not findings:
        return incident.title
    first = findings[0]
    reason = (first.evidence[0].summary if first.evidence else first.summary).strip().rstrip(".")
    others = incident.finding_count - 1
    rare = f"{reason} ({chance(first.p_value)} in normal times)" if first.p_value < _NOTABLE else reason
    if others < 1:
        return f"{rare}."
    agreeing = [name for name in incident.detectors if name != first.detector]
    by = f", {' and '.join(agreeing)} among them" if agreeing else ""
    more = "1 more finding points" if others == 1 else f"{count(others)} more findings point"
    return f"{rare}; {more} to the same thing{by}."
