"""A finding: one unit that a detector found abnormal, how much, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

ReasonKind = Literal["line", "edge", "pair", "series", "cluster", "rule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why: one piece of evidence, in words and as data."""

    kind: ReasonKind
    summary: str  # one sentence for a person
    expected: str | None = None  # what would have been normal here
    actual: str | None = None  # what was seen instead
    event_id: str | None = None  # the raw line it rests on
    payload: Mapping[str, object] = field(default_factory=dict)  # JSON values only


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a detector says about one unit (a record, a series interval, a pair) of one tenant."""

    finding_id: str
    tenant: str
    stream: str
    detector: str
    start_at: datetime
    end_at: datetime
    score: float  # the detector's own scale; higher is more abnormal
    p_value: float  # chance of such a score in normal times, in (0, 1]
    severity: int  # 0-100, the same meaning for every detector
    summary: str
    expected: str | None
    actual: str | None
    entities: tuple[str, ...]  # `kind:value`
    trace_ids: tuple[str, ...]
    template_ids: tuple[str, ...]
    event_ids: tuple[str, ...]
    reasons: tuple[Reason, ...]  # strongest first
