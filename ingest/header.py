"""Takes the usual beginning of a log line apart: time, severity, host, program, and where the message begins.

A beginning is a time (`LEADS`) and what a program writes behind it (`TAILS`), or one of the forms in which both are
mixed (`WHOLES`). What a sample of the lines shows is tried first; then everything on what is left. Before any of them
may stand the priority of syslog, `<34>`.
"""

from __future__ import annotations

import re
from calendar import isleap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from ingest.severity import SYSLOG, of_level
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

_LEVEL = (
    r"(?<level>TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|CRITICAL|CRIT|ALERT|EMERG|FATAL|FINE|FINER|FINEST"
    r"|trace|debug|info|notice|warn|warning|error|crit|critical|alert|emerg|fatal"
    r"|Trace|Debug|Info|Notice|Warn|Warning|Error|Critical|Fatal|Information)\b"
)
_CLOCK = r"(?<clock>[0-9]{1,2}:[0-9]{2}:[0-9]{2})"
_FRACTION = r"(?:[.,:](?<fraction>[0-9]{1,9}))?"
_ZONE = r"(?: ?(?<zone>Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}))?"
_TAG = r"(?:(?<process>[^\s:\[\]][^:\[\]]{0,63}?)(?:\[(?<pid>[0-9]+)\])?(?: \([^)]*\))?: ?)?"
_MONTH_DAY = r"[A-Z][a-z]{2} [ 0-9]?[0-9]"
# RFC 5424 behind its time; the mark of UTF-8 belongs to no message
_MODERN = r"(?<host>\S+) (?<process>\S+) (?<pid>\S+) \S+ (?:-|(?:\[(?:[^\]\\]|\\.)*\])+) ?\x{FEFF}?"


def _ascii(pattern: str) -> str:
    r"""Spell \s, \S and \w out: as classes of all Unicode they would cost a millisecond each to compile."""
    return re.sub(r"\\.|\[(?:\\.|[^\]\\])+\]", _spelt, pattern)


def _spelt(found: re.Match[str]) -> str:
    text = found[0]
    if text.startswith("["):
        return text.replace(r"\s", r" \t").replace(r"\w", "0-9A-Za-z_")
    return {r"\s": r"[ \t]", r"\S": r"[^ \t]", r"\w": "[0-9A-Za-z_]"}.get(text, text)


@dataclass(frozen=True, slots=True)
class Form:
    """One way to begin a line.

    Attributes:
        pattern: Rust regex, anchored, for ASCII. Its groups are columns of HEADER, or `level`, and for the time `date`,
            `clock`, `fraction`, `zone` or `epoch`.
        strptime: form of `date`, a blank and `clock`; without a year in it the year is guessed.
        starts: whether the message begins where the match ends; else it is the whole line.
    """

    pattern: str
    strptime: str = ""
    starts: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", _ascii(self.pattern))


#: Time first, behind it one of TAILS.
LEADS = (
    Form(rf"^\[?(?<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})[T ]{_CLOCK}{_FRACTION}{_ZONE}\]?", "%Y-%m-%d %H:%M:%S"),
    Form(rf"^(?<date>[0-9]{{4}}/[0-9]{{2}}/[0-9]{{2}})[T ]{_CLOCK}{_FRACTION}{_ZONE}", "%Y/%m/%d %H:%M:%S"),
    Form(rf"^(?<date>[0-9]{{2}}/[0-9]{{2}}/[0-9]{{2}}) {_CLOCK}{_FRACTION}", "%y/%m/%d %H:%M:%S"),
    Form(r"^(?<date>[0-9]{6}) (?<clock>[0-9]{6})\b", "%y%m%d %H%M%S"),
    Form(rf"^(?<date>[0-9]{{8}})-{_CLOCK}{_FRACTION}", "%Y%m%d %H:%M:%S"),
    Form(r"^(?<date>[0-9]{8})-(?<clock>[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}):(?<fraction>[0-9]{1,3})", "%Y%m%d %H:%M:%S"),
    Form(rf"^(?<date>[0-9]{{2}}-[0-9]{{2}}) {_CLOCK}{_FRACTION}", "%m-%d %H:%M:%S"),
    Form(
        r"^\[(?<date>[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]?[0-9]) "
        r"(?<clock>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.(?<fraction>[0-9]{1,9}))? (?<year>[0-9]{4})\]",
        "%a %b %e %Y %H:%M:%S",
    ),
    Form(rf"^\[(?<date>[0-9]{{1,2}}/[A-Z][a-z]{{2}}/[0-9]{{4}}):{_CLOCK}{_FRACTION}{_ZONE}\]", "%d/%b/%Y %H:%M:%S"),
    Form(rf"^\[(?<date>[0-9]{{2}}\.[0-9]{{2}}) {_CLOCK}\]", "%m.%d %H:%M:%S"),
    Form(r"^\[?(?<epoch>1[0-9]{9})(?:\.(?<fraction>[0-9]{1,9}))?\b\]?"),
    Form(r"^(?<epoch>1[0-9]{12})\b"),
)

