"""Lines of JSON into LINES by their skeletons: what is time, message and severity is found once, and cut out of all.

Lines of which this cannot be said (a text in them is escaped, a skeleton that does not repeat, a time that cannot be
read) are left to the way that reads them one by one; both ways give the same lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl

from ingest.conventions import Asked, Reader, Row, roles_of, to_lines
from ingest.json_tokens import behind, tokens_of
from ingest.pieces import Codes, cut, cut_some, lists, numbered, numbered_rows, offsets_in, spread
from ingest.skeleton import collapse_unknown, skeletons
from ingest.stamps import nothing, times_of_numbers, times_of_parts
from tocsin.record import LINES

_NUMBER = re.compile(r"-?0+(\.0+)?([eE][+-]?0+)?")
_WORDS = {"true": True, "false": False, "null": None}
_MAY_BE_LARGE = re.compile(r"[eE]\+?0{3}|[0-9]{200}")  # of a number in a skeleton
_ISO = re.compile(r"0000-00-00([T ])00:00:00(?:[.,](0{1,9}))?(Z|[+-]00:?00)?")
_EPOCH = re.compile(r"(0{9,19})(?:\.(0{1,9}))?")
_DEPTH_MAX = 16  # deeper objects are read alone
_ASKED_MAX = 64  # message fields that senders named
_NEW_MIN, _NEW_SHARE = 16, 50  # new ones of a body: to make one takes as long as to read 20 lines alone

Place = tuple[int, int]  # the first byte and the number of bytes
Path = tuple[str, ...]


class _Member(NamedTuple):
    """A key and its value in characters; quotes are no part of a text."""

    start: int
    end: int
    value: Any  # as in the skeleton: a number is 0
    first: int  # of the value
    last: int


class _Unfit(Exception):  # noqa: N818 -- no error: the lines are read one by one
    """The lines of a skeleton have not enough in common."""


@dataclass(frozen=True, slots=True)
class _Time:
    """Where a time stands; parts that are not there are empty."""

    moment: Place
    fraction: Place
    zone: Place
    form: str  # for strptime; "" for a number


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the lines of one skeleton have in common."""

    message: Place  # empty: the whole line
    time: _Time | None
    severity_number: int | None
    severity: tuple[Place, Reader, type] | None  # where it is a number that counts
    trace: Place
    span: Place
    kept: tuple[Place, ...]  # of the line, which make the attributes


_NOWHERE: Place = (0, 0)


@dataclass(frozen=True, slots=True)
class _Shaped:
    """What was read by shape."""

    lines: pl.DataFrame  # LINES without position
    rows: Codes  # which of the texts these are


