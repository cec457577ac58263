"""Prometheus' remote_write, versions 1 and 2: each sample becomes a line, `<metric name> <value>`.

A native histogram becomes the two lines that a classic one has beside its buckets: `<name>_count` and `<name>_sum`.
Stale markers and NaN say that there is no value, so they make no line. Exemplars and metadata are not kept.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import polars as pl
from google.protobuf.message import DecodeError

from ingest.batch import Part, Rejected, stream_name
from ingest.limits import Limits
from ingest.lines import reject, text_of
from ingest.messages import Label, Write1, Write2, read_message
from tocsin.errors import InputError, TooLargeError
from tocsin.record import TIME

_NAME = "__name__"
_METRICS = ".metrics"
_DEFAULT_JOB = "prometheus"
_JOB_LENGTH_MAX = 128 - len(_METRICS)  # a stream's name has 128 characters at most
_MS = 1_000_000  # nanoseconds
_MS_MAX = 9_223_372_036_854  # the year 2262, where nanoseconds end
_STALE = struct.pack("<Q", 0x7FF0000000000002)  # the NaN with which Prometheus ends a series
_EXACT = 2.0**53  # below it a float holds every whole number
_INFINITY = float("inf")
_OWN_NAMES = frozenset({"metric.name", "value"})
_EXPORTED = "exported_"  # what Prometheus itself puts before a label whose name is taken
_LABEL_BYTES_MAX = 256  # of a label that is remembered: longer ones rarely come again
_LABELS_REMEMBERED_MAX = 65_536  # 30 MiB when all are as long as they may be; a large Prometheus has some ten thousand

_encode = msgspec.json.Encoder().encode


class _Label(NamedTuple):
    name: str
    value: str
    member: str  # of the JSON of the attributes


Labels = Sequence[_Label]
_Point = tuple[str, int, float]  # what to put behind the name, time in milliseconds, value
ReadLabels = Callable[[Any], Labels]  # the labels of a series of one version; raises InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of one request.

    Attributes:
        parts: the lines, by stream.
        samples: of the series that were taken, those without a value included.
        histograms: of the series that were taken.
        stale: samples that end a series.
        invalid: why the first series that was not taken was refused; None when all were.
    """

    parts: tuple[Part, ...]
    samples: int
    histograms: int
    stale: int
    invalid: str | None


class _Series(NamedTuple):
    """What the labels of a series say about each of its samples."""

    name: str
    job: str
    attributes: str  # the JSON of the other labels, to stand behind name and value


@dataclass(slots=True)
class _Columns:
    """The lines of one stream under construction."""

    times_ms: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def next_position(self) -> int:
        return len(self.values) + len(self.rejected)

    def add(self, name: str, attributes: str, time_ms: int, value: float) -> None:
        self.times_ms.append(time_ms)
        self.values.append(value)
        self.names.append(name)
        self.attributes.append(attributes)

    def part(self, stream: str) -> Part:
        size = len(self.values)
        taken_by = {each.line - 1 for each in self.rejected}
        texts = [_number(value) for value in self.values]
        # A number of JSON is never infinite.
        values = [f'"{text}"' if text[-1] == "f" else text for text in texts]
        heads = {name: f'{{"metric.name":{_json(name)},"value":' for name in set(self.names)}
        rows = zip(self.names, values, self.attributes, strict=True)
        nothing = pl.Series([None], dtype=pl.String).new_from_index(0, size)
        lines = pl.DataFrame(
            {
                "position": pl.Series([at for at in range(self.next_position) if at not in taken_by], dtype=pl.UInt32),
                "time": (pl.Series(self.times_ms, dtype=pl.Int64) * _MS).cast(TIME),
                "severity_number": pl.Series([None], dtype=pl.Int8).new_from_index(0, size),
                "body": pl.Series(list(map(" ".join, zip(self.names, texts, strict=True))), dtype=pl.String),
                "attributes": pl.Series([heads[name] + value + rest for name, value, rest in rows], dtype=pl.String),
                "trace_id": nothing,
                "span_id": nothing,
                "identity": nothing,
            }
        )
        return Part(stream=stream, lines=lines, rejected=tuple(self.rejected))


def decode_write(body: bytes, *, version: int, limits: Limits) -> Written:
    """Lines of a decompressed write request.

    Args:
        body: the message.
        version: of remote_write, 1 or 2.
        limits: where to stop.

    Raises:
        InputError: the body as a whole is no write request.
        TooLargeError: it is over a limit.
    """
    message = read_message(Write1 if version == 1 else Write2, body, limits)
    # Series are counted first: an empty one takes two bytes, and looking into millions takes long.
    if len(message.timeseries) > limits.lines_max or _count_lines(message) > limits.lines_max:
        raise TooLargeError(f"body: more than {limits.lines_max} samples; send it in parts")
    read_labels = _labels_of_pairs if version == 1 else _labels_of_symbols(list(map(text_of, message.symbols)))
    taken = _Taken(limits)
    for at, series in enumerate(message.timeseries):
        taken.add(at, series, read_labels)
    return taken.written()


def _count_lines(message: Any) -> int:
    return sum(len(series.samples) + 2 * len(series.histograms) for series in message.timeseries)


