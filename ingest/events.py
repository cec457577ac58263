"""Events that are JSON objects: the shape of an object is its template, and its keys say what its values are.

What an object with certain keys means is worked out once (`_Plan`); each object then costs a walk over its values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from ingest.entities import entities_in, entity, places_in
from ingest.fields import find
from ingest.keys import is_numeric_user, kind_of_key
from ingest.mask import WILDCARD
from ingest.skeleton import skeleton
from ingest.values import Span, shape_of
from ingest.words import NAMING_KEYS, NUMBERED_KEYS, STATUS_KEYS

DEPTH_MAX = 8  # deeper objects are one value
_LEAVES_MAX = 256  # values of one object that are read
_LIST_MAX = 16  # items of one list that are read for entities
_PROSE_CHARS_MAX = 1024  # a longer value is data, and not searched for entities
PARAMETER_CHARS_MAX = 200  # of one value of an object
_SEPARATOR = "\x1f"  # between the keys of a path; a point may be part of a key

_NAME = re.compile(r"[^\n\"{}]{1,64}\Z")
_DIGITS = re.compile(r"[\w./#$+-]*[0-9][\w./#$+-]*")
_QUALIFIED = re.compile(r"[A-Za-z_]+(?:[._:/-][A-Za-z_]+)+\Z")

Paths = tuple[str, ...]
Names = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the values of objects with certain keys are, by place."""

    order: tuple[int, ...]  # places sorted by path
    naming: tuple[tuple[int, str, Callable[[Any], str | None]], ...]  # may name the event: place, path, reader
    kinds: tuple[tuple[int, str], ...]
    numbers: tuple[tuple[int, str], ...]  # of users, for objects that name none
    unnamed: tuple[int, ...]  # the key says nothing


@dataclass(frozen=True, slots=True)
class Form:
    """What decides the template of an object."""

    paths: Paths  # of its values, in its own order
    names: Names  # of the values that may name the event; None where they do not


@dataclass(frozen=True, slots=True)
class Event:
    """An object taken apart."""

    document: Mapping[str, Any]
    values: Sequence[Any]
    plan: _Plan
    form: Form

    def text(self) -> str:
        """The template: keys sorted, values that name the event kept, the rest `<*>`."""
        places = self.plan.naming
        named = {self.form.paths[place]: name for (place, *_), name in zip(places, self.form.names, strict=True)}
        return _written(self.document, "", 0, named)

    def named(self, names: Names) -> Event:
        """The same with other names."""
        return replace(self, form=Form(self.form.paths, names))

    def hidden(self) -> list[int]:
        """Places of the values that the template does not show, sorted by path."""
        shown = {place for (place, *_), name in zip(self.plan.naming, self.form.names, strict=True) if name is not None}
        return [place for place in self.plan.order if place not in shown]

    def parameters(self) -> list[str]:
        """The values that the template does not show, sorted by path."""
        return [_text(self.values[place]) for place in self.hidden()]

    def entities(self) -> Iterator[str]:
        """Entities, some perhaps twice; `trace:` and `span:` come along."""
        values = self.values
        plan = self.plan
        named = False
        for place, kind in plan.kinds:
            for text in entities_of_value(kind, values[place]):
                named = named or kind == "user"
                yield text
        if not named:
            for place, kind in plan.numbers:
                yield from entities_of_value(kind, values[place])
        for place in plan.unnamed:
            yield from entities_of_value(None, values[place])


def take_apart(document: Mapping[str, Any], is_name: Callable[[str, str], bool]) -> Event:
    """Take an object apart.

    Args:
        document: the object.
        is_name: whether a value of a path is one of few; asked only where values name events.
    """
    paths: list[str] = []
    values: list[Any] = []
    _walk(document, "", 0, paths, values)
    known_paths = tuple(paths)
    plan = _plan(known_paths)
    names = []
    for place, path, reader in plan.naming:
        name = reader(values[place])
        names.append(name if name is not None and is_name(path, name) else None)
    return Event(document, values, plan, Form(known_paths, tuple(names)))


def entities_of(document: Mapping[str, Any]) -> set[str]:
    """Entities of an object; `trace:` and `span:` come along."""
    return set(take_apart(document, lambda _path, _name: False).entities())


def _walk(document: Mapping[str, Any], prefix: str, depth: int, paths: list[str], values: list[Any]) -> None:
    for key, value in document.items():
        if len(paths) >= _LEAVES_MAX:
            return
        if type(value) is dict and value and depth < DEPTH_MAX:
            _walk(value, prefix + key + _SEPARATOR, depth + 1, paths, values)
        else:
            paths.append(prefix + key)
            values.append(value)