#: What stands between the time and the message, the more particular first.
TAILS = (
    Form(r"^,\s+(?<level>[A-Z][a-z]+)\s+(?<process>\w+)\s+"),  # Windows CBS
    Form(r"^\|(?<process>[^|]{1,64})\|(?<pid>[0-9]+)\|"),
    Form(r"^\s+(?<pid>[0-9]+)\s+[0-9]+\s+(?<level>[VDIWEFA])\s+(?<process>[^:]{1,64}?)\s*: "),  # Android
    Form(rf"^\s+(?<pid>[0-9]+)\s+{_LEVEL}\s+(?<process>[\w.$/-]+)\s+\[[^\]]*\]\s+"),  # oslo
    Form(rf"^\s+(?:(?<pid>[0-9]+)\s+)?{_LEVEL}\s+\[[^\]]*\]\s+(?<process>[\w.$/-]+):\s"),  # log4j of Hadoop
    Form(rf"^\s+-?\s*{_LEVEL}\s+\[(?<process>.{{1,200}}?)\]\s+-\s+"),  # log4j of ZooKeeper
    Form(rf"^\s+\[[^\]]*\]\s+{_LEVEL}\s+(?<process>[\w.$/-]+)(?::[0-9]+)?\s+-\s+"),  # logback
    Form(rf"^\s+{_LEVEL}\s+(?<pid>[0-9]+)\s+---\s+\[[^\]]*\]\s+(?<process>[\w.$\[\]/-]+)\s*:\s"),  # Spring Boot
    Form(rf"^\s+(?:(?<pid>[0-9]+)\s+)?{_LEVEL}\s+(?<process>[\w.$/-]+):\s"),
    Form(rf"^\s+-\s+(?<process>[\w.$/-]+)\s+-\s+{_LEVEL}\s+-\s+"),  # Python
    Form(rf"^\s+\[{_LEVEL}\]\s+(?<pid>[0-9]+)#[0-9]+:\s+"),  # nginx
    Form(rf"^\s+\[(?:[\w.]+:)?{_LEVEL}\]\s+(?:\[pid (?<pid>[0-9]+)[^\]]*\]\s+)?"),  # Apache
    Form(r"^\s+(?<process>[\w.-]+\.exe(?: \*64)?) - "),  # Proxifier
    Form(r"^\s+(?<host>[\w.-]+) (?<process>[^\s:\[\]]{1,64})\[(?<pid>[0-9]+)\]: "),  # syslog with another time
    Form(rf"^\s*(?:[-|:]\s*)?[\[<(]?{_LEVEL}[\]>)]?\s*(?:[-|:]\s*)?"),
    Form(r"^[\s:,|-]+"),
)

