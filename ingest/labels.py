"""Label sets as Prometheus and Loki write them: `{app="shop", level='warn', "k8s.pod"="web-1"}`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tocsin.errors import InputError

# A label: its name, bare or quoted, and its value in one of the three quotes of Go.
_QUOTED = r'"(?:[^"\\\n]|\\[^\n])*"'
_LABEL = re.compile(
    rf"(?P<name>[A-Za-z_][A-Za-z0-9_.]*|{_QUOTED})\s*=\s*"
    rf"(?P<value>{_QUOTED}|'(?:[^'\\\n]|\\[^\n])*'|`[^`]*`)\s*(?:,\s*|(?=\}}))"
)
_OPEN, _CLOSE = re.compile(r"\s*\{\s*"), re.compile(r"\}\s*\Z")
_ESCAPE = re.compile(
    r"\\(?:(?P<letter>[abfnrtv\\'\"])|(?P<octal>[0-7]{3})|x(?P<byte>[0-9A-Fa-f]{2})|u(?P<four>[0-9A-Fa-f]{4})"
    r"|U(?P<eight>[0-9A-Fa-f]{8})|(?P<unknown>.))"
)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def parse_labels(text: str) -> dict[str, str]:
    """Labels by name; those with an empty value are none.

    Raises:
        InputError: the text is not a label set; with the position.
    """
    opening = _OPEN.match(text)
    if opening is None:
        raise InputError("labels, position 0: they begin with '{'")
    labels: dict[str, str] = {}
    position = opening.end()
    while (label := _LABEL.match(text, position)) is not None:
        name, value = label["name"], label["value"]
        labels[_unquoted(name, position) if name[0] == '"' else name] = _unquoted(value, position)
        position = label.end()
    if _CLOSE.match(text, position) is None:
        raise InputError(f"labels, position {position}: expected name=\"value\" or '}}'")
    return {name: value for name, value in labels.items() if value}


def value_of(labels: Mapping[str, str], names: Sequence[str]) -> str:
    """The value of the first of `names` that is there, or an empty text."""
    return next((value for name in names if (value := labels.get(name))), "")


def storable(text: str) -> str:
    """`text` without NUL, which databases cannot keep."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def _unquoted(text: str, position: int) -> str:
    """What a quoted text of Go stands for.

    Args:
        text: with its quotes.
        position: of it, for the message.

    Raises:
        InputError: it has an escape that Go does not know.
    """
    inner = text[1:-1]
    if text[0] == "`" or "\\" not in inner:
        return storable(inner)
    # Escapes may spell single bytes of UTF-8, so it is put together as bytes.
    whole = bytearray()
    end = 0
    for escape in _ESCAPE.finditer(inner):
        whole += inner[end : escape.start()].encode(errors="surrogatepass")
        whole += _unescaped(escape, position)
        end = escape.end()
    whole += inner[end:].encode(errors="surrogatepass")
    return storable(whole.decode(errors="replace"))


def _unescaped(escape: re.Match[str], position: int) -> bytes:
    kind = escape.lastgroup
    digits = escape[kind] if kind else ""
    if kind == "letter":
        return _LETTERS.get(digits, digits).encode()
    if kind == "octal" and int(digits, 8) < 256:
        return bytes([int(digits, 8)])
    if kind == "byte":
        return bytes([int(digits, 16)])
    if kind in {"four", "eight"} and (code := int(digits, 16)) < 0x110000 and not 0xD800 <= code < 0xE000:
        return chr(code).encode()
    raise InputError(f"labels, position {position}: {escape[0][:12]!r} is no escape")
