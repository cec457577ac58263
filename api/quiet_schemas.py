"""What goes over the wire about keeping quiet: silences and the alert budget."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from api.schemas import Answer, Asked, Moment, Text

MatcherKind = Literal["entity", "detector", "template_id", "stream"]


class SilenceAsked(Asked):
    """Findings that match are kept but raise nothing while the silence lasts."""

    matcher: MatcherKind
    value: Text = Field(
        min_length=1,
        max_length=500,
        examples=["user:backup"],
        description="What must match; an entity or a stream may end in `*`.",
    )
    severity_below: int | None = Field(
        None, ge=1, le=100, description="Only what is less grave, so that an emergency comes through."
    )
    starts_at: Moment | None = Field(None, description="Now when absent.")
    ends_at: Moment
    reason: Text = Field(min_length=1, max_length=1000, examples=["planned maintenance"])


class Silence(Answer):
    """A silence."""

    silence_id: str
    matcher: MatcherKind
    value: str
    severity_below: int | None
    starts_at: datetime
    ends_at: datetime
    author: str
    reason: str


class Silences(Answer):
    """Every silence that is not over."""

    silences: list[Silence]


class Budget(Answer):
    """How many incidents a day people want to hear of."""

    incidents_per_day: float
    opened_last_day: int = Field(description="How many there were in the last 24 hours.")


class BudgetAsked(Asked):
    """A new budget."""

    incidents_per_day: float = Field(gt=0, le=100_000)
