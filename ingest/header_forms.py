"""How log lines begin: a time (`LEADS`) and what a program writes behind it (`TAILS`), or both mixed (`WHOLES`).

The patterns are read on skeletons, so they ask for digits and never for particular ones; a 1 stands only where a line
begins with it (skeleton.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

_LEVEL = (
    r"(?P<level>TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|CRITICAL|CRIT|ALERT|EMERG|FATAL|FINE|FINER|FINEST"
    r"|trace|debug|info|notice|warn|warning|error|crit|critical|alert|emerg|fatal"
    r"|Trace|Debug|Info|Notice|Warn|Warning|Error|Critical|Fatal|Information)\b"
)
_CLOCK = r"(?P<clock>[0-9]{1,2}:[0-9]{2}:[0-9]{2})"
_FRACTION = r"(?:[.,:](?P<fraction>[0-9]{1,9}))?"
_ZONE = r"(?: ?(?P<zone>Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}))?"
_TAG = r"(?:(?P<process>[^\s:\[\]][^:\[\]]{0,63}?)(?:\[(?P<pid>[0-9]+)\])?(?: \([^)]*\))?: ?)?"
_MONTH_DAY = r"[A-Z][a-z]{2} [ 0-9]?[0-9]"
# RFC 5424 behind its time; the mark of UTF-8 belongs to no message
_MODERN = r"(?P<host>\S+) (?P<process>\S+) (?P<pid>\S+) \S+ (?:-|(?:\[(?:[^\]\\]|\\.)*\])+) ?\ufeff?"


def _ascii(pattern: str) -> str:
    r"""Spell \s, \S and \w out: a header is ASCII, whatever the message is."""
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
        pattern: anchored, for ASCII. Its groups are columns of HEADER, or `level`, and for the time `date`, `clock`,
            `fraction`, `zone`, `year` or `epoch`.
        strptime: form of `date`, a blank and `clock`; without a year in it the year is guessed.
        starts: whether the message begins where the match ends; else it is the whole line.
    """

    pattern: str
    strptime: str = ""
    starts: bool = True
    read: Callable[[str], re.Match[str] | None] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "read", re.compile(_ascii(self.pattern)).match)


#: Time first, behind it one of TAILS.
LEADS = (
    Form(rf"^\[?(?P<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})[T ]{_CLOCK}{_FRACTION}{_ZONE}\]?", "%Y-%m-%d %H:%M:%S"),
    Form(rf"^(?P<date>[0-9]{{4}}/[0-9]{{2}}/[0-9]{{2}})[T ]{_CLOCK}{_FRACTION}{_ZONE}", "%Y/%m/%d %H:%M:%S"),
    Form(rf"^(?P<date>[0-9]{{2}}/[0-9]{{2}}/[0-9]{{2}}) {_CLOCK}{_FRACTION}", "%y/%m/%d %H:%M:%S"),
    Form(r"^(?P<date>[0-9]{6}) (?P<clock>[0-9]{6})\b", "%y%m%d %H%M%S"),
    Form(rf"^(?P<date>[0-9]{{8}})-{_CLOCK}{_FRACTION}", "%Y%m%d %H:%M:%S"),
    Form(
        r"^(?P<date>[0-9]{8})-(?P<clock>[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}):(?P<fraction>[0-9]{1,3})",
        "%Y%m%d %H:%M:%S",
    ),
    Form(rf"^(?P<date>[0-9]{{2}}-[0-9]{{2}}) {_CLOCK}{_FRACTION}", "%m-%d %H:%M:%S"),
    Form(
        r"^\[(?P<date>[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]?[0-9]) "
        r"(?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))? (?P<year>[0-9]{4})\]",
        "%a %b %e %Y %H:%M:%S",
    ),
    Form(rf"^\[(?P<date>[0-9]{{1,2}}/[A-Z][a-z]{{2}}/[0-9]{{4}}):{_CLOCK}{_FRACTION}{_ZONE}\]", "%d/%b/%Y %H:%M:%S"),
    Form(rf"^\[(?P<date>[0-9]{{2}}\.[0-9]{{2}}) {_CLOCK}\]", "%m.%d %H:%M:%S"),
    Form(r"^\[?(?P<epoch>1[0-9]{9})(?:\.(?P<fraction>[0-9]{1,9}))?\b\]?"),
    Form(r"^(?P<epoch>1[0-9]{12})\b"),
)

