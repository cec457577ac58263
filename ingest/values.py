"""What a value is: the entities inside one value of a known kind, and the kind of a value by its shape alone.

Patterns ask for digits, never for particular ones, so that they say the same of a value and of its skeleton.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple

from ingest.words import NOTHING

VALUE_CHARS_MAX = 200  # of an entity; what is longer is cut: enough for every id, path and agent seen in data/

IPV4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
IPV6 = r"(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}"
EMAIL = r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.(?!service\b)[A-Za-z]{2,24}"
UUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
HASH = r"(?:[0-9A-Fa-f]{64}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{32})"
MAC = r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}"
UNIX_PATH = r"/(?:[\w.@%+~#=,:-]+/+)*[\w.@%+~#=,:-]*"
WINDOWS_PATH = r"(?:[A-Za-z]:\\|\\\\[\w.$-]+\\)(?:[^\\\s:*?\"<>|]+\\)*[^\\\s:*?\"<>|]*"
HOSTNAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?"

_OPENERS = "\"'`([{<"
_CLOSERS = "\"'`)]}>,;:.!"

_IPV4_PORT = re.compile(rf"/?(?:::ffff:)?({IPV4})(?:[:/]([0-9]{{1,5}}))?\Z")
_IPV6_PORT = re.compile(rf"\[?({IPV6})(?:%[\w]+)?(?:\]:([0-9]{{1,5}})|\])?\Z")
_HOST_PORT = re.compile(rf"({HOSTNAME})\.?(?::([0-9]{{1,5}}))?\Z")
_EMAIL = re.compile(rf"<?({EMAIL})>?\Z")
_URL = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://(?:([^\s/@?#]*)@)?(\[[^\]\s]*\]|[^\s/:?#\\]*)(?::([0-9]{1,5}))?[^\s?#]*"
)
_WORD = re.compile(r"[^\s\"'<>{}]+\Z")
_STATUS = re.compile(r"-?[A-Za-z0-9_][\w.-]{0,31}")
_DIGITS = re.compile(r"[0-9]+\Z")
_ID = re.compile(r"[0-9A-Fa-f-]{8,64}\Z")
_SHAPES = (
    ("uuid", re.compile(rf"{UUID}\Z")),
    ("hash", re.compile(rf"{HASH}\Z")),
    ("device", re.compile(rf"{MAC}\Z")),
    ("path", re.compile(rf"(?:{UNIX_PATH}|{WINDOWS_PATH})\Z")),
)
_MULTIPLE = re.compile(r"[^,\s]+")


class Span(NamedTuple):
    """An entity in a text: the characters [start, end) and what they name."""

    kind: str
    start: int
    end: int


def spans_of(kind: str, text: str, start: int, end: int) -> list[Span]:
    """Entities in the value text[start:end], which stands where a `kind` is expected."""
    start, end = _trimmed(text, start, end)
    value = text[start:end]
    if not value or value.lower() in NOTHING:
        return []
    found = _READERS[kind](kind, value[:4096])
    return [Span(name, start + first, start + min(last, first + VALUE_CHARS_MAX)) for name, first, last in found]


@lru_cache(maxsize=65536)
def values_of(kind: str, value: str) -> tuple[tuple[str, str], ...]:
    """Entities of one value as (kind, text)."""
    return tuple((span.kind, value[span.start : span.end]) for span in spans_of(kind, value, 0, len(value)))


@lru_cache(maxsize=65536)
def shape_of(value: str) -> str | None:
    """Kind of a value by its shape alone: addresses, URLs, UUIDs, digests and paths name themselves."""
    if len(value) < 7 or len(value) > 2048:
        return None
    if _address(value):
        return "ip"
    if _EMAIL.match(value):
        return "email"
    if "://" in value[:32]:
        url = _URL.match(value)
        return "url" if url and " " not in value else None
    return next((kind for kind, pattern in _SHAPES if pattern.match(value)), None)


def is_ipv6(text: str) -> bool:
    """Whether a text that matches IPV6 is an address, and not a time or a run of colons."""
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return False
    return not address.is_unspecified


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Without white space, quotes and closing punctuation around; a bracket that is closed inside stays."""
    while start < end and (text[start].isspace() or text[start] in _OPENERS):
        if text[start] == "[" and "]:" in text[start:end]:
            break
        start += 1
    while end > start and (text[end - 1].isspace() or text[end - 1] in _CLOSERS):
        if text[end - 1] == ")" and "(" in text[start:end]:
            break
        if text[end - 1] == ":" and text[end - 2] in ":\\":
            break
        end -= 1
    return start, end