#: Time and the rest in one.
WHOLES = (
    Form(  # Cisco IOS: a number, maybe the host, and `*` or `.` where the clock is not set
        rf"^(?:[0-9]+: )?(?:(?<host>[\w.-]+): )?(?:[0-9]+: )?[*.]?(?<date>{_MONTH_DAY}) {_CLOCK}{_FRACTION}{_ZONE}: ",
        "%b %e %H:%M:%S",
    ),
    Form(  # Cisco ASA
        rf"^(?<date>{_MONTH_DAY}) (?<year>[0-9]{{4}}) {_CLOCK}{_ZONE}(?: (?<host>[\w.-]+))? ?: ",
        "%b %e %Y %H:%M:%S",
    ),
    Form(  # RFC 3164; on its own machine a program leaves the host out
        rf"^(?<date>{_MONTH_DAY}) {_CLOCK}{_FRACTION} (?:(?<host>\S*[^\s:]) )?{_TAG}",
        "%b %e %H:%M:%S",
    ),
    Form(
        rf"^[0-9]{{1,2}} (?<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})T{_CLOCK}{_FRACTION}{_ZONE} {_MODERN}",
        "%Y-%m-%d %H:%M:%S",
    ),
    Form(rf"^[0-9]{{1,2}} - {_MODERN}"),
    Form(
        rf"^(?<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})T{_CLOCK}{_FRACTION}{_ZONE} (?<host>[\w.-]+) "
        r"(?<process>[^\s:\[\]]{1,64})(?:\[(?<pid>[0-9]+)\])?: ",
        "%Y-%m-%d %H:%M:%S",
    ),
    Form(
        r"^(?<level>[IWEF])(?<date>[0-9]{4}) (?<clock>[0-9]{2}:[0-9]{2}:[0-9]{2})\.(?<fraction>[0-9]{6})\s+"
        r"(?<pid>[0-9]+) (?<process>[\w./-]+):[0-9]+\] ",
        "%m%d %H:%M:%S",
    ),
    Form(  # BlueGene/L
        r"^\S+ (?<epoch>[0-9]{10}) [0-9.]{10} (?<host>\S+) [0-9-]{10}-[0-9.]{8}\.(?<fraction>[0-9]{6}) \S+ "
        rf"[A-Z]+ (?<process>[A-Z_]+) {_LEVEL} ",
    ),
    Form(  # Thunderbird
        r"^\S+ (?<epoch>[0-9]{10}) [0-9.]{10} (?<host>\S+) [A-Z][a-z]{2} [ 0-9]?[0-9] [0-9:]{8} "
        rf"\S+ {_TAG}",
    ),
    Form(r"^[0-9]+ (?<host>\S+) (?<process>\S+) \S+ (?<epoch>1[0-9]{9}) [0-9]+ "),  # HPC
    Form(  # nova's combined files
        rf"^\S+\.log\S* (?<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}) {_CLOCK}{_FRACTION} (?<pid>[0-9]+) {_LEVEL} "
        r"(?<process>[\w.]+) (?:\[[^\]]*\] )?",
        "%Y-%m-%d %H:%M:%S",
    ),
    Form(  # access logs of web servers: all of it is the message
        rf"^\S+ \S+ \S+ \[(?<date>[0-9]{{1,2}}/[A-Z][a-z]{{2}}/[0-9]{{4}}):{_CLOCK}{_ZONE}\] ",
        "%d/%b/%Y %H:%M:%S",
        starts=False,
    ),
    Form(
        r"^(?:node=(?<host>\S+) )?type=\w+ msg=audit\((?<epoch>[0-9]{10})\.(?<fraction>[0-9]{3}):[0-9]+\)",
        "",
        False,
    ),
    Form(  # logfmt
        rf"^(?:[\w.]+=(?:[^ \t\"]+|\"[^\"]*\") ){{0,3}}(?:time|ts|timestamp|t|at)=\"?"
        rf"(?<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})[T ]{_CLOCK}{_FRACTION}{_ZONE}",
        "%Y-%m-%d %H:%M:%S",
        starts=False,
    ),
    Form(rf"^{_LEVEL}\s+(?<process>[\w.$/-]+)\s+\[[^\]]*\]\s+"),
    Form(rf"^[\[<]?{_LEVEL}(?:[\]>]:?|:)\s*(?:(?<process>[A-Za-z_][\w.]*):\s*)?"),
)

#: Where nothing but the priority stands before the message.
_TAGGED = Form(r"^(?<process>[A-Za-z_][\w./-]{0,63})(?:\[(?<pid>[0-9]+)\])?: ")