#: What stands between the time and the message, the more particular first.
TAILS = (
    Form(r"^,\s+(?P<level>[A-Z][a-z]+)\s+(?P<process>\w+)\s+"),  # Windows CBS
    Form(r"^\|(?P<process>[^|]{1,64})\|(?P<pid>[0-9]+)\|"),
    Form(r"^\s+(?P<pid>[0-9]+)\s+[0-9]+\s+(?P<level>[VDIWEFA])\s+(?P<process>[^:]{1,64}?)\s*: "),  # Android
    Form(rf"^\s+(?P<pid>[0-9]+)\s+{_LEVEL}\s+(?P<process>[\w.$/-]+)\s+\[[^\]]*\]\s+"),  # oslo
    Form(rf"^\s+(?:(?P<pid>[0-9]+)\s+)?{_LEVEL}\s+\[[^\]]*\]\s+(?P<process>[\w.$/-]+):\s"),  # log4j of Hadoop
    Form(rf"^\s+-?\s*{_LEVEL}\s+\[(?P<process>.{{1,200}}?)\]\s+-\s+"),  # log4j of ZooKeeper
    Form(rf"^\s+\[[^\]]*\]\s+{_LEVEL}\s+(?P<process>[\w.$/-]+)(?::[0-9]+)?\s+-\s+"),  # logback
    Form(rf"^\s+{_LEVEL}\s+(?P<pid>[0-9]+)\s+---\s+\[[^\]]*\]\s+(?P<process>[\w.$\[\]/-]+)\s*:\s"),  # Spring Boot
    Form(rf"^\s+(?:(?P<pid>[0-9]+)\s+)?{_LEVEL}\s+(?P<process>[\w.$/-]+):\s"),
    Form(rf"^\s+-\s+(?P<process>[\w.$/-]+)\s+-\s+{_LEVEL}\s+-\s+"),  # Python
    Form(rf"^\s+\[{_LEVEL}\]\s+(?P<pid>[0-9]+)#[0-9]+:\s+"),  # nginx
    Form(rf"^\s+\[(?:[\w.]+:)?{_LEVEL}\]\s+(?:\[pid (?P<pid>[0-9]+)[^\]]*\]\s+)?"),  # Apache
    Form(r"^\s+(?P<process>[\w.-]+\.exe(?: \*[0-9]{2})?) - "),  # Proxifier
    Form(r"^\s+(?P<host>[\w.-]+) (?P<process>[^\s:\[\]]{1,64})\[(?P<pid>[0-9]+)\]: "),  # syslog with another time
    Form(rf"^\s*(?:[-|:]\s*)?[\[<(]?{_LEVEL}[\]>)]?\s*(?:[-|:]\s*)?"),
    Form(r"^[\s:,|-]+"),
)

