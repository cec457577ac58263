"""Says in words why something is news: how much was seen without it, since when, and what is usual in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from detectors.novelty.memory import Memory
from detectors.novelty.news import Part, parts_of
from detectors.novelty.settings import NoveltySettings
from detectors.novelty.things import Facet, group_of, key_of
from detectors.words import said
from tocsin.finding import Reason

_USUAL = 3  # examples of what is usual


def explain(unit: Mapping[str, Any], memory: Memory, settings: NoveltySettings) -> tuple[Reason, ...]:
    """Reasons of one SCORES row, in the order of its unit text."""
    parts = parts_of(unit["unit"])
    event_id = next(iter(unit["event_ids"]), None)
    if not parts:
        return (Reason(kind="line", summary="nothing in this line is new", event_id=event_id),)
    row = _Row(unit, memory, settings)
    return tuple(row.reason(part, event_id) for part in parts)


class _Row:
    """One SCORES row beside what is known."""

    def __init__(self, unit: Mapping[str, Any], memory: Memory, settings: NoveltySettings) -> None:
        self._stream: str = unit["stream"]
        self._template: str = next(iter(unit["template_ids"]), "")
        self._entities: Sequence[str] = unit["entities"]
        self._memory = memory
        self._settings = settings

    def reason(self, part: Part, event_id: str | None) -> Reason:
        if part.tag == "line":
            return self._line(part.texts[0], event_id)
        if part.tag == "pair":
            return self._pair(self._exact(part.texts[0]), self._exact(part.texts[1]), event_id)
        if part.tag == "entity in line":
            return self._in_line(self._exact(part.texts[0]), part.texts[1], event_id)
        return self._value(part.tag, part.texts[0], event_id)

    def _line(self, head: str, event_id: str | None) -> Reason:
        group = group_of(self._stream, "template")
        kinds = int((self._memory.known["group"] == group).sum())
        lines = self._memory.lines(group)
        return Reason(
            kind="line",
            summary=f'new kind of line in {self._stream}: "{head}": not one like it in {lines:,} lines',
            expected=f"one of the {kinds:,} known kinds of line{self._since(group)}",
            actual=head,
            event_id=event_id,
            payload={"lines": lines, "kinds": kinds, "what": "line", "stream": self._stream},
        )

    def _value(self, facet: Facet, text: str, event_id: str | None) -> Reason:
        name = text.partition(":" if facet == "entity" else "=")[0]
        group = group_of(self._stream, facet, name)
        usual = [said(each) for each in self._memory.usual([group], among="group", top=_USUAL)]
        seen = self._memory.lines(group)
        what = name if facet == "entity" else f"field {name}"
        return Reason(
            kind="line",
            summary=f"{said(text)} never seen in {self._stream} before; {seen:,} lines named another {what}",
            expected=(", ".join(usual) or f"a known {what}") + self._since(group),
            actual=said(text),
            event_id=event_id,
            payload={"lines": seen, "what": text, "usual": usual, "stream": self._stream},
        )

    def _pair(self, one: str, other: str, event_id: str | None) -> Reason:
        ends = [self._entity_key(each) for each in (one, other)]
        groups = [group_of(self._stream, "entity", each.partition(":")[0]) for each in (one, other)]
        counts = [self._memory.count(end) for end in ends]
        # The end that was seen more is the one whose habits say something.
        subject, partner = (0, 1) if counts[0] >= counts[1] else (1, 0)
        texts = (one, other)
        usual = [said(each) for each in self._memory.partners(ends[subject], groups[partner], top=_USUAL)]
        return Reason(
            kind="pair",
            summary=f"{said(texts[subject])} with {said(texts[partner])}: never together "
            f"in {counts[subject]:,} lines of the one and {counts[partner]:,} of the other",
            expected=f"{', '.join(usual)} with {said(texts[subject])}" if usual else None,
            actual=said(texts[partner]),
            event_id=event_id,
            payload={
                "pair": [one, other],
                "lines": {one: self._memory.count(ends[0]), other: self._memory.count(ends[1])},
                "first_seen": {text: _iso(self._memory.first(end)) for text, end in zip(texts, ends, strict=True)},
                "usual": usual,
                "stream": self._stream,
            },
        )

    def _in_line(self, entity: str, head: str, event_id: str | None) -> Reason:
        template = key_of(group_of(self._stream, "template"), self._template)
        end = self._entity_key(entity)
        group = group_of(self._stream, "entity", entity.partition(":")[0])
        usual = [said(each) for each in self._memory.partners(template, group, top=_USUAL)]
        lines, of_entity = self._memory.count(template), self._memory.count(end)
        return Reason(
            kind="pair",
            summary=f'{said(entity)} never before in a line like "{head}": {lines:,} such lines, '
            f"{of_entity:,} lines of {said(entity)}",
            expected=f"{', '.join(usual)} in such lines" if usual else None,
            actual=said(entity),
            event_id=event_id,
            payload={
                "pair": [self._template, entity],
                "lines": {self._template: lines, entity: of_entity},
                "first_seen": {
                    self._template: _iso(self._memory.first(template)),
                    entity: _iso(self._memory.first(end)),
                },
                "usual": usual,
                "stream": self._stream,
            },
        )

    def _exact(self, text: str) -> str:
        """The entity of the row that a cleaned and shortened text stands for."""
        return next((entity for entity in self._entities if entity.startswith(text)), text)

    def _entity_key(self, entity: str) -> np.uint64:
        return key_of(group_of(self._stream, "entity", entity.partition(":")[0]), entity)

    def _since(self, group: np.uint64) -> str:
        """When the last news of the group came, where that says something."""
        at = self._memory.last_news(group)
        return f"; the last new one came on {_day(at)}" if at else ""


def _day(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M")


def _iso(at_ns: int) -> str | None:
    return datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at_ns else None
