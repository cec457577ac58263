"""Finds the entities in the text of a line: who, from where, on what; as spans, without looking at particular digits.

Three sources: words that say what follows them ("user X", "for X from Y port N"), key=value pairs, and values that name
themselves (addresses, URLs, paths, UUIDs). It is run once on each distinct skeleton, not on each line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ingest.keys import is_numeric_user, kind_of_key
from ingest.values import (
    EMAIL,
    HASH,
    HOSTNAME,
    IPV4,
    IPV6,
    MAC,
    UNIX_PATH,
    UUID,
    WINDOWS_PATH,
    Span,
    is_ipv6,
    spans_of,
)
from ingest.words import CLAUSES

_NAME = r"[A-Za-z0-9_$.][A-Za-z0-9_.$@\\-]{0,63}"
_PLACE = r"[A-Za-z0-9_.:%\[\]-]{1,253}"


class _Rule(NamedTuple):
    """A pattern whose named groups are kinds (`user2` is a second user); run only on texts that hold the trigger."""

    trigger: str  # lower case; compared with the text in lower case
    pattern: re.Pattern[str]


def _rule(trigger: str, pattern: str) -> _Rule:
    return _Rule(trigger, re.compile(pattern, re.IGNORECASE))


_RULES: tuple[_Rule, ...] = (
    # SSH and others: "Failed password for invalid user U from H port N", "Invalid user U from H"
    _rule(" from ", rf"\b(?:for|user)(?: (?:invalid|illegal) user| user)? (?P<user>{_NAME}) from (?P<host>{_PLACE})"),
    _rule("user", rf"(?<![\w/])user(?:name|id)?(?:[:=] ?| )(?:['\"](?P<user>[^'\"]{{1,64}})['\"]|(?P<user2>{_NAME}))"),
    _rule("'@'", rf"'(?P<user>[^'\s]+)'@'(?P<host>{_PLACE})'"),  # MySQL
    _rule("uid=", rf"\bby (?P<user>{_NAME}) ?\(uid="),
    _rule(" : ", rf"^\s*(?P<user>{_NAME}) : .*?(?:TTY|PWD|USER|COMMAND)="),  # sudo
    _rule("command=", r"\bCOMMAND=(?P<path>/\S+)"),
    _rule(" su", rf"\bsu(?:\[[0-9]+\])?:? .{{0,80}}?\bfor (?P<user>{_NAME}) by (?P<user2>{_NAME})"),
    _rule(" su for ", rf"\bsu for (?P<user>{_NAME}) by (?P<user2>{_NAME})"),
    _rule("(to ", rf"\(to (?P<user>{_NAME})\) (?P<user2>{_NAME}) on\b"),
    _rule(") cmd", rf"\((?P<user>{_NAME})\) CMD\b"),
    _rule(" logged ", rf"(?P<user>{_NAME}) (?:has |is |was )?logged (?:in|out|on|off)\b"),
    _rule("log", rf"\b(?:log(?:ged)?[ -]?(?:in|on|out|off)|logon) (?:of|by|for|as) (?P<user>{_NAME})"),
    _rule("account name:", rf"\bAccount Name:\s+(?P<user>{_NAME})"),
    _rule("account domain:", rf"\bAccount Domain:\s+(?P<domain>{HOSTNAME})"),
    _rule("source network address:", rf"\bSource Network Address:\s+(?P<ip>{_PLACE})"),
    _rule("workstation name:", rf"\bWorkstation Name:\s+(?P<host>{HOSTNAME})"),
    _rule("process name:", r"\bProcess Name:\s+(?P<process>\S+)"),
    # A bare word after "host" is a name only when it looks like one: "host db-3", not "host is"
    _rule("host", r"\b(?:remote )?host(?:name)?(?:[:=] ?| )(?P<host>[\w-]*[-.0-9][\w.-]*)"),
    _rule("server", r"\bserver(?:[:=] ?| )(?P<host>[\w-]*[-.0-9][\w.-]*)"),
    _rule("node", r"\bnode(?:[:=] ?| )(?P<host>[\w-]*[-.0-9][\w.-]*)"),
    _rule("node-0", r"(?<![\w.-])(?P<host>node-[0-9]+)\b"),
    _rule(".service", r"(?<![\w./-])(?P<service>[\w@:-][\w@.:-]*)\.service\b"),
    _rule("service", r"\bservice(?:[:=] ?| )(?:['\"](?P<service>[\w .-]+)['\"]|(?P<service2>[a-z]\w*-[\w.-]+))"),
    _rule("pid", r"\bp?pid(?:[:=] ?| )(?P<pid>[0-9]+)"),
    _rule("process", r"\bprocess (?P<pid>[0-9]+)(?: \((?P<process>[^()\s]+)\))?"),
    _rule("]:", r"^(?P<process>[A-Za-z][\w./-]{0,63})\[(?P<pid>[0-9]+)\]:"),
    _rule("port", r"\bport(?:[:=] ?| )(?P<port>[0-9]{1,5})\b"),
    _rule("session", r"\bsession(?:[ _]?id)?(?:[:=#] ?| #?)(?P<session>[\w-]*[0-9][\w-]*)"),
    _rule("blk_", r"\b(?P<session>blk_-?[0-9]+)"),
    _rule("req-", rf"\b(?P<request>req-{UUID})"),
    _rule("request", r"\brequest(?:[ _-]?id)?(?:[:=#] ?| #?)(?P<request>[\w-]*[0-9][\w-]*)"),
    _rule("trace", r"\btrace(?:[ _-]?id)?(?:[:=] ?| )(?P<trace>[0-9A-Fa-f-]{8,64})\b"),
    _rule("status", r"\bstatus(?:[ _]?code)?(?:[:=] ?| )(?P<status>-?[0-9]{1,5})\b"),
    _rule(
        "code", r"\b(?:exit|error|return|response|result)(?:ed with)?[ _]?code(?:[:=] ?| )(?P<status>-?[0-9]{1,5})\b"
    ),
    _rule("returned", r"\breturned (?P<status>[0-9]{3})\b"),
    _rule("http", r'\bHTTP/[0-9.]+"? (?P<status>[0-9]{3})\b'),
    _rule("container", r"\bcontainer(?:[:=/] ?| |(?=_))['\"]?(?P<container>[\w./-]*[0-9][\w./-]*)"),
    _rule("pod", r"\bpod(?:[:=/] ?| )['\"]?(?P<container>[\w./-]*[-0-9][\w./-]*)"),
    _rule("0", r"(?<![\w.-])(?P<device>(?:eth|en[ops]|wlan|wlp|veth|bond|tun|tap|br-?|sd[a-z]|nvme)[0-9][\w.]*)\b"),
    _rule("device", r"\b(?:device|interface|disk)(?:[:=] ?| )(?P<device>[\w/.-]*[0-9][\w/.-]*)"),
)

_REQUEST = re.compile(r"\b(?:GET|POST|PUT|DELETE|HEAD|OPTIONS|PATCH|CONNECT|TRACE|PROPFIND) (?P<target>[^\s\"]+)")
# Apache, nginx: the common log format
_ACCESS = re.compile(rf"(?P<host>{_PLACE}) \S+ (?P<user>[^\s\[]+) \[[^\]]*\] \"")
_ACCESS_STATUS = re.compile(r"\" (?P<status>[0-9]{3}) (?:[0-9]+|-)(?=\s|$)")
_PAIR = re.compile(
    r"(?<![\w.?&/-])[\"']?(?P<key>[A-Za-z_@][\w.@-]{0,63})[\"']?(?:=|: ?(?=[\"'\[]?[\w/.-])|:(?=\S))"
    r"(?:\"(?P<quoted>[^\"]{0,1024})\"|'(?P<single>[^']{0,1024})'|(?P<bare>[^\s,;\"'()\[\]{}<>]+|\[[^\]\s]*\]))"
)
_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s\"'<>(){}|\\^`]+")
# Values that name themselves, each with what its text must hold for the search to be worth it.
_SHAPES: tuple[tuple[str, str, re.Pattern[str]], ...] = (
    ("email", "@", re.compile(rf"(?<![\w.+-]){EMAIL}")),
    ("uuid", "-", re.compile(rf"(?<!\w){UUID}(?!\w)")),
    ("hash", "0", re.compile(rf"(?<![\w-]){HASH}(?![\w-])")),
    ("ip", "0.0", re.compile(rf"(?<![\w.~-])(?:::ffff:)?{IPV4}(?::[0-9]{{1,5}})?(?![\w-]|\.[0-9])")),
    ("device", ":", re.compile(rf"(?<![\w:]){MAC}(?![\w:])")),
    ("ipv6", ":", re.compile(rf"(?<![\w:.]){IPV6}(?![\w:])")),
    ("path", "/", re.compile(rf"(?<![\w/.:<~)\]-])(?!/{IPV4}\b){UNIX_PATH}")),
    ("path", "\\", re.compile(rf"(?<![\w\\]){WINDOWS_PATH}")),
)
# Endings that are domains far more often than anything else; two-letter ones that are also file endings are left out.
_DOMAIN = re.compile(
    r"(?<![\w@./\\-])(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
    r"(?:com|net|org|edu|gov|mil|int|io|dev|cloud|biz|info|local|internal|lan|arpa|corp|xyz|online|site|top|"
    r"ac|at|au|be|br|ca|ch|cn|cz|de|dk|es|eu|fi|fr|gr|hk|hu|ie|il|in|it|jp|kr|mx|nl|no|nz|pt|ru|se|sg|tr|tw|ua|uk|us|za)"
    r"(?![\w-]|\.\w|\()(?::[0-9]{1,5}\b)?",
    re.IGNORECASE,
)


def find(text: str) -> tuple[Span, ...]:
    """Entities of a skeleton (a text with zeros for digits), distinct, by place; spans of several kinds may overlap."""
    found: dict[Span, None] = {}
    numbered: list[Span] = []
    found.update(dict.fromkeys(_by_request(text)))
    found.update(dict.fromkeys(_by_word(text)))
    found.update(dict.fromkeys(_by_pair(text, numbered)))
    found.update(dict.fromkeys(_by_value(text)))
    # PAM's "logname= uid=0 ... rhost=": the number is that of the server that refused, not of who was refused
    if "logname=" not in text and not any(span.kind == "user" for span in found):
        found.update(dict.fromkeys(numbered))
    return tuple(sorted(_without_echoes(list(found)), key=lambda span: (span.start, -span.end, span.kind)))


def _by_request(text: str) -> Iterator[Span]:
    """HTTP request lines, and what the common log format has around them."""
    for match in _REQUEST.finditer(text):
        kind = "url" if "://" in match["target"] else "path"
        if match["target"][0] in "/*" or kind == "url":
            yield from spans_of(kind, text, *match.span("target"))
    access = _ACCESS.match(text)
    if access:
        yield from spans_of("host", text, *access.span("host"))
        yield from spans_of("user", text, *access.span("user"))
    status = _ACCESS_STATUS.search(text)
    if status:
        yield from spans_of("status", text, *status.span("status"))


def _by_word(text: str) -> Iterator[Span]:
    lowered = text.lower()
    for rule in _RULES:
        if rule.trigger in lowered:
            for match in rule.pattern.finditer(text):
                yield from _named(text, match)


def _named(text: str, match: re.Match[str]) -> Iterator[Span]:
    """What the groups of a rule caught."""
    for name, value in match.groupdict().items():
        kind = name.rstrip("2")
        if value and not _is_clause(kind, value):
            yield from spans_of(kind, text, *match.span(name))


def _is_clause(kind: str, value: str) -> bool:
    """Whether what follows a word is no name but more prose, or a mere count ("3 on this node 1 local")."""
    if kind in {"user", "host"} and value.rstrip(".,:;").lower() in CLAUSES:
        return True
    return kind in {"host", "device", "container"} and not re.search(rf"[A-Za-z]|{IPV4}", value)


def _by_pair(text: str, numbered: list[Span]) -> Iterator[Span]:
    """key=value, key: value and "key": "value"; numbers of users go to `numbered`, for texts that name no user."""
    for match in _PAIR.finditer(text):
        kind = kind_of_key(match["key"])
        if kind is None:
            continue
        group = next(name for name in ("quoted", "single", "bare") if match[name] is not None)
        if ":" in match[0][: match.start(group) - match.start()] and not _is_name_like(kind, match[group]):
            continue
        spans = spans_of(kind, text, *match.span(group))
        if is_numeric_user(match["key"]):
            numbered += spans
        else:
            yield from spans


def _is_name_like(kind: str, value: str) -> bool:
    """Prose has colons too ("user: please wait", "no such host: try again"): after one, names look like names."""
    if kind in {"user", "ip", "email", "url", "uuid", "trace", "span", "domain"}:
        return value.lower().rstrip(".,;:") not in CLAUSES
    return any(character.isdigit() or character in "-./_" for character in value)


def _by_value(text: str) -> Iterator[Span]:
    covered: list[tuple[int, int]] = []
    if "://" in text:
        covered = [match.span() for match in _URL.finditer(text)]
        for url in covered:
            yield from spans_of("url", text, *url)
    if "." in text:
        for match in _DOMAIN.finditer(text):
            if not _inside(covered, match.start()):
                yield from spans_of("domain", text, *match.span())
    for shape, holds, pattern in _SHAPES:
        if holds not in text:
            continue
        for match in pattern.finditer(text):
            if not _inside(covered, match.start()) and _is_shape(shape, match[0]):
                yield from spans_of(shape.replace("ipv6", "ip"), text, *match.span())
                covered.append(match.span())


def _is_shape(shape: str, value: str) -> bool:
    """What the patterns cannot say: colons that are no address, and slashes that are no path ("1/2", "/")."""
    if shape == "ipv6":
        return is_ipv6(value.removesuffix(":"))
    return shape != "path" or not re.fullmatch(r"/[0-9.,:]*|.{1,2}", value)


def _inside(covered: list[tuple[int, int]], place: int) -> bool:
    return any(start <= place < end for start, end in covered)


def _without_echoes(spans: list[Span]) -> list[Span]:
    """Drop what a more telling reading of the same characters makes superfluous, as a domain that is known as host."""
    hosts = {span[1:] for span in spans if span.kind == "host"}
    ids = [span for span in spans if span.kind in {"session", "request", "container", "trace", "host"}]
    paths = [span for span in spans if span.kind == "path"]
    kept = []
    for span in spans:
        if span.kind == "domain" and span[1:] in hosts:
            continue
        wider = {"path": paths, "uuid": ids, "hash": ids}.get(span.kind, [])
        if any(other != span and other.start <= span.start and span.end <= other.end for other in wider):
            continue
        kept.append(span)
    return kept
