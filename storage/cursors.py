"""Page cursors: where the next page begins, as opaque text."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Select, and_, or_

from storage.columns import Instant, instant_text
from tocsin.errors import InputError

_CURSOR_CHARS_MAX = 1000


def after(query: Select[Any], keys: Sequence[ColumnElement[Any]], cursor: str | None) -> Select[Any]:
    """Order by `keys`, all descending, and begin behind `cursor`.

    Raises:
        InputError: the cursor is not one of ours.
    """
    query = query.order_by(*(key.desc() for key in keys))
    if cursor is None:
        return query
    values = _values(cursor, keys)
    behind = [
        and_(*(keys[place] == values[place] for place in range(depth)), keys[depth] < values[depth])
        for depth in range(len(keys))
    ]
    return query.where(keys[0] <= values[0], or_(*behind))


def cursor_of(values: Sequence[Any]) -> str:
    """The cursor behind a row with these keys."""
    plain = [instant_text(value) if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(orjson.dumps(plain)).decode().rstrip("=")


def _values(cursor: str, keys: Sequence[ColumnElement[Any]]) -> list[Any]:
    refusal = InputError("cursor: not one that was given out here")
    if len(cursor) > _CURSOR_CHARS_MAX:
        raise refusal
    try:
        plain = orjson.loads(base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
        kinds = [datetime if isinstance(key.type, Instant) else key.type.python_type for key in keys]
        if not isinstance(plain, list) or len(plain) != len(kinds):
            raise refusal
        values = [
            datetime.fromisoformat(value) if kind is datetime else value
            for kind, value in zip(kinds, plain, strict=True)
        ]
    except (ValueError, TypeError, binascii.Error):
        raise refusal from None
    if not all(type(value) is kind for kind, value in zip(kinds, values, strict=True)):
        raise refusal
    if any(isinstance(value, datetime) and value.tzinfo is None for value in values):
        raise refusal
    return values