class _Taken:
    """The lines of one request under construction."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._streams: dict[str, _Columns] = {}
        self._by_job: dict[str, _Columns] = {}
        self._samples = self._histograms = self._stale = 0
        self._invalid: str | None = None

    def written(self) -> Written:
        return Written(
            parts=tuple(columns.part(stream) for stream, columns in self._streams.items()),
            samples=self._samples,
            histograms=self._histograms,
            stale=self._stale,
            invalid=self._invalid,
        )

    def add(self, at: int, series: Any, read_labels: ReadLabels) -> None:
        """Take a series, or refuse it whole.

        Args:
            at: its place in the request.
            series: of either version.
            read_labels: its labels, by version.
        """
        labels: Labels = ()
        points = _points(series)
        try:
            labels = read_labels(series)
            known = _series_of(labels, points, self._limits)
        except InputError as error:
            why = f"timeseries[{at}]: {error}"
            self._invalid = self._invalid or why
            columns = self._columns("")
            text = _json({"labels": [label[:2] for label in labels], "points": points})
            columns.rejected.append(reject(columns.next_position, text, why, self._limits))
            return
        columns = self._columns(known.job)
        for suffix, time_ms, value in points:
            if value == value:  # noqa: PLR0124 -- quicker than math.isnan, and this is asked for every sample
                columns.add(known.name + suffix, known.attributes, time_ms, value)
            elif _is_stale(value):
                self._stale += 1
        self._samples += len(series.samples)
        self._histograms += len(series.histograms)

    def _columns(self, job: str) -> _Columns:
        columns = self._by_job.get(job)
        if columns is None:
            stream = stream_name(job[:_JOB_LENGTH_MAX], _DEFAULT_JOB) + _METRICS
            columns = self._by_job[job] = self._streams.setdefault(stream, _Columns())
            if len(self._streams) > self._limits.streams_max:
                raise TooLargeError(f"body: more than {self._limits.streams_max} jobs; send it in parts")
        return columns


def _points(series: Any) -> list[_Point]:
    points = [("", sample.timestamp, sample.value) for sample in series.samples]
    for histogram in series.histograms:
        count = histogram.count_int or histogram.count_float
        # The marker is in the sum alone.
        points.append(("_count", histogram.timestamp, histogram.sum if _is_stale(histogram.sum) else count))
        points.append(("_sum", histogram.timestamp, histogram.sum))
    return points


def _is_stale(value: float) -> bool:
    return struct.pack("<d", value) == _STALE


def _series_of(labels: Labels, points: Sequence[_Point], limits: Limits) -> _Series:
    if len(labels) > limits.fields_max:
        raise InputError(f"more than {limits.fields_max} labels")
    name = job = ""
    for label in labels:
        if label.name == _NAME:
            name = label.value
        elif label.name == "job":
            job = label.value
    if not name:
        raise InputError(f"labels: {_NAME} is missing")
    if len({label.name for label in labels}) < len(labels):
        raise InputError("labels: a name comes twice")
    attributes = "".join([label.member for label in labels]) + "}"
    if len(name) + len(attributes) > limits.line_bytes_max:
        raise InputError(f"labels: longer than {limits.line_bytes_max} bytes")
    for _, time_ms, _ in points:
        if not -_MS_MAX <= time_ms <= _MS_MAX:
            raise InputError(f"time {time_ms} ms since 1970 cannot be kept")
    return _Series(name, job, attributes)


def _labels_of_pairs(series: Any) -> Labels:
    return [_label(pair) if len(pair) <= _LABEL_BYTES_MAX else _label_of_pair(pair) for pair in series.labels]


def _labels_of_symbols(symbols: Sequence[str]) -> ReadLabels:
    known: dict[tuple[int, int], _Label] = {}

    def read(series: Any) -> Labels:
        refs = list(series.labels_refs)
        if len(refs) % 2:
            raise InputError("labels_refs: not in pairs")
        labels = []
        for pair in zip(refs[::2], refs[1::2], strict=True):
            label = known.get(pair)
            if label is None:
                if max(pair) >= len(symbols):
                    raise InputError(f"labels_refs: there are only {len(symbols)} symbols")
                label = known[pair] = _label_of(symbols[pair[0]], symbols[pair[1]])
            labels.append(label)
        return labels

    return read


def _label_of_pair(pair: bytes) -> _Label:
    try:
        message = Label.FromString(pair)
    except DecodeError as error:
        raise InputError("labels: not a Label in protobuf") from error
    return _label_of(text_of(message.name), text_of(message.value))


_label = lru_cache(maxsize=_LABELS_REMEMBERED_MAX)(_label_of_pair)


def _label_of(name: str, value: str) -> _Label:
    if name == _NAME or not value:
        return _Label(name, value, "")
    return _Label(name, value, f",{_json(_EXPORTED + name if name in _OWN_NAMES else name)}:{_json(value)}")


def _number(value: float) -> str:
    """A number as short as it can be written, `5` rather than `5.0`."""
    if abs(value) == _INFINITY:
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if abs(value) < _EXACT and value == int(value) else repr(value)


def _json(value: object) -> str:
    return _encode(value).decode()
