"""Silences as rows, and back."""

from __future__ import annotations

from typing import Any

from alerts.silence import Matcher, Silence
from storage.rows import SilenceRow
from storage.statements import RowLike

_MATCHERS = ("entity", "template_id", "detector", "stream")


def silence_values(silence: Silence) -> dict[str, Any]:
    """The row of a silence."""
    return {
        "silence_id": silence.silence_id,
        "tenant": silence.tenant,
        "entity": silence.matcher.entity,
        "detector": silence.matcher.detector,
        "stream": silence.matcher.stream,
        "template_id": silence.matcher.template_id,
        "severity_below": silence.matcher.severity_below,
        "starts_at": silence.starts_at,
        "ends_at": silence.ends_at,
        "author": silence.author,
        "reason": silence.reason,
    }


def silence_of(row: RowLike) -> Silence:
    """The silence a row was made of."""
    matcher = Matcher(
        entity=row["entity"],
        detector=row["detector"],
        stream=row["stream"],
        template_id=row["template_id"],
        severity_below=row["severity_below"],
    )
    return Silence(
        silence_id=row["silence_id"],
        tenant=row["tenant"],
        matcher=matcher,
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        author=row["author"],
        reason=row["reason"],
    )


def silence_row(row: RowLike) -> SilenceRow:
    """A silence as reads show it."""
    matcher = next(name for name in _MATCHERS if row[name])
    return SilenceRow(
        silence_id=row["silence_id"],
        matcher=matcher,
        value=row[matcher],
        severity_below=row["severity_below"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        author=row["author"],
        reason=row["reason"],
    )