#: Time and the rest in one.
WHOLES = (
    Form(  # Cisco IOS: a number, maybe the host, and `*` or `.` where the clock is not set
        rf"^(?:[0-9]+: )?(?:(?P<host>[\w.-]+): )?(?:[0-9]+: )?[*.]?(?P<date>{_MONTH_DAY}) {_CLOCK}{_FRACTION}{_ZONE}: ",
        "%b %e %H:%M:%S",
    ),
    Form(  # Cisco ASA
        rf"^(?P<date>{_MONTH_DAY}) (?P<year>[0-9]{{4}}) {_CLOCK}{_ZONE}(?: (?P<host>[\w.-]+))? ?: ",
        "%b %e %Y %H:%M:%S",
    ),
    Form(  # RFC 3164; on its own machine a program leaves the host out
        rf"^(?P<date>{_MONTH_DAY}) {_CLOCK}{_FRACTION} (?:(?P<host>\S*[^\s:]) )?{_TAG}",
        "%b %e %H:%M:%S",
    ),
    Form(
        rf"^[0-9]{{1,2}} (?P<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})T{_CLOCK}{_FRACTION}{_ZONE} {_MODERN}",
        "%Y-%m-%d %H:%M:%S",
    ),
    Form(rf"^[0-9]{{1,2}} - {_MODERN}"),
    Form(
        rf"^(?P<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})T{_CLOCK}{_FRACTION}{_ZONE} (?P<host>[\w.-]+) "
        r"(?P<process>[^\s:\[\]]{1,64})(?:\[(?P<pid>[0-9]+)\])?: ",
        "%Y-%m-%d %H:%M:%S",
    ),
    Form(
        r"^(?P<level>[IWEF])(?P<date>[0-9]{4}) (?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2})\.(?P<fraction>[0-9]{6})\s+"
        r"(?P<pid>[0-9]+) (?P<process>[\w./-]+):[0-9]+\] ",
        "%m%d %H:%M:%S",
    ),
    Form(  # BlueGene/L
        r"^\S+ (?P<epoch>[0-9]{10}) [0-9.]{10} (?P<host>\S+) [0-9-]{10}-[0-9.]{8}\.(?P<fraction>[0-9]{6}) \S+ "
        rf"[A-Z]+ (?P<process>[A-Z_]+) {_LEVEL} ",
    ),
    Form(  # Thunderbird
        r"^\S+ (?P<epoch>[0-9]{10}) [0-9.]{10} (?P<host>\S+) [A-Z][a-z]{2} [ 0-9]?[0-9] [0-9:]{8} "
        rf"\S+ {_TAG}",
    ),
    Form(r"^[0-9]+ (?P<host>\S+) (?P<process>\S+) \S+ (?P<epoch>[0-9]{10}) [0-9]+ "),  # HPC
    Form(  # nova's combined files
        rf"^\S+\.log\S* (?P<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}) {_CLOCK}{_FRACTION} (?P<pid>[0-9]+) {_LEVEL} "
        r"(?P<process>[\w.]+) (?:\[[^\]]*\] )?",
        "%Y-%m-%d %H:%M:%S",
    ),
    Form(  # access logs of web servers: all of it is the message
        rf"^\S+ \S+ \S+ \[(?P<date>[0-9]{{1,2}}/[A-Z][a-z]{{2}}/[0-9]{{4}}):{_CLOCK}{_ZONE}\] ",
        "%d/%b/%Y %H:%M:%S",
        starts=False,
    ),
    Form(
        r"^(?:node=(?P<host>\S+) )?type=\w+ msg=audit\((?P<epoch>[0-9]{10})\.(?P<fraction>[0-9]{3}):[0-9]+\)",
        "",
        False,
    ),
    Form(  # logfmt
        rf"^(?:[\w.]+=(?:[^ \t\"]+|\"[^\"]*\") ){{0,3}}(?:time|ts|timestamp|t|at)=\"?"
        rf"(?P<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})[T ]{_CLOCK}{_FRACTION}{_ZONE}",
        "%Y-%m-%d %H:%M:%S",
        starts=False,
    ),
    Form(rf"^{_LEVEL}\s+(?P<process>[\w.$/-]+)\s+\[[^\]]*\]\s+"),
    Form(rf"^[\[<]?{_LEVEL}(?:[\]>]:?|:)\s*(?:(?P<process>[A-Za-z_][\w.]*):\s*)?"),
)

#: Where nothing but the priority stands before the message.
TAGGED = Form(r"^(?P<process>[A-Za-z_][\w./-]{0,63})(?:\[(?P<pid>[0-9]+)\])?: ")
