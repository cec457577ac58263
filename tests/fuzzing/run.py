"""Runs inputs through a target, and tells what fell."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from ingest.batch import Part
from tocsin.errors import InputError, StorageError

from .sink import Sink
from .targets import Target, limits_for

SECONDS_MAX = 5.0  # of processor time for one input; what takes longer hangs
TOGETHER = 64  # inputs whose lines are parsed at once
_WARM = 1000  # inputs before memory is looked at: libraries are loaded, caches filled
_SHOWN = 5  # falls of a target; one is enough to begin with


class HangError(BaseException):
    """An input took too long; nothing on its way may catch this."""


@dataclass(slots=True)
class Result:
    """What became of the inputs of one target.

    Attributes:
        seconds: of processor time, the making of the inputs included.
        slowest_ms: of processor time, of one input.
        grown_mb: peak memory after all inputs above that after the first thousand.
        messages: kinds of refusals.
        falls: unexpected exceptions, each with its input.
    """

    name: str
    inputs: int = 0
    seconds: float = 0.0
    slowest_ms: float = 0.0
    slowest: int = 0
    grown_mb: float = 0.0
    messages: int = 0
    falls: list[str] = field(default_factory=list)


def input_of(target: Target, seed: int, number: int) -> bytes:
    """The input with this number."""
    return target.make(Random(seed << 32 | number))


def fuzz(target: Target, inputs: int, seed: int = 0) -> Result:
    """Run so many inputs; no exception but those documented passes unnoticed."""
    result, sink = Result(target.name), Sink()
    _forget_peak()
    began, peak = time.process_time(), _peak_mb()
    waiting: list[tuple[int, Sequence[Part]]] = []
    with _alarm():
        for number in range(inputs):
            waiting.append((number, _take(target, seed, number, sink, result)))
            if len(waiting) == TOGETHER or number == inputs - 1:
                _check(target, seed, waiting, sink, result)
                waiting = []
            if number == min(_WARM, inputs // 2):
                peak = _peak_mb()
            result.inputs += 1
            if len(result.falls) >= _SHOWN:
                break
    result.seconds = time.process_time() - began
    result.grown_mb = _peak_mb() - peak
    result.messages = len(sink.messages)
    return result


def _take(target: Target, seed: int, number: int, sink: Sink, result: Result) -> Sequence[Part]:
    data = input_of(target, seed, number)
    began = time.process_time()
    parts: Sequence[Part] = ()
    try:
        signal.setitimer(signal.ITIMER_PROF, SECONDS_MAX)
        parts = target.take(data, limits_for(data))
    except (InputError, StorageError) as error:
        sink.note(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 -- a panic of Rust is no Exception
        result.falls.append(_told(number, error, data))
    taken_ms = (time.process_time() - began) * 1e3
    if taken_ms > result.slowest_ms:
        result.slowest_ms, result.slowest = taken_ms, number
    return parts


def _check(
    target: Target, seed: int, waiting: Sequence[tuple[int, Sequence[Part]]], sink: Sink, result: Result
) -> None:
    error = _fall_of([part for _, parts in waiting for part in parts], sink)
    if error is None:
        return
    alone = [(number, _fall_of(parts, Sink())) for number, parts in waiting]
    falls = [_told(number, why, input_of(target, seed, number)) for number, why in alone if why is not None]
    together = f"inputs {waiting[0][0]} to {waiting[-1][0]} together: {_what(error)}"
    result.falls += falls or [together]


def _fall_of(parts: Sequence[Part], sink: Sink) -> BaseException | None:
    try:
        signal.setitimer(signal.ITIMER_PROF, SECONDS_MAX * 4)
        sink.check(parts)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 -- as above
        return error
    return None


def _told(number: int, error: BaseException, data: bytes) -> str:
    return f"input {number}: {_what(error)}; {data.hex()}"


def _what(error: BaseException) -> str:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" at {place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else ""
    return f"{type(error).__name__}: {str(error)[:500]}{where}"


def _peak_mb() -> float:
    """Peak of resident memory since `_forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _hang(_number: int, _frame: Any) -> None:
    raise HangError(f"more than {SECONDS_MAX} s")


@contextmanager
def _alarm() -> Iterator[None]:
    before = signal.signal(signal.SIGPROF, _hang)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
