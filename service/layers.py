"""Lays settings from several places over each other and checks them against dataclasses: which keys, which types."""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from tocsin.errors import SettingsError

Tree = dict[str, Any]
T = TypeVar("T")

_FILE_SUFFIX = "_file"  # `url_file = "/run/secrets/url"` gives `url` the content of that file
_SECRET_BYTES_MAX = 65_536  # a secret is a line; more is the wrong file
_NEAR_MAX = 3  # suggestions for a key that is not known
#: Last words of settings that cannot be 0: nothing would ever run.
_AT_LEAST_ONE = ("_threads", "parallel_max", "running_max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Settings from one place."""

    tree: Tree
    origin: str  # "flag", "environment" or "file PATH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """Settings from all places."""

    tree: Tree
    origins: dict[str, str] = field(default_factory=dict)  # by key path, only what was set
    secret: frozenset[str] = frozenset()  # key paths that came by `*_file`

    def place(self, path: str) -> str:
        """Where `path` was set, for the end of a message."""
        for known, origin in self.origins.items():
            if path == known or path.startswith(f"{known}."):
                return f" ({origin})"
        return ""


def flag_layer(values: Mapping[str, object]) -> Layer:
    """Values of flags by key path; None is "not given"."""
    tree: Tree = {}
    for path, value in values.items():
        if value is not None:
            _put(tree, path.split("."), str(value) if isinstance(value, Path) else value, path)
    return Layer(tree=tree, origin="flag")


def environment_layer(environ: Mapping[str, str], prefix: str, cls: type) -> Layer:
    """Variables such as `TOCSIN__API__PORT`; values that are not text are JSON."""
    tree: Tree = {}
    for name in sorted(environ):
        if name.startswith(prefix):
            keys = name.removeprefix(prefix).lower().split("__")
            _put(tree, keys, _value(environ[name], _type_at(cls, keys)), name)
    return Layer(tree=tree, origin="environment")


def file_layer(path: Path) -> Layer:
    """A TOML file."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error
    return Layer(tree=tree, origin=f"file {path}")


def merge(layers: Iterable[Layer], cls: type) -> Merged:
    """Lay layers over each other, the last on top, after checking that every key is one of `cls`."""
    merged: Tree = {}
    origins: dict[str, str] = {}
    secret: set[str] = set()
    for layer in layers:
        for path, value in list(_leaves(layer.tree, cls, ())):
            known, content, is_secret = _resolved(path, value, cls, layer.origin)
            dotted = ".".join(known)
            _put(merged, known, content, dotted)
            origins[dotted] = _origin(layer.origin, path)
            secret.discard(dotted)
            if is_secret:
                secret.add(dotted)
    return Merged(tree=merged, origins=origins, secret=frozenset(secret))


def validated(merged: Merged, cls: type[T]) -> T:
    """Build `cls`, strictly: a number in quotes is not a number.

    Raises:
        SettingsError: the first value that does not fit, with its key path and where it was set.
    """
    try:
        settings = TypeAdapter(cls).validate_json(json.dumps(merged.tree, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"{path}: {_plain(first['msg'])}{merged.place(path)}") from error
    for path, value in flattened(settings):
        _check_number(path, value, merged)
    return settings


def flattened(settings: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every setting as key path and value, in the order they are defined."""
    for item in fields(settings):  # type: ignore[arg-type]  # called with dataclasses only
        value = getattr(settings, item.name)
        here = f"{path}{item.name}"
        if is_dataclass(value):
            yield from flattened(value, f"{here}.")
        elif isinstance(value, Mapping):
            yield from _flattened_mapping(value, here)
        else:
            yield here, value


def _flattened_mapping(values: Mapping[str, object], path: str) -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flattened_mapping(value, f"{path}.{name}")
        else:
            yield f"{path}.{name}", value


def key_paths(cls: type, path: str = "") -> Iterator[str]:
    """Every key path of `cls`; a free table ends in `*`."""
    for name, kind in get_type_hints(cls).items():
        if is_dataclass(kind):
            yield from key_paths(kind, f"{path}{name}.")  # type: ignore[arg-type]  # a dataclass type, not an instance
        else:
            yield f"{path}{name}.*" if _is_free(kind) else f"{path}{name}"


def _put(tree: Tree, keys: list[str] | tuple[str, ...], value: object, name: str) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise SettingsError(f"{name}: {key} is a value, not a table")
    tree[keys[-1]] = value


def _leaves(tree: Tree, cls: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    for key, value in tree.items():
        kind = get_type_hints(cls).get(key) if is_dataclass(cls) else None
        if isinstance(value, dict) and (kind is None or is_dataclass(kind) or _is_free(kind)):
            yield from _leaves(value, kind, (*path, key))
            if not value and kind is None:
                yield (*path, key), value
        else:
            yield (*path, key), value


def _resolved(path: tuple[str, ...], value: object, root: type, origin: str) -> tuple[tuple[str, ...], object, bool]:
    """The key path a value is for, the value, and whether it came out of a file of its own."""
    cls: Any = root
    for depth, key in enumerate(path):
        hints = get_type_hints(cls)
        here = ".".join(path[: depth + 1])
        if key not in hints:
            plain = key.removesuffix(_FILE_SUFFIX)
            if plain != key and _is_text(hints.get(plain)) and depth == len(path) - 1:
                return (*path[:depth], plain), _content(here, value), True
            raise SettingsError(f"{here}: no such setting ({_origin(origin, path)}){_near(here, root)}")
        cls = hints[key]
        if _is_free(cls):
            return path, value, False
        if not is_dataclass(cls):
            break
    if is_dataclass(cls):
        raise SettingsError(f"{'.'.join(path)}: a table, not a value ({_origin(origin, path)})")
    if depth != len(path) - 1:
        raise SettingsError(f"{'.'.join(path[: depth + 1])}: a value, not a table ({_origin(origin, path)})")
    return path, value, False


def _content(key: str, name: object) -> str:
    if not isinstance(name, str):
        raise SettingsError(f"{key}: the path of a file is expected")
    try:
        with Path(name).open("rb") as file:
            content = file.read(_SECRET_BYTES_MAX + 1)
        text = content.decode()
    except OSError as error:
        raise SettingsError(f"{key}: {name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{key}: {name} is not text") from error
    if len(content) > _SECRET_BYTES_MAX:
        raise SettingsError(f"{key}: {name} is longer than {_SECRET_BYTES_MAX} bytes")
    return text.strip()


def _near(path: str, root: type) -> str:
    known = list(key_paths(root))
    last = path.rpartition(".")[2]
    sections = {each.partition(".")[0] for each in known}
    near = [each for each in known if each.rpartition(".")[2] == last]
    close = difflib.get_close_matches(path, [*known, *sorted(sections)], _NEAR_MAX, 0.75)
    near += [each for each in close if each not in near]
    return f"; did you mean {' or '.join(near[:_NEAR_MAX])}?" if near else ""


def _origin(origin: str, path: tuple[str, ...]) -> str:
    return f"environment TOCSIN__{'__'.join(path).upper()}" if origin == "environment" else origin


def _type_at(cls: object, keys: list[str]) -> object:
    for key in keys:
        if not is_dataclass(cls):
            return None
        hints = get_type_hints(cls)
        cls = hints.get(key) or (str if _is_text(hints.get(key.removesuffix(_FILE_SUFFIX))) else None)
    return cls


def _value(text: str, kind: object) -> object:
    if _is_text(kind):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text  # a word of a closed set, or wrong: the check of types says so


def _is_text(kind: object) -> bool:
    return kind in (str, Path) or (get_origin(kind) in (Union, UnionType) and str in get_args(kind))


def _is_free(kind: object) -> bool:
    return get_origin(kind) is Mapping


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Input should be", "should be")


def _check_number(path: str, value: object, merged: Merged) -> None:
    if path.startswith("detectors.") or isinstance(value, bool) or not isinstance(value, int | float):
        return  # a detector checks its own options
    if not math.isfinite(value) or value < 0:
        raise SettingsError(f"{path}: {value} is not allowed, it cannot be below 0 or endless{merged.place(path)}")
    if value < 1 and path.endswith(_AT_LEAST_ONE):
        raise SettingsError(f"{path}: has to be at least 1{merged.place(path)}")
