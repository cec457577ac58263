"""Column types that mean the same in SQLite and PostgreSQL: instants, texts and JSON values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import orjson
from sqlalchemy import Text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

#: What neither database keeps in a text: NUL (PostgreSQL) and lone surrogates (no UTF-8).
_NAME_CHARS_MAX = 400
_UNKEPT = re.compile("[\x00\ud800-\udfff]")


def kept_text(text: str) -> str:
    """`text` with every character no database keeps replaced by U+FFFD."""
    return _UNKEPT.sub("\ufffd", text)


def kept_name(text: str) -> str:
    """`text` as it is kept in a key: as it is up to 400 characters, else its beginning and a hash."""
    text = kept_text(text)
    if len(text) <= _NAME_CHARS_MAX:
        return text
    return f"{text[: _NAME_CHARS_MAX - 33]}~{blake2b(text.encode(), digest_size=16).hexdigest()}"


def instant_text(at: datetime) -> str:
    """An instant as SQLite keeps it: ISO 8601 in UTC with microseconds, so that texts sort as times do."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class Instant(TypeDecorator[datetime]):
    """An aware datetime: `timestamptz` in PostgreSQL, sortable ISO 8601 text in SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the type the database has."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """To the database."""
        if value is None:
            return None
        assert value.tzinfo is not None, "instants are aware"
        return value if dialect.name == "postgresql" else instant_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.astimezone(UTC) if dialect.name == "postgresql" else datetime.fromisoformat(value)


class Words(TypeDecorator[str]):
    """Text from outside, made fit to be kept."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 -- the base's
        """To the database."""
        return None if value is None else kept_text(value)


class Name(Words):
    """Text that is part of a key. PostgreSQL indexes no key above 2.7 kB, so a long one ends in its hash."""

    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 -- the base's
        """To the database."""
        return None if value is None else kept_name(value)


class Json(TypeDecorator[Any]):
    """A JSON value: `jsonb` in PostgreSQL, text in SQLite. Keeps the order of lists, not of keys."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the type the database has."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(JSONB())
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """To the database."""
        if value is None:
            return None
        fit = _fit(value)
        return fit if dialect.name == "postgresql" else orjson.dumps(fit).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """From the database."""
        return value if value is None or dialect.name == "postgresql" else orjson.loads(value)


def _fit(value: Any) -> Any:
    """`value` with texts every database keeps, and without numbers JSON has no word for."""
    if isinstance(value, bool | int | None):
        return value
    if isinstance(value, float):
        return value if value - value == 0.0 else None  # NaN and infinity
    if isinstance(value, Mapping):
        return {kept_text(str(key)): _fit(each) for key, each in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        return [_fit(each) for each in value]
    return kept_text(instant_text(value) if isinstance(value, datetime) else str(value))
