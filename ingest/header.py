"""Takes the usual beginning of a log line apart: time, severity, host, program, and where the message begins.

It is found once on a skeleton (`begin`) and then cut out of all lines of it (`times_in`, `severities_in`). Before any
of the forms (header_forms.py) may stand the priority of syslog, `<34>`.
"""

from __future__ import annotations

import re
from calendar import isleap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl

from ingest.header_forms import LEADS, TAGGED, TAILS, WHOLES, Form
from ingest.pieces import Codes, cut, numbered
from ingest.severity import SYSLOG, of_level
from ingest.skeleton import skeletons
from ingest.stamps import nothing, times_of_numbers, times_of_parts
from tocsin.record import TIME

#: What `headers` returns. `start` counts bytes of the line's UTF-8; 0 where the whole line is the message.
HEADER: dict[str, pl.DataType] = {
    "time": TIME,
    "severity_number": pl.Int8(),
    "host": pl.String(),
    "process": pl.String(),
    "pid": pl.String(),
    "start": pl.UInt32(),
}

Place = tuple[int, int]

_HEAD_CHARS = 512  # of a line; no header is longer, but for
_MODERN_CHARS = 4096  # the structured data of RFC 5424
_PRIORITY = re.compile(r"<([0-9]{1,3})>")
_LOGFMT_LEVEL = re.compile(r"(?:^|\s)(?:level|lvl|severity)=\"?([A-Za-z]+)")
_LEAP_YEAR = 2000
_LEAP_DAY = 59  # of the year, from 0
_DAY_NS = 86_400 * 10**9
_LEAP_YEAR_NS = 946_684_800 * 10**9  # when that year began
_NULL_NS = np.iinfo(np.int64).min
_YEARS_BACK = 12  # the 29th of February may be eight years ago; lines that arrive together may arrive years apart


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the message in the lines of one skeleton; places are bytes [start, end)."""

    form: Form | None = None
    places: Mapping[str, Place] = field(default_factory=dict)  # of the groups that matched
    severity_number: int | None = None
    start: int = 0  # of the message, in characters

    def entities(self) -> list[tuple[str, Place]]:
        """Where host, process and pid stand, as far as they do."""
        return [(kind, self.places[kind]) for kind in ("host", "process", "pid") if kind in self.places]


_NONE = Header()


def begin(skeleton: str) -> Header:
    """Find the header of the lines of a skeleton, which are no JSON objects."""
    priority = _PRIORITY.match(skeleton)
    if priority is None:
        head = skeleton[:_HEAD_CHARS]
        found = _match(head)
        return _header(head, found, 0, {}) if found else _NONE
    before = priority.end()
    head = skeleton[before : before + _MODERN_CHARS]
    places = {"priority": priority.span(1)}
    found = _match(head) or _matched(TAGGED, head)
    return _header(head, found, before, places) if found else Header(None, places, None, before)


def headers(bodies: pl.Series, *, observed_time: datetime) -> pl.DataFrame:
    """Take lines apart.

    Args:
        bodies: the lines, String, without nulls.
        observed_time: when they arrived; dates without a year take the year that puts them nearest before it.

    Returns:
        HEADER, one row a line; nulls where a line does not say.
    """
    codes, distinct = numbered(skeletons(bodies))
    found = [_NONE if text.startswith("{") else begin(text) for text in distinct]
    observed = pl.Series([observed_time], dtype=TIME).new_from_index(0, len(bodies))
    starts = [len(text[: header.start].encode()) for text, header in zip(distinct, found, strict=True)]
    columns = {
        "time": times_in(bodies, codes, found, observed),
        "severity_number": severities_in(bodies, codes, found),
        **{name: _cut_group(bodies, codes, found, name) for name in ("host", "process", "pid")},
        "start": pl.Series(np.array(starts, np.uint32)[codes]),
    }
    return pl.DataFrame(columns, schema=HEADER)


def times_in(bodies: pl.Series, codes: Codes, found: Sequence[Header], observed: pl.Series) -> pl.Series:
    """The time that each line states; null where it states none.

    Args:
        bodies: the lines.
        codes: which header each has.
        found: headers by code.
        observed: when each line arrived; dates without a year take the one that puts them nearest before it.
    """
    numbers: dict[int, int] = {}
    forms = [header.form for header in found]
    form_of_code = np.array([-1 if form is None else numbers.setdefault(id(form), len(numbers)) for form in forms])
    if not numbers:
        return nothing(len(bodies))
    distinct = {id(form): form for form in forms if form is not None}
    form_of_row = form_of_code[codes]
    if len(numbers) == 1 and form_of_row.min() >= 0:
        (form,) = distinct.values()
        return _time(bodies, codes, found, form, observed)
    time = nothing(len(bodies))
    for identity, number in numbers.items():
        rows = np.flatnonzero(form_of_row == number)
        part = _time(bodies.gather(rows), codes[rows], found, distinct[identity], observed.gather(rows))
        time = time.scatter(rows, part)
    return time


def severities_in(bodies: pl.Series, codes: Codes, found: Sequence[Header]) -> pl.Series:
    """The severity that each line states, Int8; null where it states none. A priority of syslog says it best."""
    by_code = pl.Series([header.severity_number for header in found], dtype=pl.Int8)
    severity = by_code.gather(codes)
    if any("priority" in header.places for header in found):
        facility_and_severity = _cut_group(bodies, codes, found, "priority").cast(pl.UInt32)
        stated = pl.Series(np.array(SYSLOG, np.int8)).gather(facility_and_severity % 8)
        severity = stated.zip_with(stated.is_not_null(), severity)
    return severity.alias("severity_number")


class _Found(NamedTuple):
    """What matched; places are characters."""

    form: Form
    end: int
    groups: dict[str, Place]


def _match(head: str) -> _Found | None:
    """The first form that matches."""
    # Wholes before leads: a lead also matches the beginning of some wholes.
    for form in WHOLES:
        found = _matched(form, head)
        if found:
            return found
    for form in LEADS:
        found = _matched(form, head)
        if found:
            behind = head[found.end :]
            tail = next(filter(None, (_matched(tail, behind) for tail in TAILS)), None)
            if tail is None:
                return found
            moved = {name: (found.end + start, found.end + end) for name, (start, end) in tail.groups.items()}
            return _Found(form, found.end + tail.end, found.groups | moved)
    return None


def _matched(form: Form, head: str) -> _Found | None:
    match = form.read(head)
    if match is None:
        return None
    groups = {name: match.span(name) for name in match.re.groupindex}
    return _Found(form, match.end(), {name: place for name, place in groups.items() if place[0] >= 0})


def _header(head: str, found: _Found, before: int, places: dict[str, Place]) -> Header:
    """What was found in `head`, which has so many characters before it, all ASCII."""
    groups, form = found.groups, found.form
    level = head[slice(*groups["level"])] if "level" in groups else None
    if level is None and not form.starts:
        logfmt = _LOGFMT_LEVEL.search(head)
        level = logfmt[1] if logfmt else None
    for name, (first, last) in groups.items():
        if name != "level" and head[first:last] != "-":
            places[name] = (before + len(head[:first].encode()), before + len(head[:last].encode()))
    start = before + found.end if form.starts else before
    return Header(form, places, None if level is None else of_level(level), start)


def _cut_group(bodies: pl.Series, codes: Codes, found: Sequence[Header], name: str) -> pl.Series:
    """What a group holds in each line; null where it is not there."""
    places = [header.places.get(name) for header in found]
    if not any(places):
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(bodies))
    starts = np.array([0 if place is None else place[0] for place in places], np.uint32)[codes]
    lengths = np.array([0 if place is None else place[1] - place[0] for place in places], np.uint32)[codes]
    pieces = cut(bodies, starts, lengths)
    if all(places):
        return pieces
    return pieces.set(pl.Series(np.array([place is None for place in places])[codes]), None)


def _time(bodies: pl.Series, codes: Codes, found: Sequence[Header], form: Form, observed: pl.Series) -> pl.Series:
    """Times of lines that all begin with one form."""
    names = {name for header in found if header.form is form for name in header.places}
    own = [header if header.form is form else _NONE for header in found]
    parts = {name: _cut_group(bodies, codes, own, name) for name in names & _OF_TIME}
    if "epoch" in parts:
        return times_of_numbers(parts["epoch"].cast(pl.Int64, strict=False), parts.get("fraction"))
    if not form.strptime or "date" not in parts:
        return nothing(len(bodies))
    words = [parts["date"], *([parts["year"]] if "year" in parts else []), parts["clock"]]
    moment = pl.select(pl.concat_str(words, separator=" ")).to_series()
    fraction, zone = parts.get("fraction"), parts.get("zone")
    if "%Y" in form.strptime or "%y" in form.strptime:
        return times_of_parts(moment, fraction, zone, form.strptime)
    leap = times_of_parts(f"{_LEAP_YEAR} " + moment, fraction, zone, f"%Y {form.strptime}")
    return _in_nearest_year(leap, observed)


_OF_TIME = {"date", "clock", "fraction", "zone", "year", "epoch"}


def _in_nearest_year(times: pl.Series, observed: pl.Series) -> pl.Series:
    """Move times of a leap year into the latest year that puts them before `observed`."""
    is_open = times.is_not_null().to_numpy()
    day, within = np.divmod(times.to_physical().fill_null(_LEAP_YEAR_NS).to_numpy(), _DAY_NS)
    of_year = day - _LEAP_YEAR_NS // _DAY_NS
    latest = observed.to_physical().to_numpy() + _DAY_NS  # a clock in another zone may be so far ahead
    last = observed.dt.year().max()
    assert isinstance(last, int), "every line has arrived"
    answer = np.full(len(times), _NULL_NS, np.int64)
    for year in range(last + 1, last - _YEARS_BACK, -1):
        # The 29th of February falls to the latest year that has one
        moved = _days_of(year)[of_year] * _DAY_NS + within
        fits = is_open & (moved <= latest) & (isleap(year) | (of_year != _LEAP_DAY))
        answer[fits] = moved[fits]
        is_open &= ~fits
        if not is_open.any():
            break
    found = pl.Series("time", answer)
    return found.set(found == _NULL_NS, None).cast(TIME)


@lru_cache(maxsize=64)
def _days_of(year: int) -> np.typing.NDArray[np.int64]:
    """Days since 1970 of the 366 days of a leap year as they are in another year; its 29th of February is its 28th."""
    first = date(year, 1, 1).toordinal() - date(1970, 1, 1).toordinal()
    days = np.arange(366) + first
    if not isleap(year):
        days[_LEAP_DAY:] -= 1
    return days