def _address(value: str) -> list[Span]:
    """Address and port, when the value is an address."""
    match = _IPV4_PORT.match(value)
    if match is None:
        match = _IPV6_PORT.match(value) if ":" in value else None
        if match is None or not is_ipv6(match[1]):
            return []
    return _with_port("ip", match)


def _with_port(kind: str, match: re.Match[str]) -> list[Span]:
    spans = [Span(kind, *match.span(1))]
    if match[2]:
        spans.append(Span("port", *match.span(2)))
    return spans


def _read_ip(kind: str, value: str) -> list[Span]:
    found = _address(value)
    if found:
        return found
    if "," in value:  # X-Forwarded-For
        parts = [spans_of(kind, value, *part.span()) for part in list(_MULTIPLE.finditer(value))[:8]]
        return [span for spans in parts for span in spans]
    return _read_host("host", value)


def _read_host(kind: str, value: str) -> list[Span]:
    match = _HOST_PORT.match(value)
    return _address(value) or (_with_port(kind, match) if match else [])


def _read_user(kind: str, value: str) -> list[Span]:
    if len(value) > 64 and not _EMAIL.match(value):
        return []
    whole = Span(kind, 0, len(value))
    return [whole, Span("email", 0, len(value))] if _EMAIL.match(value) else [whole]


def _read_number(kind: str, value: str) -> list[Span]:
    return [Span(kind, 0, len(value))] if _DIGITS.match(value) and len(value) <= 10 else []


def _read_path(kind: str, value: str) -> list[Span]:
    if "://" in value and not value.startswith("/"):
        return _read_url("url", value)
    match = re.match(r"[^?#]*", value)
    end = match.end() if match else len(value)
    return [Span(kind, 0, end)] if end and "\n" not in value[:end] else []


def _read_url(kind: str, value: str) -> list[Span]:
    if value.startswith("/"):
        return _read_path("path", value)
    match = _URL.match(value)
    if match is None:
        return []
    # With a password inside it is no entity: those are shown, sent and kept
    spans = [Span(kind, 0, match.end())] if match[2] is None else []
    start = match.start(3) + match[3].startswith("[")
    authority = match[3].strip("[]")
    spans += [Span(name, start + first, start + last) for name, first, last in _read_domain("domain", authority)]
    if match[4]:
        spans.append(Span("port", *match.span(4)))
    return spans


def _read_domain(kind: str, value: str) -> list[Span]:
    return [Span(kind if name == "host" else name, first, last) for name, first, last in _read_host("host", value)]


def _read_email(kind: str, value: str) -> list[Span]:
    match = _EMAIL.match(value)
    return [Span(kind, *match.span(1))] if match else []


def _read_status(kind: str, value: str) -> list[Span]:
    match = _STATUS.match(value)
    return [Span(kind, *match.span())] if match and (match.end() == len(value) or value[match.end()] == "/") else []


def _read_process(kind: str, value: str) -> list[Span]:
    if _SHAPES[3][1].match(value):
        name = max(value.rfind("/"), value.rfind("\\")) + 1
        return [Span("path", 0, len(value))] + ([Span(kind, name, len(value))] if name < len(value) else [])
    return _read_word(kind, value)


def _read_word(kind: str, value: str) -> list[Span]:
    return [Span(kind, 0, len(value))] if _WORD.match(value) else []


def _read_name(kind: str, value: str) -> list[Span]:
    return [Span(kind, 0, len(value))] if len(value) <= 64 or _WORD.match(value) else []


def _read_id(kind: str, value: str) -> list[Span]:
    return [Span(kind, 0, len(value))] if _ID.match(value) else []


def _read_request(kind: str, value: str) -> list[Span]:
    return _read_word(kind, value) if any(character.isdigit() for character in value) else []


_READERS: dict[str, Callable[[str, str], list[Span]]] = {
    "user": _read_user,
    "ip": _read_ip,
    "host": _read_host,
    "service": _read_name,
    "process": _read_process,
    "path": _read_path,
    "url": _read_url,
    "domain": _read_domain,
    "port": _read_number,
    "pid": _read_number,
    "email": _read_email,
    "hash": _read_word,
    "uuid": _read_word,
    "session": _read_word,
    "request": _read_request,
    "status": _read_status,
    "device": _read_word,
    "container": _read_word,
    "account": _read_name,
    "trace": _read_id,
    "span": _read_id,
}