@lru_cache(maxsize=4096)
def _plan(paths: Paths) -> _Plan:
    kinds: list[tuple[int, str]] = []
    numbers: list[tuple[int, str]] = []
    unnamed = []
    naming = []
    for place, path in enumerate(paths):
        dotted = path.replace(_SEPARATOR, ".")
        kind = kind_of_key(dotted)
        if kind is None:
            unnamed.append(place)
        else:
            (numbers if is_numeric_user(dotted) else kinds).append((place, kind))
        reader = _reader(dotted)
        if reader is not None:
            naming.append((place, path, reader))
    order = tuple(sorted(range(len(paths)), key=paths.__getitem__))
    return _Plan(order, tuple(naming), tuple(kinds), tuple(numbers), tuple(unnamed))


def _reader(path: str) -> Callable[[Any], str | None] | None:
    """How the values of a key name the event, if they may."""
    parts = path.rsplit(".", 2)
    last = "".join(character for character in parts[-1].lower() if character.isalnum())
    two = "".join(character for character in "".join(parts[-2:]).lower() if character.isalnum())
    if last in NUMBERED_KEYS or two in NUMBERED_KEYS:
        return event_number
    if last in STATUS_KEYS or two in STATUS_KEYS:
        return status_name
    if last in NAMING_KEYS or two in NAMING_KEYS:
        return _event_name
    return _qualified_name if last == "name" else None


def event_number(value: Any) -> str | None:
    """The name that a number is, as Windows has them: each names another event."""
    if type(value) is int and 0 <= value < 10_000_000:
        return str(value)
    if type(value) is str and len(value) < 8 and value.isascii() and value.isdigit():
        return value
    return _event_name(value)


def status_name(value: Any) -> str | None:
    """The name of an HTTP status: its class."""
    if type(value) is int and 100 <= value < 600:
        return f"{value // 100}xx"
    if type(value) is str and len(value) == 3 and value.isascii() and value.isdigit():
        return f"{value[0]}xx"
    return _event_name(value)


def _event_name(value: Any) -> str | None:
    return _name(value) if type(value) is str and len(value) <= 64 else None


def _qualified_name(value: Any) -> str | None:
    """`name` is a person's as often as an event's; those of events have points or dashes."""
    return _name(value) if type(value) is str and len(value) <= 64 and _QUALIFIED.match(value) else None


@lru_cache(maxsize=8192)
def _name(value: str) -> str | None:
    if not _NAME.match(value):
        return None
    return '"' + _DIGITS.sub("<X>", value.replace(WILDCARD, "<?>")) + '"'


def _written(value: Any, path: str, depth: int, named: Mapping[str, str | None]) -> str:
    if not (type(value) is dict and value and depth <= DEPTH_MAX):
        return named.get(path) or WILDCARD
    inner: list[str] = []
    for key in sorted(value):
        if len(inner) == _LEAVES_MAX:
            inner.append("...")
            break
        below = f"{path}{_SEPARATOR}{key}" if depth else key
        inner.append(f'"{_key(key)}": {_written(value[key], below, depth + 1, named)}')
    return "{" + ", ".join(inner) + "}"


def _key(key: str) -> str:
    """A key with its digits masked: `user_17` and `user_18` are one shape."""
    return _DIGITS.sub("<X>", key[:128].replace(WILDCARD, "<?>"))


def entities_of_value(kind: str | None, value: Any) -> Sequence[str]:
    """Entities of one value of an object; without a kind the key says nothing."""
    if type(value) is str:
        if kind is None:
            return _unnamed(value) if len(value) > 6 else ()
        return entities_in(kind, value)
    if type(value) is list:
        return [text for item in _items(value) for text in (entities_in(kind, item) if kind else _unnamed(item))]
    if kind is not None and (type(value) is int or type(value) is float):
        return entities_in(kind, str(value))
    return ()


def _items(values: list[Any]) -> list[str]:
    return [str(item) for item in values[:_LIST_MAX] if isinstance(item, (str, int)) and not isinstance(item, bool)]


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


def places_in_unnamed(piece: str) -> Sequence[Span]:
    """Where entities stand in the skeleton of a value whose key says nothing."""
    if len(piece) <= 6:
        return ()
    kind = shape_of(piece)
    if kind is not None:
        return places_in(kind, piece)
    return find(piece) if " " in piece and len(piece) <= _PROSE_CHARS_MAX else ()


def _text(value: Any) -> str:
    if type(value) is str:
        return value[:PARAMETER_CHARS_MAX]
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, (dict, list)):
        return "{...}" if isinstance(value, dict) else f"[{len(value)}]"
    return str(value)