class UnreadObjects:
    """Reads JSON objects as they were sent; what it remembers is only a memory of pure work."""

    def __init__(self, *, shapes_max: int, chars_max: int) -> None:
        """Know nothing yet.

        Args:
            shapes_max: skeletons remembered of what is asked.
            chars_max: longer objects are read alone.
        """
        self._shapes_max = shapes_max
        self._chars_max = chars_max
        self._known: dict[Asked, dict[str, _Shape | None]] = {}

    def read(self, bodies: pl.Series, message_field: str | None) -> pl.DataFrame:
        """LINES of objects that were checked; the position is the place among them."""
        asked = Asked(message_field=message_field)
        shaped = _by_shape(bodies, *self._shapes(bodies, asked))
        if len(shaped.rows) == len(bodies):
            return shaped.lines.with_row_index("position").select(list(LINES))
        alone = np.ones(len(bodies), bool)
        alone[shaped.rows] = False
        rows = np.flatnonzero(alone)
        documents = [_document(text, asked) for text in bodies.gather(rows)]
        others = to_lines(documents, rows.tolist(), asked).lines
        lines = shaped.lines.with_columns(pl.Series("position", shaped.rows)).select(list(LINES))
        return pl.concat([lines, others]).sort("position")

    def _shapes(self, bodies: pl.Series, asked: Asked) -> tuple[list[_Shape | None], Codes]:
        """Shapes by code, and the code of each body."""
        known = self._of(asked)
        codes, distinct = numbered(skeletons(bodies))
        names = collapse_unknown(distinct, known)
        may_be_new = max(_NEW_MIN, len(bodies) // _NEW_SHARE)
        for name in names:
            if name not in known and may_be_new and len(name) <= self._chars_max:
                known[name] = _read(name, asked)
                may_be_new -= 1
        return [known.get(name) for name in names], codes

    def _of(self, asked: Asked) -> dict[str, _Shape | None]:
        """What is known of objects of which this was asked; begun anew when it is too much."""
        known = self._known.setdefault(asked, {})
        if len(known) > self._shapes_max or len(self._known) > _ASKED_MAX:
            self._known = {asked: {}}
        return self._known[asked]


def _by_shape(bodies: pl.Series, found: Sequence[_Shape | None], codes: Codes) -> _Shaped:
    """The bodies that have a shape."""
    fits = np.array([shape is not None for shape in found], bool)[codes]
    shapes = [shape or _NO_SHAPE for shape in found]
    rows = np.flatnonzero(fits)
    chosen = bodies if len(rows) == len(bodies) else bodies.gather(rows)
    codes = codes[rows]
    time, is_read = _times(chosen, codes, shapes)
    severity, is_level = _severities(chosen, codes, shapes)
    message = cut_some(chosen, codes, [shape.message for shape in shapes])
    frame = pl.DataFrame(
        {
            "time": time,
            "severity_number": severity,
            "body": message.zip_with(message.is_not_null(), chosen) if message.null_count() else message,
            "attributes": _attributes(chosen, codes, shapes),
            "trace_id": cut_some(chosen, codes, [shape.trace for shape in shapes]),
            "span_id": cut_some(chosen, codes, [shape.span for shape in shapes]),
            "identity": pl.Series([None], dtype=pl.String).new_from_index(0, len(rows)),
        },
        schema={name: kind for name, kind in LINES.items() if name != "position"},
    )
    is_right = is_read & is_level
    if is_right.all():
        return _Shaped(frame, rows.astype(np.uint32))
    return _Shaped(frame.filter(pl.Series(is_right)), rows[is_right].astype(np.uint32))


_decode = msgspec.json.Decoder().decode


def _document(text: str, asked: Asked) -> Row:
    """An object; where it cannot be made after all, as with a number that is out of range, its text is the message."""
    try:
        row: Row = _decode(text)
    except msgspec.DecodeError:
        return {asked.message_field or "message": text}
    return row


_NO_SHAPE = _Shape(_NOWHERE, None, None, None, _NOWHERE, _NOWHERE, ())


def _read(skeleton: str, asked: Asked) -> _Shape | None:
    try:
        members = _Members(skeleton)
        return _shape(skeleton, members, asked)
    except _Unfit:
        return None


class _Members:
    """The members of an object and of the objects in it, by path."""

    def __init__(self, skeleton: str) -> None:
        self.groups: list[list[Path]] = []  # of each object, in order
        self.by_path: dict[Path, _Member] = {}
        self._text = skeleton
        self._tokens = tokens_of(skeleton)
        if not skeleton.startswith("{") or "\\" in skeleton:
            raise _Unfit
        self.document = self._object(1, ())[1]

    def _object(self, at: int, before: Path) -> tuple[int, dict[str, Any]]:
        """The token behind an object that began before `at`, and the object."""
        if len(before) >= _DEPTH_MAX:
            raise _Unfit
        group: list[Path] = []
        self.groups.append(group)
        document: dict[str, Any] = {}
        while self._sign(at) != "}":
            at += self._sign(at) == ","
            start, end = self._tokens[at]
            path = (*before, self._text[start + 1 : end - 1])
            if "0" in path[-1] or path in self.by_path:
                raise _Unfit  # a key that holds digits is another key in another line
            first = self._tokens[at + 2][0]
            at, value = self._value(at + 2, path)
            last = self._tokens[at - 1][1]
            is_text = isinstance(value, str)
            self.by_path[path] = _Member(start, last, value, first + is_text, last - is_text)
            group.append(path)
            document[path[-1]] = value
        return at + 1, document

    def _value(self, at: int, path: Path) -> tuple[int, Any]:
        sign = self._sign(at)
        if sign == "{":
            return self._object(at + 1, path)
        if sign == "[":
            end = behind(self._text, self._tokens, at + 1)
            for inner in range(at + 1, end):
                if self._sign(inner) in "-0":
                    self._number(inner)
            return end, []
        start, end = self._tokens[at]
        if sign == '"':
            return at + 1, self._text[start + 1 : end - 1]
        word = self._text[start:end]
        if word in _WORDS:
            return at + 1, _WORDS[word]
        return at + 1, self._number(at)

    def _number(self, at: int) -> float:
        start, end = self._tokens[at]
        number = _NUMBER.fullmatch(self._text, start, end)
        if number is None:
            raise _Unfit  # it has so many digits and an e that it looks like an id
        if _MAY_BE_LARGE.search(self._text, start, end):
            raise _Unfit  # whether it is within the range of numbers depends on its digits
        return 0.0 if number[1] or number[2] else 0

    def _sign(self, at: int) -> str:
        return self._text[self._tokens[at][0]]


def _shape(skeleton: str, members: _Members, asked: Asked) -> _Shape:
    roles = roles_of(tuple(members.document), asked)
    offsets = offsets_in(skeleton)

    def place(member: _Member) -> Place:
        return offsets[member.first], offsets[member.last] - offsets[member.first]

    taken: list[Path] = []
    message = _first(roles.message, members, taken)
    if message is not None and not isinstance(message[0].value, str):
        raise _Unfit
    severity = _first(roles.severity, members, taken, asking=lambda member: _counts(skeleton, member))
    trace, span = _first(roles.trace, members, taken), _first(roles.span, members, taken)
    when = next((path for path in roles.times if path in members.by_path), None)
    time = None
    if when is not None:
        time = _time(skeleton, members.by_path[when], offsets)
        taken.append(when)
    counts = severity is not None and _counts(skeleton, severity[0])
    return _Shape(
        message=_NOWHERE if message is None else place(message[0]),
        time=time,
        severity_number=None if severity is None or counts else severity[1](severity[0].value),
        severity=(place(severity[0]), severity[1], type(severity[0].value)) if severity and counts else None,
        trace=_NOWHERE if trace is None else place(trace[0]),
        span=_NOWHERE if span is None else place(span[0]),
        kept=tuple(_kept(members, frozenset(taken), offsets)),
    )


def _first(
    fields: Sequence[tuple[Path, Reader]],
    members: _Members,
    taken: list[Path],
    asking: Callable[[_Member], bool] = lambda _member: False,
) -> tuple[_Member, Reader] | None:
    """The first field that is what it is called; one whose digits count is taken for it, and asked line by line."""
    for path, read in fields:
        member = members.by_path.get(path)
        if member is not None and path not in taken and (asking(member) or read(member.value) is not None):
            taken.append(path)
            return member, read
    return None


def _counts(skeleton: str, member: _Member) -> bool:
    """Whether the value depends on its digits."""
    return type(member.value) in {str, int, float} and "0" in skeleton[member.first : member.last]


def _time(skeleton: str, member: _Member, offsets: Sequence[int]) -> _Time:
    if not isinstance(member.value, (str, int, float)) or isinstance(member.value, bool):
        raise _Unfit

    def part(match: re.Match[str], group: int) -> Place:
        start, end = match.span(group)
        return _NOWHERE if start < 0 else (offsets[start], end - start)

    iso = _ISO.fullmatch(skeleton, member.first, member.last)
    if iso:
        return _Time((offsets[member.first], 19), part(iso, 2), part(iso, 3), f"%Y-%m-%d{iso[1]}%H:%M:%S")
    epoch = _EPOCH.fullmatch(skeleton, member.first, member.last)
    if epoch is None:
        raise _Unfit
    return _Time(part(epoch, 1), part(epoch, 2), _NOWHERE, "")


def _kept(members: _Members, taken: frozenset[Path], offsets: Sequence[int]) -> Iterator[Place]:
    """What is left of the line without the members that were taken, with one comma less each."""
    out: list[tuple[int, int]] = []
    for group in members.groups:
        spans = [members.by_path[path] for path in group]
        last = max((at for at, path in enumerate(group) if path not in taken), default=None)
        if last is None:
            out += [(spans[0].start, spans[-1].end)] if spans else []
            continue
        out += [(spans[at].start, spans[at + 1].start) for at, path in enumerate(group[:last]) if path in taken]
        if last + 1 < len(group):
            out.append((spans[last].end, spans[-1].end))
    place = 0
    for start, end in sorted(out):
        if start < place:
            continue  # inside of what is out already
        yield offsets[place], offsets[start] - offsets[place]
        place = end
    yield offsets[place], offsets[-1] - offsets[place]


def _times(bodies: pl.Series, codes: Codes, shapes: Sequence[_Shape]) -> tuple[pl.Series, np.typing.NDArray[np.bool_]]:
    """The time of each line, and whether it could be read where there is one."""
    times = nothing(len(bodies))
    is_read = np.ones(len(bodies), bool)
    forms = np.array([-1 if shape.time is None else _form(shape.time.form) for shape in shapes])[codes]
    for form in np.unique(forms[forms >= 0]).tolist():
        rows = np.flatnonzero(forms == form)
        found = [shape.time or _NO_TIME for shape in shapes]
        some, of_row = (bodies, codes) if len(rows) == len(bodies) else (bodies.gather(rows), codes[rows])
        moment = cut_some(some, of_row, [time.moment for time in found])
        fraction = cut_some(some, of_row, [time.fraction for time in found])
        if _FORMS[form]:
            zone = cut_some(some, of_row, [time.zone for time in found])
            read = times_of_parts(moment, fraction, zone, _FORMS[form])
        else:
            read = times_of_numbers(moment.cast(pl.Int64, strict=False), fraction)
        is_read[rows] = read.is_not_null().to_numpy()
        times = read if len(rows) == len(bodies) else times.scatter(rows, read)
    return times, is_read


_NO_TIME = _Time(_NOWHERE, _NOWHERE, _NOWHERE, "")
_FORMS = ("", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")
_form = _FORMS.index


def _severities(
    bodies: pl.Series, codes: Codes, shapes: Sequence[_Shape]
) -> tuple[pl.Series, np.typing.NDArray[np.bool_]]:
    """The severity of each line, and whether it could be read where there is one."""
    severity = pl.Series([shape.severity_number for shape in shapes], dtype=pl.Int8).gather(codes)
    readers: dict[tuple[Reader, type], int] = {}
    places = [_NOWHERE] * len(shapes)
    of_code: list[int | None] = [None] * len(shapes)
    for code, shape in enumerate(shapes):
        if shape.severity is not None:
            places[code], read, kind = shape.severity
            of_code[code] = readers.setdefault((read, kind), len(readers))
    if not readers:
        return severity, np.ones(len(bodies), bool)
    text = cut_some(bodies, codes, places)
    of_row = pl.Series(of_code, dtype=pl.UInt32).gather(codes)
    keys, distinct = numbered_rows(pl.DataFrame({"reader": of_row, "text": text}))
    known = list(readers)
    levels = [None if number is None else _level(known[number], one) for number, one in distinct.iter_rows()]
    stated = pl.Series(levels, dtype=pl.Int8).gather(keys)
    is_read = (of_row.is_null() | stated.is_not_null()).to_numpy()
    return stated.zip_with(of_row.is_not_null(), severity), is_read


def _level(known: tuple[Reader, type], text: str) -> Any:
    read, kind = known
    return read(kind(text))


def _attributes(bodies: pl.Series, codes: Codes, shapes: Sequence[_Shape]) -> pl.Series:
    rows, picked = spread(codes, [len(shape.kept) for shape in shapes])
    if not len(rows):
        return pl.Series([], dtype=pl.String)
    table = np.array([place for shape in shapes for place in shape.kept], np.int32)[picked]
    pieces = cut(bodies.gather(rows), table[:, 0], table[:, 1])
    return lists(rows, pieces, len(bodies)).list.join("")