_SAMPLE = 256  # lines looked at to find out which forms are in use
_HEAD_CHARS = 512  # of a line; no header is longer, but for
_MODERN_CHARS = 4096  # the structured data of RFC 5424
_PRI = r"^<([0-9]{1,3})>"
_LOGFMT_LEVEL = r"(?:^|\s)(?:level|lvl|severity)=\"?([A-Za-z]+)"
_LEAP_YEAR = 2000
_TOMORROW = timedelta(days=1)  # a clock in another zone may be so far ahead


def headers(bodies: pl.Series, *, observed_time: datetime) -> pl.DataFrame:
    """Take lines apart.

    Args:
        bodies: the lines, String, without nulls.
        observed_time: when they arrived; dates without a year take the year that puts them nearest before it.

    Returns:
        HEADER, one row a line; nulls where a line does not say.
    """
    frame = pl.DataFrame({"head": bodies.str.head(_HEAD_CHARS)}).with_row_index("row")
    frame = frame.filter(~pl.col("head").str.starts_with("{"))  # a JSON object has fields, not a header
    priorities = _priorities(bodies)
    if not priorities.is_empty():
        frame = frame.update(priorities.select("row", "head"), on="row", maintain_order="left")
    found = [_empty()]
    forms = _in_order(WHOLES, frame["head"])
    leads = _in_order(LEADS, frame["head"])
    # Wholes before leads: a lead also matches the beginning of some wholes.
    for form in (*forms, *leads):
        if frame.is_empty():
            break
        matched, frame = _matches(form, frame)
        if matched.is_empty():
            continue
        if form in LEADS:
            matched = _with_tail(matched)
        found.append(_parts(matched, form, observed_time))
    if not priorities.is_empty():
        matched, _ = _matches(_TAGGED, frame.join(priorities, on="row", how="semi", maintain_order="left"))
        found.append(_parts(matched, _TAGGED, observed_time))
    rows = pl.concat(found, how="diagonal")
    answer = pl.DataFrame({"row": pl.int_range(len(bodies), dtype=pl.UInt32, eager=True)})
    answer = answer.join(rows, on="row", how="left", maintain_order="left").with_columns(pl.col("start").fill_null(0))
    if not priorities.is_empty():
        answer = _with_priorities(answer, priorities)
    return answer.select(pl.col(name).cast(dtype) for name, dtype in HEADER.items())


def _priorities(bodies: pl.Series) -> pl.DataFrame:
    """The lines that begin with a priority of syslog: what it says of the severity, its length, and what follows it."""
    frame = pl.DataFrame({"body": bodies}).with_row_index("row").filter(pl.col("body").str.starts_with("<"))
    frame = frame.with_columns(pl.col("body").str.extract(_PRI).alias("pri")).drop_nulls("pri")
    known = pl.Series(np.array(SYSLOG, np.int8))
    return frame.select(
        "row",
        known.gather(frame["pri"].cast(pl.UInt32) % 8).alias("priority"),
        (pl.col("pri").str.len_bytes() + 2).alias("length"),
        pl.col("body").str.slice(pl.col("pri").str.len_chars() + 2, _MODERN_CHARS).alias("head"),
    )


def _with_priorities(answer: pl.DataFrame, priorities: pl.DataFrame) -> pl.DataFrame:
    joined = answer.join(priorities.drop("head"), on="row", how="left", maintain_order="left")
    return joined.with_columns(
        pl.coalesce("priority", "severity_number").alias("severity_number"),
        pl.col("start") + pl.col("length").fill_null(0),
    )


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema={"row": pl.UInt32(), **HEADER})


