"""Silences: what somebody decided not to be told about, for a while, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tocsin.errors import InputError
from tocsin.finding import Finding

TEXT_CHARS_MAX = 1000  # of an author or a reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """Which findings: everything that is given must hold. `entity` and `stream` may end in `*`."""

    entity: str | None = None  # `kind:value`; one of the finding's entities
    detector: str | None = None
    stream: str | None = None
    template_id: str | None = None
    severity_below: int | None = None  # so that a silence of noise lets an emergency through

    def __post_init__(self) -> None:
        """Refuse a matcher that names nothing: it would silence everything."""
        if not any((self.entity, self.detector, self.stream, self.template_id)):
            raise InputError("silence: name an entity, a detector, a stream or a template")
        if self.entity is not None and ":" not in self.entity:
            raise InputError(f"silence: entity must be kind:value, got {self.entity!r}")
        if self.severity_below is not None and not 0 < self.severity_below <= 100:
            raise InputError(f"silence: severity_below must be 1 to 100, got {self.severity_below}")

    def matches(self, finding: Finding) -> bool:
        """Whether all that is given holds for `finding`."""
        return (
            (self.entity is None or any(_like(entity, self.entity) for entity in finding.entities))
            and (self.detector is None or finding.detector == self.detector)
            and (self.stream is None or _like(finding.stream, self.stream))
            and (self.template_id is None or self.template_id in finding.template_ids)
            and (self.severity_below is None or finding.severity < self.severity_below)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Who silenced what, until when, and why: all of it is mandatory.

    Raises:
        InputError: author or reason is missing or too long, or it ends before it starts.
    """

    silence_id: str
    tenant: str
    matcher: Matcher
    starts_at: datetime
    ends_at: datetime
    author: str
    reason: str

    def __post_init__(self) -> None:
        """Refuse a silence nobody answers for."""
        for name, text in (("author", self.author), ("reason", self.reason)):
            if not text.strip():
                raise InputError(f"silence: {name} is missing")
            if len(text) > TEXT_CHARS_MAX:
                raise InputError(f"silence: {name} has {len(text)} characters, at most {TEXT_CHARS_MAX} are allowed")
        if self.starts_at.tzinfo is None or self.ends_at.tzinfo is None:
            raise InputError("silence: starts_at and ends_at need a time zone")
        if self.ends_at <= self.starts_at:
            raise InputError("silence: ends_at must be after starts_at")


def silenced(finding: Finding, silences: Iterable[Silence], now: datetime) -> Silence | None:
    """The silence that covers `finding` at `now` (event time), the one that ends last; None when there is none."""
    covering = [
        silence
        for silence in silences
        if silence.tenant == finding.tenant
        and silence.starts_at <= now < silence.ends_at
        and silence.matcher.matches(finding)
    ]
    return max(covering, key=lambda silence: (silence.ends_at, silence.silence_id), default=None)


def _like(value: str, pattern: str) -> bool:
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern
