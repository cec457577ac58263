"""The shapes of lines: everything that is read off a skeleton once, whatever number of lines have it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from ingest.entities import entity
from ingest.fields import find
from ingest.header import Header, Place, begin
from ingest.mask import WILDCARD, Masked, mask
from ingest.pieces import Codes
from ingest.skeleton import collapse, skeleton, skeletons
from ingest.values import Span
from ingest.words import RANKED_KINDS

OWN = ("trace", "span")  # found like entities, but columns of the record
_GARBAGE_SHARE = 0.3  # of characters that are no text; more make a line binary, chosen, not measured
_PLANS_MAX = 8  # of one shape: it has one for each stream's template, and templates seldom change
_KINDS = sorted((*RANKED_KINDS, *OWN), key=lambda kind: f"{kind}:")
_RANKS = {kind: rank for rank, kind in enumerate(RANKED_KINDS)}


@dataclass(frozen=True, slots=True)
class Message:
    """A line without its header, as a skeleton."""

    masked: Masked
    fields: tuple[Span, ...]
    is_object: bool  # it may be JSON


@dataclass(frozen=True, slots=True)
class Plan:
    """What is cut out of the lines of one shape that have one template; places are bytes.

    Attributes:
        entities: int32 (n, 4): kind, start, length, and the number of the constant or -1; in the order of the entities
            in a record, as far as it is known before they are cut.
        parameters: int32 (n, 2): start, length.
        own: start and length of the record's own ids.
    """

    entities: np.typing.NDArray[np.int32]
    parameters: np.typing.NDArray[np.int32]
    own: dict[str, Place]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much of a line is kept."""

    tokens_max: int
    parameters_max: int
    parameter_chars_max: int
    entities_max: int


class Shapes:
    """Skeletons known so far; only a memory of pure work, so what is forgotten is read again with the same result."""

    def __init__(self, *, shapes_max: int, extent: Extent) -> None:
        self._shapes_max = shapes_max
        self._extent = extent
        self._known: dict[str, Shape] = {}
        self._messages: dict[str, Message] = {}
        self._constants: dict[str, int] = {}  # entities as written, and their numbers

    @property
    def constants(self) -> pl.Series:
        """Entities by the numbers that plans have for them."""
        return pl.Series(list(self._constants), dtype=pl.String)

    def of(self, texts: pl.Series) -> tuple[list[Shape], Codes]:
        """Distinct shapes of texts, in the order they first appear, and which of them each text has."""
        self._forget()
        frame = pl.DataFrame({"skeleton": skeletons(texts)})
        distinct = frame.unique(maintain_order=True)
        shapes: dict[int, int] = {}  # identity of a shape -> code
        found: list[Shape] = []
        codes = []
        for shape in self._look_up(distinct["skeleton"]):
            code = shapes.setdefault(id(shape), len(found))
            if code == len(found):
                found.append(shape)
            codes.append(code)
        coded = distinct.with_columns(pl.Series("code", codes, dtype=pl.UInt32))
        return found, frame.join(coded, on="skeleton", how="left", maintain_order="left")["code"].to_numpy()

    def plan(self, shape: Shape, template: tuple[str, ...]) -> Plan:
        """What is cut out of lines of `shape` whose template has these tokens."""
        plan = shape.plans.get(template)
        if plan is None:
            if len(shape.plans) >= _PLANS_MAX:
                shape.plans = {}
            plan = shape.plans[template] = self._planned(shape, template)
        return plan

    def _look_up(self, distinct: pl.Series) -> list[Shape]:
        names = distinct.to_list()
        found = list(map(self._known.get, names))
        new = [at for at, shape in enumerate(found) if shape is None]
        if new:
            # Ids make most skeletons that are not known; without their letters many are
            for at, name in zip(new, collapse(distinct.gather(new)).to_list(), strict=True):
                shape = self._known.get(name)
                if shape is None:
                    shape = self._known[name] = self._read(name)
                found[at] = shape
        return found  # type: ignore[return-value]  # what was not known is now

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
            self._known, self._messages, self._constants = {}, {}, {}

    def _planned(self, shape: Shape, template: tuple[str, ...]) -> Plan:
        at, before = shape.bytes_at, shape.header.start
        spans = [(kind, at[before + start], at[before + end]) for kind, start, end in shape.message.fields]
        line = shape.skeleton.encode()
        own = {kind: (start, end - start) for kind, start, end in reversed(spans) if kind in OWN}
        found = [span for span in spans if span[0] not in OWN]
        found += [(kind, *place) for kind, place in shape.header.entities()]
        limit = self._extent.parameter_chars_max
        parameters = [
            (at[before + start], at[before + min(end, start + limit)] - at[before + start])
            for start, end in _parameters(shape.message.masked, template)
        ]
        return Plan(
            entities=self._entities(found, line),
            parameters=np.array(parameters[: self._extent.parameters_max], np.int32).reshape(-1, 2),
            own=own,
        )

    def _entities(self, found: list[tuple[str, int, int]], line: bytes) -> np.typing.NDArray[np.int32]:
        """Rows of a plan; of too many the most telling kinds are kept."""
        rows: dict[tuple[int, str, int, int], int] = {}
        for kind, start, end in sorted(found, key=lambda span: _RANKS[span[0]]):
            text = line[start:end]
            if b"0" in text or b"1" in text:
                rows.setdefault((_KINDS.index(kind), "", start, end - start), -1)
                continue
            written = entity(kind, text.decode())
            if written is not None:
                number = self._constants.setdefault(written, len(self._constants))
                rows.setdefault((_KINDS.index(kind), written, 0, 0), number)
        kept = sorted(list(rows.items())[: self._extent.entities_max])
        table = [(kind, start, length, number) for (kind, _, start, length), number in kept]
        return np.array(table, np.int32).reshape(-1, 4)


def kind_of(number: int) -> str:
    """The kind that a plan means by a number."""
    return _KINDS[number]


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
    """What varies: a whole token where the template has `<*>`, else the masked parts of the token."""
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
        if token == WILDCARD:
            yield start, end
        else:
            yield from inside
