"""Parameters that several routes take, forgiving where a mistake is common."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from api.schemas import in_utc

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


# The constraints belong to the text, so that they do not see what `_absent` makes of nothing.
_Text = Annotated[str, StringConstraints(max_length=300, pattern=TEXT_PATTERN)]
_Some = Annotated[str, StringConstraints(max_length=300, pattern=f"^{_ONE}(,{_ONE})*$")]

Since = Annotated[
    Annotated[datetime, AfterValidator(in_utc)] | None,
    BeforeValidator(_moment),
    Query(description="Only what happened at this time or later, ISO 8601; UTC when it names no zone."),
]
SeverityMin = Annotated[
    Annotated[int, Field(ge=0, le=100)],
    BeforeValidator(_zero),
    Query(description="Only what is at least this grave."),
]
Statuses = Annotated[
    _Some | None,
    BeforeValidator(_absent),
    Query(description="One status or several, separated by commas: open, acknowledged, resolved."),
]
EntityIs = Annotated[
    _Text | None, BeforeValidator(_absent), Query(description="Only what this entity takes part in, `kind:value`.")
]
StreamIs = Annotated[_Text | None, BeforeValidator(_absent), Query(description="Only of this stream.")]
DetectorIs = Annotated[_Text | None, BeforeValidator(_absent), Query(description="Only by this detector.")]
IncidentIs = Annotated[_Text | None, BeforeValidator(_absent), Query(description="Only of this incident.")]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="At most so many.")]
Cursor = Annotated[_Text | None, BeforeValidator(_absent), Query(description="`next_cursor` of the page before.")]

#: An id in the path; what cannot be one of ours is refused before storage is asked.
Id = Annotated[str, Path(max_length=128, pattern=r"^[\x21-\x7e]+$")]
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]


def statuses_of(text: str | None) -> tuple[str, ...]:
    """The statuses a parameter of type `Statuses` names."""
    return tuple(dict.fromkeys(text.split(","))) if text else ()
