"""Times out of what senders write: texts in the usual forms and numbers since 1970, a column at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl

from tocsin.record import TIME

_SECOND = 1_000_000_000
#: Numbers below the first count seconds (up to the year 5138), below the second milliseconds (from 1973 on), ...
_UNITS = ((10**11, _SECOND), (10**14, _SECOND // 10**3), (10**17, _SECOND // 10**6))
_NS_MAX = 9_223_372_036_854_775_807  # the year 2262
_YEARS = (1678, 2261)  # what fits whole into nanoseconds
# [0-9], not \d: digits of other scripts are no time, and the regex is twice as fast.
_ZONE = r"[ ]?(?<zone>Z|z|UTC|GMT|[+-][0-9][0-9](?::?[0-9][0-9])?)"
_CLOCK = r"(?<clock>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,](?<fraction>[0-9]{1,9})[0-9]*)?"
_DAY = r"(?<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"


@dataclass(frozen=True, slots=True)
class Stamp:
    """One way to write a time.

    Attributes:
        pattern: Rust regex with the groups `date` and `clock`, and maybe `year`, `fraction` and `zone`.
        form: strptime form of date, clock and year written one after the other.
    """

    pattern: str
    form: str


#: Tried in this order on what the ones before did not read. A time without a zone is taken as UTC.
STAMPS = (
    Stamp(rf"^ *{_DAY}[Tt ]{_CLOCK}(?:{_ZONE})? *$", "%Y-%m-%d%H:%M:%S"),
    Stamp(rf"^ *(?<date>[0-9]{{4}}/[0-9]{{2}}/[0-9]{{2}})[Tt ]{_CLOCK}(?:{_ZONE})? *$", "%Y/%m/%d%H:%M:%S"),
    Stamp(
        rf"^(?:[A-Z][a-z]{{2}}, ?)?(?<date>[0-9]{{1,2}} [A-Z][a-z]{{2}} [0-9]{{4}}) {_CLOCK}(?: \(?{_ZONE}\)?)?$",
        "%d %b %Y%H:%M:%S",
    ),
    Stamp(rf"^\[?(?<date>[0-9]{{2}}/[A-Z][a-z]{{2}}/[0-9]{{4}}):{_CLOCK}(?:{_ZONE})?\]?$", "%d/%b/%Y%H:%M:%S"),
    Stamp(
        r"^[A-Z][a-z]{2} (?<date>[A-Z][a-z]{2} [ 0-9]?[0-9] )"
        r"(?<clock>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.(?<fraction>[0-9]{1,9}))?(?: (?<zone>UTC|GMT))?(?<year> [0-9]{4})$",
        "%b %e %H:%M:%S %Y",
    ),
    Stamp(
        r"^(?<date>[0-9]{8})[Tt]?(?<clock>[0-9]{6})(?:[.,](?<fraction>[0-9]{1,9}))?(?<zone>Z|[+-][0-9]{4})?$",
        "%Y%m%d%H%M%S",
    ),
    Stamp(rf"^{_DAY}[Tt ](?<clock>[0-9]{{2}}:[0-9]{{2}})(?:{_ZONE})?$", "%Y-%m-%d%H:%M"),
    Stamp(rf"^{_DAY}(?<clock>)$", "%Y-%m-%d"),
    Stamp(
        r"^(?<date>[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}) (?<clock>[0-9]{1,2}:[0-9]{2}:[0-9]{2} [AaPp][Mm])$",
        "%m/%d/%Y%I:%M:%S %p",
    ),
)
_NUMBER = r"^ *(?<whole>-?[0-9]{9,19})(?:\.(?<fraction>[0-9]{1,9})[0-9]*)? *$"


def read_times(values: Sequence[object]) -> pl.Series:
    """Times of JSON values: texts, numbers, anything; null where one is not a time."""
    kinds = set(map(type, values))
    if kinds in ({str}, {int}):
        time = _quickly(values)
        if time is not None:
            return time
    columns = []
    if str in kinds:
        columns.append(times_of_text(_column(values, str, pl.String())))
    if int in kinds:
        columns.append(times_of_numbers(_column(values, int, pl.Int64())))
    if float in kinds:
        columns.append(_times_of_floats(_column(values, float, pl.Float64())))
    if not columns:
        return nothing(len(values))
    return _coalesce(columns)


def times_of_text(text: pl.Series) -> pl.Series:
    """Times of texts; null where none of `STAMPS` fits and it is no number since 1970 either."""
    columns = []
    left = text
    for stamp in (*STAMPS, None):
        found = _times_of_number_texts(left) if stamp is None else _times_of_stamp(left, stamp)
        columns.append(found)
        unread = found.is_null() & left.is_not_null()
        if not unread.any():
            break
        left = left.set(~unread, None)
    return _coalesce(columns)


def times_of_numbers(numbers: pl.Series, fraction: pl.Series | None = None) -> pl.Series:
    """Times of whole numbers since 1970: seconds, milli-, micro- or nanoseconds, told apart by their size.

    Null past 2262, where nanoseconds end.

    Args:
        numbers: Int64.
        fraction: digits behind the point, as text.
    """
    frame = pl.DataFrame({"number": numbers})
    size = pl.col("number").abs()
    unit: pl.Expr = pl.lit(1, pl.Int64)
    for below, nanoseconds_each in reversed(_UNITS):
        unit = pl.when(size < below).then(pl.lit(nanoseconds_each, pl.Int64)).otherwise(unit)
    whole: pl.Expr = pl.when(size <= _NS_MAX // unit - 1).then(pl.col("number") * unit)
    if fraction is not None:
        frame = frame.with_columns(fraction=nanoseconds(fraction))
        whole = whole + (pl.col("fraction") // (pl.lit(_SECOND, pl.Int64) // unit)).fill_null(0)
    return frame.select(time=whole.cast(TIME)).to_series()


def times_of_parts(moment: pl.Series, fraction: pl.Series | None, zone: pl.Series | None, form: str) -> pl.Series:
    """Times of texts already taken apart; null where one is no time.

    Args:
        moment: date and clock, as `form` says.
        fraction: digits behind the second.
        zone: Z, UTC, GMT or an offset; null is UTC.
        form: for strptime.
    """
    # In microseconds first: as nanoseconds the year 9999 would wrap around without a word.
    micros = moment.str.to_datetime(form, time_unit="us", strict=False).cast(pl.Int64)
    time = micros.set(micros.abs() > _NS_MAX // 1000 - 10**12, None) * 1000
    if fraction is not None and fraction.null_count() < len(fraction):
        time = time + nanoseconds(fraction).fill_null(0)
    if zone is not None and zone.null_count() < len(zone):
        offsets = {text: _offset_s(text) * _SECOND for text in zone.drop_nulls().unique()}
        time = time - zone.replace_strict(offsets, default=0, return_dtype=pl.Int64)
    return time.cast(TIME).alias("time")


def nanoseconds(fraction: pl.Series) -> pl.Series:
    """Digits behind the second as nanoseconds."""
    return fraction.str.head(9).str.pad_end(9, "0").cast(pl.Int64, strict=False)


def nothing(rows: int) -> pl.Series:
    """No time in any row."""
    return pl.Series("time", [None], dtype=TIME).new_from_index(0, rows)


def _unit(number: int) -> int:
    """Nanoseconds of what `number` counts."""
    return next((unit for below, unit in _UNITS if number < below), 1)


def _quickly(values: Sequence[Any]) -> pl.Series | None:
    """Times of texts that are all RFC 3339 to the microsecond, or of numbers of one unit; None for any others."""
    if isinstance(values[0], int):
        low, high = min(values), max(values)
        unit = _unit(high)
        if low < 0 or unit != _unit(low) or high > _NS_MAX // unit - 1:
            return None
        return (pl.Series("time", values, dtype=pl.Int64) * unit).cast(TIME)
    if any(map(str.isdigit, [text[26:27] for text in values])):
        return None  # a seventh digit behind the second: `datetime` has six
    try:
        moments = msgspec.convert(values, list[datetime])
    except msgspec.ValidationError:
        return None
    if not all(_YEARS[0] <= moment.year <= _YEARS[1] for moment in moments):
        return None
    seconds = [(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() for moment in moments]
    return pl.Series("time", np.rint(np.array(seconds) * 1e6).astype(np.int64) * 1000).cast(TIME)


def _offset_s(text: str) -> int:
    if text in {"Z", "z", "UTC", "GMT", ""}:
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    return (-1 if text[0] == "-" else 1) * (int(digits[:2]) * 3600 + int(digits[2:]) * 60)


def _times_of_stamp(text: pl.Series, stamp: Stamp) -> pl.Series:
    parts = text.str.extract_groups(stamp.pattern).struct.unnest()
    moment = parts.select(pl.concat_str("date", "clock", *(["year"] if "year" in parts.columns else []))).to_series()
    if moment.null_count() == len(moment):
        return nothing(len(text))
    fraction = parts["fraction"] if "fraction" in parts.columns else None
    zone = parts["zone"] if "zone" in parts.columns else None
    return times_of_parts(moment, fraction, zone, stamp.form)


def _times_of_number_texts(text: pl.Series) -> pl.Series:
    parts = text.str.extract_groups(_NUMBER).struct.unnest()
    return times_of_numbers(parts["whole"].cast(pl.Int64, strict=False), parts["fraction"])


def _times_of_floats(numbers: pl.Series) -> pl.Series:
    # Through the decimal digits: a float near 1.7e9 is exact to 1e-6, its product with 1e9 would not be.
    plain = (numbers.is_finite() & (numbers.abs() < 1e18)).fill_null(value=False)
    whole = numbers.set(~plain, None).floor()
    micros = ((numbers - whole) * 1e6).round().cast(pl.Int64, strict=False).clip(0, 999_999)
    return times_of_numbers(whole.cast(pl.Int64, strict=False), micros.cast(pl.String).str.zfill(6))


def _column(values: Sequence[object], kind: type, dtype: pl.DataType) -> pl.Series:
    # `type() is`: True is an int to isinstance, but no time.
    return pl.Series("time", [value if type(value) is kind else None for value in values], dtype=dtype, strict=False)


def _coalesce(columns: Sequence[pl.Series]) -> pl.Series:
    time = columns[0]
    for column in columns[1:]:
        time = time.zip_with(time.is_not_null(), column)
    return time.alias("time")
