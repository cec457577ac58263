"""OpenTelemetry severity numbers from the words and numbers that loggers write."""

from __future__ import annotations

from collections.abc import Callable

#: OpenTelemetry: 1 trace, 5 debug, 9 info, 13 warn, 17 error, 21 fatal; the steps between are kept for finer scales.
WORDS: dict[str, int] = {
    **dict.fromkeys(("trace", "trc", "t", "verbose", "v", "vrb", "finest", "all", "silly"), 1),
    **dict.fromkeys(("debug", "dbg", "d", "finer", "fine", "debug1"), 5),
    **dict.fromkeys(("info", "inf", "i", "information", "informational", "config", "log", "success", "ok", "audit"), 9),
    **dict.fromkeys(("notice", "note", "n"), 10),
    **dict.fromkeys(("warn", "wrn", "w", "warning"), 13),
    **dict.fromkeys(("error", "err", "e", "eror", "severe", "failure", "failed"), 17),
    **dict.fromkeys(("critical", "crit", "c", "crt"), 18),
    **dict.fromkeys(("alert", "a"), 19),
    **dict.fromkeys(("fatal", "ftl", "f", "panic", "emergency", "emerg"), 21),
}

_EXACT = WORDS | {word.upper(): number for word, number in WORDS.items()}  # most levels need no more than this

#: The severities of syslog, 0 emergency to 7 debug, as the OpenTelemetry log data model maps them.
SYSLOG: tuple[int, ...] = (21, 19, 18, 17, 13, 10, 9, 5)

_TENS = {10: 1, 20: 5, 30: 9, 40: 13, 50: 17, 60: 21}  # pino, bunyan
_PYTHON = {10: 5, 20: 9, 30: 13, 40: 17, 50: 21}


def of_level(value: object) -> int | None:
    """Severity of a level: a word, syslog's 0 to 7 (GELF, journald), or tens (pino, bunyan)."""
    if isinstance(value, str) and value in _EXACT:
        return _EXACT[value]
    return _of(value, lambda number: SYSLOG[number] if 0 <= number <= 7 else _TENS.get(number))


def of_python_level(value: object) -> int | None:
    """Severity of a level of Python's logging: a word or tens."""
    return _of(value, _PYTHON.get)


def of_number(value: object) -> int | None:
    """Severity of what is a number of OpenTelemetry already."""
    return _of(value, lambda number: number if 1 <= number <= 24 else None)


def _of(value: object, read: Callable[[int], int | None]) -> int | None:
    if isinstance(value, str):
        word = value.strip().lower()
        if word.isascii() and word.isdigit() and len(word) <= 3:
            return read(int(word))
        # "SEVERITY_NUMBER_WARN", "Level.INFO", "warn2"
        word = word.rpartition("_")[2].rpartition(".")[2].rstrip("234")
        return WORDS.get(word)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1:
        return read(int(value))
    return None
