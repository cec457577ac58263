"""The shapes of lines: everything that is read off a skeleton once, whatever number of lines have it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from ingest.entities import entity
from ingest.fields import find
from ingest.header import Header, begin
from ingest.likeness import varying
from ingest.mask import WILDCARD, Masked, mask
from ingest.pieces import Codes, numbered
from ingest.plans import OWN, Constants, Extent, Place, Plan, entity_table, parameter_table
from ingest.skeleton import collapse_unknown, skeleton, skeletons
from ingest.values import Span

_GARBAGE_SHARE = 0.3  # of characters that are no text; more make a line binary, chosen, not measured
_PLANS_MAX = 8  # of one shape: it has one for each stream's template, and templates seldom change


@dataclass(frozen=True, slots=True)
class Message:
    """A line without its header, as a skeleton."""

    masked: Masked
    fields: tuple[Span, ...]
    is_object: bool  # it may be JSON


@dataclass(slots=True)
class Shape:
    """What the lines of one skeleton have in common."""

    skeleton: str
    header: Header
    message: Message
    bytes_at: Sequence[int]  # byte offset of each character
    plans: dict[tuple[str, ...], Plan] = field(default_factory=dict)  # by the tokens of the template

    @property
    def is_text(self) -> bool:
        """Whether there is anything to parse: not empty, not binary."""
        return bool(self.message.masked.text)


class Shapes:
    """Skeletons known so far; only a memory of pure work, so what is forgotten is read again with the same result."""

    def __init__(self, *, shapes_max: int, extent: Extent) -> None:
        self._shapes_max = shapes_max
        self._extent = extent
        self._known: dict[str, Shape] = {}
        self._messages: dict[str, Message] = {}
        self.constants = Constants()  # of the plans

    def of(self, texts: pl.Series) -> tuple[list[Shape], Codes]:
        """Distinct shapes of texts, in the order they first appear, and which of them each text has."""
        self._forget()
        codes_of_rows, distinct = numbered(skeletons(texts))
        codes: dict[str, int] = {}
        found: list[Shape] = []
        of_skeleton = []
        for name in collapse_unknown(distinct, self._known):
            code = codes.setdefault(name, len(found))
            if code == len(found):
                if name not in self._known:
                    self._known[name] = self._read(name)
                found.append(self._known[name])
            of_skeleton.append(code)
        return found, np.array(of_skeleton, np.uint32)[codes_of_rows]

    def plan(self, shape: Shape, template: tuple[str, ...]) -> Plan:
        """What is cut out of lines of `shape` whose template has these tokens."""
        plan = shape.plans.get(template)
        if plan is None:
            if len(shape.plans) >= _PLANS_MAX:
                shape.plans = {}
            plan = shape.plans[template] = self._planned(shape, template)
        return plan

    def _read(self, line: str) -> Shape:
        if _is_garbage(line):
            return Shape(line, Header(), Message(Masked("", (), ()), (), is_object=False), ())
        header = Header() if line.startswith("{") else begin(line)
        text = skeleton(line[header.start :])
        message = self._messages.get(text)
        if message is None:
            fields = find(text)
            masked = mask(text, fields, tokens_max=self._extent.tokens_max)
            is_object = text.startswith("{") and text.endswith("}")
            message = self._messages[text] = Message(masked, fields, is_object)
        return Shape(line, header, message, _bytes_at(line))

    def _forget(self) -> None:
        """Begin anew when there are too many: what is in use is read again at once."""
        if len(self._known) > self._shapes_max:
            self._known, self._messages, self.constants = {}, {}, Constants()

    def _planned(self, shape: Shape, template: tuple[str, ...]) -> Plan:
        at, before = shape.bytes_at, shape.header.start
        line = shape.skeleton.encode()
        spans = [(kind, at[before + start], at[before + end]) for kind, start, end in shape.message.fields]
        spans += [(kind, *place) for kind, place in shape.header.entities()]
        texts: list[str | None] = []
        places: list[tuple[str, Place]] = []
        own: dict[str, Place] = {}
        for kind, start, end in spans:
            text = line[start:end]
            if kind in OWN:
                own.setdefault(kind, (start, end - start))
            elif b"0" in text or b"1" in text:
                places.append((kind, (start, end - start)))
            else:
                texts.append(entity(kind, text.decode()))
        limit = self._extent.parameter_chars_max
        parameters = [
            (at[before + start], at[before + min(end, start + limit)] - at[before + start])
            for start, end in _parameters(shape.message.masked, template)
        ]
        return Plan(
            entities=entity_table(filter(None, texts), places, self.constants, self._extent.entities_max),
            parameters=parameter_table(parameters, self.constants, self._extent.parameters_max),
            own=own,
        )


def _is_garbage(line: str) -> bool:
    if line.isprintable():
        return False
    strange = sum(character == "\ufffd" or (character < " " and not character.isspace()) for character in line)
    return strange > _GARBAGE_SHARE * len(line)


def _bytes_at(line: str) -> Sequence[int]:
    if line.isascii():
        return range(len(line) + 1)
    offsets = [0]
    for character in line:
        offsets.append(offsets[-1] + len(character.encode()))
    return offsets


def _parameters(masked: Masked, template: tuple[str, ...]) -> Iterable[Place]:
    """What varies: what stands where the template has `<*>`, else the masked parts of the token."""
    spans = list(masked.spans)
    if len(template) != len(masked.tokens):
        yield from ((span.start, span.end) for span in spans)
        return
    place = 0
    for token, (start, end) in zip(template, masked.tokens, strict=True):
        inside = []
        while place < len(spans) and spans[place].start < end:
            inside.append((spans[place].start, spans[place].end))
            place += 1
        if WILDCARD in token:
            yield varying(token, start, end)
        else:
            yield from inside
