"""Events that are JSON objects: the shape of an object is its template, and its keys say what its values are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ingest.entities import entities_in, entity
from ingest.fields import find
from ingest.keys import is_numeric_user, kind_of_key
from ingest.mask import WILDCARD
from ingest.skeleton import skeleton
from ingest.values import shape_of
from ingest.words import NAMING_KEYS, NUMBERED_KEYS, STATUS_KEYS

_DEPTH_MAX = 8  # deeper values are one `<*>`
_LEAVES_MAX = 256  # values of one object that are read
_LIST_MAX = 16  # items of one list that are read for entities
_PROSE_CHARS_MAX = 1024  # a longer value is data, and not searched for entities

_NAME = re.compile(r"[^\n\"{}]{1,64}\Z")
_DIGITS = re.compile(r"[\w./#$+-]*[0-9][\w./#$+-]*")
_QUALIFIED = re.compile(r"[A-Za-z_]+(?:[._:/-][A-Za-z_]+)+\Z")


@dataclass(frozen=True, slots=True)
class Shape:
    """An object as a template."""

    text: str
    parameters: list[str]


def shape(document: Mapping[str, Any], is_name: Callable[[str, str], bool], *, parameters_max: int) -> Shape:
    """Template and parameters of an object: keys sorted, values that name the event kept, the rest `<*>`.

    Args:
        document: the object.
        is_name: whether a value of a key is one of few; asked only of keys whose values name events.
        parameters_max: values kept.
    """
    parameters: list[str] = []
    budget = [_LEAVES_MAX]

    def write(value: Any, path: str, depth: int) -> str:
        if isinstance(value, dict) and depth < _DEPTH_MAX:
            inner = []
            for key in sorted(value):
                if budget[0] <= 0:
                    inner.append("...")
                    break
                inner.append(f'"{_key(key)}": {write(value[key], f"{path}.{key}" if path else key, depth + 1)}')
            return "{" + ", ".join(inner) + "}"
        budget[0] -= 1
        name = _name(path, value, is_name)
        if name is not None:
            return name
        if len(parameters) < parameters_max:
            parameters.append(_text(value))
        return WILDCARD

    return Shape(write(document, "", 0), parameters)


def entities_of(document: Mapping[str, Any]) -> set[str]:
    """Entities of an object by the names of its keys and the shapes of its values; `trace:` and `span:` come along."""
    found: set[str] = set()
    numbered: set[str] = set()
    for path, value in leaves(document):
        if isinstance(value, bool) or value is None:
            continue
        kind = kind_of_key(path)
        text = value if isinstance(value, str) else str(value)
        if kind is not None:
            (numbered if is_numeric_user(path) else found).update(entities_in(kind, text))
        elif isinstance(value, str):
            found.update(_unnamed(value))
    if not any(text.startswith("user:") for text in found):
        found |= numbered
    return found


def leaves(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Scalar values with their dotted paths, at most so many; items of lists have the path of the list."""
    stack: list[tuple[str, Any, int]] = [("", document, 0)]
    left = _LEAVES_MAX
    while stack and left > 0:
        path, value, depth = stack.pop()
        if isinstance(value, dict):
            if depth < _DEPTH_MAX:
                inner = [(f"{path}.{key}" if path else key, item, depth + 1) for key, item in value.items()]
                stack += reversed(inner[:_LEAVES_MAX])
        elif isinstance(value, list):
            if depth < _DEPTH_MAX:
                stack += [(path, item, depth + 1) for item in reversed(value[:_LIST_MAX])]
        else:
            left -= 1
            yield path, value


@lru_cache(maxsize=65536)
def _unnamed(value: str) -> tuple[str, ...]:
    """Entities of a value whose key says nothing: its shape, or what a sentence says."""
    kind = shape_of(value)
    if kind is not None:
        return entities_in(kind, value)
    if " " not in value or len(value) > _PROSE_CHARS_MAX:
        return ()
    texts = (entity(span.kind, value[span.start : span.end]) for span in find(skeleton(value)))
    return tuple(text for text in texts if text is not None)


@lru_cache(maxsize=8192)
def _compact(path: str) -> str:
    return "".join(character for character in path.lower() if character.isalnum())


@lru_cache(maxsize=8192)
def _naming(path: str) -> tuple[str, str]:
    """The last key and the last two of a path, compact."""
    parts = path.rsplit(".", 2)
    return _compact(parts[-1]), _compact("".join(parts[-2:]))


def _key(key: str) -> str:
    """A key with its digits masked: `user_17` and `user_18` are one shape."""
    return _DIGITS.sub("<X>", key[:128].replace(WILDCARD, "<?>"))


def _name(path: str, value: Any, is_name: Callable[[str, str], bool]) -> str | None:
    """The value as the template shows it, when it names the event."""
    last, two = _naming(path)
    if isinstance(value, (int, str)) and not isinstance(value, bool):
        number = str(value)
        if last in STATUS_KEYS and number.isascii() and number.isdigit() and len(number) == 3:
            return f"{number[0]}xx"
        if (
            (last in NUMBERED_KEYS or two in NUMBERED_KEYS)
            and number.isascii()
            and number.isdigit()
            and len(number) <= 7
        ):
            return number if is_name(path, number) else None
    if not isinstance(value, str) or not _NAME.match(value):
        return None
    if not (last in NAMING_KEYS or two in NAMING_KEYS or (last == "name" and _QUALIFIED.match(value))):
        return None
    name = _DIGITS.sub("<X>", value.replace(WILDCARD, "<?>"))
    return f'"{name}"' if is_name(path, name) else None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value[:200]
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return "{...}" if isinstance(value, dict) else f"[{len(value)}]"
    return str(value)
