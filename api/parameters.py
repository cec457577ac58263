"""Parameters that several routes take, forgiving where a mistake is common."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator

#: No NUL: PostgreSQL cannot hold one in a text.
TEXT_PATTERN = r"^[^\x00]*$"
STATUSES = ("open", "acknowledged", "resolved")
LIMIT_MAX = 1000

_ONE = f"({'|'.join(STATUSES)})"
_ZONE_SPACE = re.compile(r"(?<=:\d\d)(\.\d+)? (?=\d\d:?\d\d$)")


def _absent(value: Any) -> Any:
    """`?entity=` asks for nothing in particular."""
    return None if value == "" else value


def _zero(value: Any) -> Any:
    return 0 if value == "" else value


def _moment(value: Any) -> Any:
    # An unescaped `+02:00` arrives as ` 02:00`.
    return _absent(_ZONE_SPACE.sub(lambda found: f"{found[1] or ''}+", value) if isinstance(value, str) else value)


def _aware(value: datetime | None) -> datetime | None:
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def _text(description: str, length_max: int = 300) -> Any:
    return Query(description=description, max_length=length_max, pattern=TEXT_PATTERN)


Since = Annotated[
    datetime | None,
    BeforeValidator(_moment),
    AfterValidator(_aware),
    Query(description="Only what ended at this time or later, ISO 8601; UTC when it names no zone."),
]
SeverityMin = Annotated[
    int, BeforeValidator(_zero), Query(ge=0, le=100, description="Only what is at least this grave.")
]
Statuses = Annotated[
    str | None,
    BeforeValidator(_absent),
    Query(
        pattern=f"^{_ONE}(,{_ONE})*$",
        description="One status or several, separated by commas: open, acknowledged, resolved.",
    ),
]
EntityIs = Annotated[str | None, BeforeValidator(_absent), _text("Only what this entity takes part in, `kind:value`.")]
StreamIs = Annotated[str | None, BeforeValidator(_absent), _text("Only of this stream.")]
DetectorIs = Annotated[str | None, BeforeValidator(_absent), _text("Only by this detector.")]
IncidentIs = Annotated[str | None, BeforeValidator(_absent), _text("Only of this incident.")]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="At most so many.")]
Cursor = Annotated[str | None, BeforeValidator(_absent), _text("`next_cursor` of the page before.")]

#: An id in the path; what cannot be one of ours is refused before storage is asked.
Id = Annotated[str, Path(max_length=128, pattern=r"^[\x21-\x7e]+$")]


def statuses_of(text: str | None) -> tuple[str, ...]:
    """The statuses a parameter of type `Statuses` names."""
    return tuple(dict.fromkeys(text.split(","))) if text else ()