def _in_order(forms: Sequence[Form], heads: pl.Series) -> list[Form]:
    """Those in use first. Within a kind the order decides which of several matches, so only strangers move back."""
    step = max(1, len(heads) // _SAMPLE)
    sample = heads.gather_every(step)
    used = [form for form in forms if sample.str.contains(form.pattern).any()]
    return used if step == 1 else used + [form for form in forms if form not in used]


def _matches(form: Form, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The groups of the lines that begin like `form`, and the other lines."""
    groups = frame["head"].str.extract_groups(rf"^(?<all>{form.pattern.removeprefix('^')})").struct.unnest()
    hit = groups["all"].is_not_null()
    return pl.concat([frame, groups], how="horizontal").filter(hit), frame.filter(~hit)


def _with_tail(matched: pl.DataFrame) -> pl.DataFrame:
    """Add what TAILS find behind the time."""
    length = matched["all"].str.len_bytes()
    behind = pl.DataFrame({"row": matched["row"], "head": _after(matched["head"], matched["all"])})
    found = [pl.DataFrame(schema={"row": pl.UInt32(), "all": pl.String()})]
    for form in _in_order(TAILS, behind["head"]):
        if behind.is_empty():
            break
        groups, behind = _matches(form, behind)
        if not groups.is_empty():
            found.append(groups.drop("head"))
    tails = pl.concat(found, how="diagonal").rename({"all": "tail"})
    joined = matched.drop("all").with_columns(length.alias("length"))
    joined = joined.join(tails, on="row", how="left", maintain_order="left")
    start = joined["length"] + joined["tail"].str.len_bytes().fill_null(0)
    return joined.with_columns(start.alias("start"))


def _after(texts: pl.Series, beginnings: pl.Series) -> pl.Series:
    return pl.select(texts.str.slice(beginnings.str.len_chars())).to_series()


def _parts(matched: pl.DataFrame, form: Form, observed_time: datetime) -> pl.DataFrame:
    """Columns of HEADER out of the groups."""
    if "start" not in matched.columns:
        matched = matched.with_columns(start=matched["all"].str.len_bytes() if form.starts else 0)
    time = _time(matched, form, observed_time)
    columns = {"row": matched["row"], "time": time, "severity_number": _severity(matched)}
    for name in ("host", "process", "pid"):
        if name in matched.columns:
            columns[name] = matched[name].set(matched[name] == "-", None)
    columns["start"] = matched["start"]
    return pl.DataFrame(columns).cast({"start": pl.UInt32(), "row": pl.UInt32()})


def _time(matched: pl.DataFrame, form: Form, observed_time: datetime) -> pl.Series:
    fraction = matched["fraction"] if "fraction" in matched.columns else None
    if "epoch" in matched.columns:
        return times_of_numbers(matched["epoch"].cast(pl.Int64, strict=False), fraction)
    if not form.strptime:
        return nothing(len(matched))
    zone = matched["zone"] if "zone" in matched.columns else None
    words = [matched["date"], *([matched["year"]] if "year" in matched.columns else []), matched["clock"]]
    moment = pl.select(pl.concat_str(words, separator=" ")).to_series()
    if "%Y" in form.strptime or "%y" in form.strptime:
        return times_of_parts(moment, fraction, zone, form.strptime)
    leap = times_of_parts(f"{_LEAP_YEAR} " + moment, fraction, zone, f"%Y {form.strptime}")
    return _in_nearest_year(leap, observed_time)


def _in_nearest_year(times: pl.Series, observed_time: datetime) -> pl.Series:
    """Move times of a leap year into the latest year that puts them before `observed_time`."""
    answer = nothing(len(times))
    leap_day = (times.dt.month() == 2) & (times.dt.day() == 29)
    for year in range(observed_time.year + 1, observed_time.year - 9, -1):
        # The 29th of February falls to the latest year that has one.
        real = times if isleap(year) else times.set(leap_day, None)
        moved = pl.select(real.dt.replace(year=year)).to_series()
        fits = answer.is_null() & moved.is_not_null() & (moved <= observed_time + _TOMORROW)
        answer = moved.zip_with(fits, answer)
        if not (answer.is_null() & times.is_not_null()).any():
            break
    return answer.alias("time")


def _severity(matched: pl.DataFrame) -> pl.Series:
    if "level" in matched.columns:
        levels = matched["level"]
    elif "start" in matched.columns and (matched["start"] == 0).all():
        levels = matched["head"].str.extract(_LOGFMT_LEVEL)
    else:
        return pl.Series("severity_number", [None], dtype=pl.Int8).new_from_index(0, len(matched))
    numbers = {word: of_level(word) for word in levels.drop_nulls().unique()}
    return levels.replace_strict(numbers, default=None, return_dtype=pl.Int8).alias("severity_number")
