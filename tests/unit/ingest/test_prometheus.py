from __future__ import annotations

import json
import struct
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.limits import Limits
from ingest.messages import Label, Write1, Write2
from ingest.prometheus import Written, decode_write
from tocsin.errors import InputError, TooLargeError
from tocsin.record import LINES

LIMITS = Limits()
MS = 1_764_064_800_001
WHEN = datetime(2025, 11, 25, 10, 0, 0, 1000, tzinfo=UTC)
(STALE,) = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))
NAN = float("nan")

Samples = list[tuple[int, float]]


class First:
    """Writes messages of version 1."""

    version = 1

    def __init__(self) -> None:
        self.message: Any = Write1()

    def series(self, *labels: tuple[str, str], samples: Samples) -> Any:
        series = self.message.timeseries.add()
        for name, value in labels:
            series.labels.append(Label(name=name.encode(), value=value.encode()).SerializeToString())
        for time_ms, number in samples:
            series.samples.add(timestamp=time_ms, value=number)
        return series

    def written(self, limits: Limits = LIMITS) -> Written:
        return decode_write(self.message.SerializeToString(), version=self.version, limits=limits)


class Second(First):
    """Writes messages of version 2."""

    version = 2

    def __init__(self) -> None:
        self.message = Write2()
        self.symbols: dict[str, int] = {}
        self.place("")

    def place(self, text: str) -> int:
        if text not in self.symbols:
            self.symbols[text] = len(self.symbols)
            self.message.symbols.append(text.encode())
        return self.symbols[text]

    def series(self, *labels: tuple[str, str], samples: Samples) -> Any:
        series = self.message.timeseries.add()
        series.labels_refs.extend(self.place(text) for label in labels for text in label)
        for time_ms, number in samples:
            series.samples.add(timestamp=time_ms, value=number)
        return series


@pytest.fixture(params=[First, Second], ids=["version 1", "version 2"])
def writer(request: pytest.FixtureRequest) -> First:
    made = request.param()
    assert isinstance(made, First)
    return made


UP = (("__name__", "up"), ("instance", "web-1:9100"), ("job", "node"))


def test_a_sample_is_a_line(writer: First) -> None:
    writer.series(*UP, samples=[(MS, 1.0), (MS + 1000, 0.25)])
    written = writer.written()
    (part,) = written.parts
    assert dict(part.lines.schema) == LINES
    assert part.stream == "node.metrics"
    assert part.lines.row(0, named=True) == {
        "position": 0,
        "time": WHEN,
        "severity_number": None,
        "body": "up 1",
        "attributes": '{"metric.name":"up","value":1,"instance":"web-1:9100","job":"node"}',
        "trace_id": None,
        "span_id": None,
        "identity": None,
    }
    assert part.lines["body"].to_list() == ["up 1", "up 0.25"]
    assert (written.samples, written.histograms, written.stale, written.invalid) == (2, 0, 0, None)


def test_each_job_has_a_stream_and_what_has_none_is_prometheus(writer: First) -> None:
    for job in ("node", "a/b", "", "node", "x" * 200):
        writer.series(("__name__", "up"), ("job", job), samples=[(MS, 1)])
    written = writer.written()
    heights = {part.stream: part.lines.height for part in written.parts}
    assert heights == {"node.metrics": 2, "a-b.metrics": 1, "prometheus.metrics": 1, "x" * 120 + ".metrics": 1}


@pytest.mark.parametrize(
    ("value", "body", "number"),
    [
        (0.0, "m 0", 0),
        (-0.5, "m -0.5", -0.5),
        (1764064800.0, "m 1764064800", 1764064800),
        (9.3e18, "m 9.3e+18", 9.3e18),
        (1e-9, "m 1e-09", 1e-9),
        (5e-324, "m 5e-324", 5e-324),
        (float("inf"), "m +Inf", "+Inf"),
        (float("-inf"), "m -Inf", "-Inf"),
    ],
)
def test_numbers_are_written_short_and_exactly(writer: First, value: float, body: str, number: object) -> None:
    writer.series(("__name__", "m"), samples=[(MS, value)])
    (part,) = writer.written().parts
    assert part.lines["body"].to_list() == [body]
    assert json.loads(part.lines["attributes"][0]) == {"metric.name": "m", "value": number}


def test_stale_markers_and_nan_make_no_line_and_are_no_error(writer: First) -> None:
    writer.series(*UP, samples=[(MS, 1), (MS + 1, STALE), (MS + 2, NAN), (MS + 3, 2)])
    written = writer.written()
    assert written.parts[0].lines["body"].to_list() == ["up 1", "up 2"]
    assert (written.samples, written.stale, written.invalid) == (4, 1, None)


def test_a_native_histogram_is_its_count_and_sum(writer: First) -> None:
    series = writer.series(("__name__", "seconds"), ("job", "api"), samples=[])
    series.histograms.add(count_int=7, sum=1.5, timestamp=MS)
    series.histograms.add(count_float=7.5, sum=2.5, timestamp=MS)
    series.histograms.add(sum=STALE, timestamp=MS)
    written = writer.written()
    bodies = written.parts[0].lines["body"].to_list()
    assert bodies == ["seconds_count 7", "seconds_sum 1.5", "seconds_count 7.5", "seconds_sum 2.5"]
    assert (written.samples, written.histograms, written.invalid) == (0, 3, None)


def test_labels_named_as_our_own_fields_are_kept_under_another_name(writer: First) -> None:
    writer.series(("__name__", "m"), ("value", "x"), ("metric.name", "y"), ("empty", ""), samples=[(MS, 1)])
    (part,) = writer.written().parts
    told = {"metric.name": "m", "value": 1, "exported_value": "x", "exported_metric.name": "y"}
    assert json.loads(part.lines["attributes"][0]) == told


def test_letters_that_are_not_utf_8_cost_nothing_but_themselves() -> None:
    writer = First()
    series = writer.series(("__name__", "m"), samples=[(MS, 1)])
    series.labels.append(Label(name=b"zone", value=b"caf\xe9\0").SerializeToString())
    assert json.loads(writer.written().parts[0].lines["attributes"][0])["zone"] == "caf\ufffd\ufffd"


@pytest.mark.parametrize(
    ("labels", "time_ms", "says"),
    [
        ((("job", "node"),), MS, "__name__ is missing"),
        ((("__name__", ""),), MS, "__name__ is missing"),
        ((*UP, ("job", "other")), MS, "twice"),
        (UP, 2**62, "cannot be kept"),
        (UP, -(2**63), "cannot be kept"),
    ],
)
def test_an_invalid_series_is_named_and_the_others_are_taken(
    writer: First, labels: tuple[tuple[str, str], ...], time_ms: int, says: str
) -> None:
    writer.series(*UP, samples=[(MS, 1)])
    writer.series(*labels, samples=[(time_ms, 2)])
    writer.series(*UP, samples=[(MS, 3)])
    written = writer.written()
    assert written.invalid is not None
    assert written.invalid.startswith("timeseries[1]: ")
    assert says in written.invalid
    assert written.samples == 2
    (part,) = [part for part in written.parts if part.stream == "node.metrics"]
    assert part.lines["body"].to_list() == ["up 1", "up 3"]
    (rejected,) = [line for each in written.parts for line in each.rejected]
    assert json.loads(rejected.raw)["points"] == [["", time_ms, 2.0]]


def test_places_of_lines_and_of_dead_letters_do_not_meet(writer: First) -> None:
    for name in ("a", "", "b", "", "c"):
        writer.series(("__name__", name), samples=[(MS, 1)])
    (part,) = writer.written().parts
    assert part.lines["position"].to_list() == [0, 2, 4]
    assert [line.line for line in part.rejected] == [2, 4]


@pytest.mark.parametrize(("refs", "says"), [([1], "pairs"), ([1, 99], "symbols")])
def test_references_that_lead_nowhere_are_named(refs: list[int], says: str) -> None:
    writer = Second()
    writer.series(*UP, samples=[(MS, 1)]).labels_refs.extend(refs)
    assert says in str(writer.written().invalid)


def test_fields_that_nobody_reads_are_stepped_over() -> None:
    writer = First()
    writer.series(*UP, samples=[(MS, 1)])
    metadata = b"\x1a\x04\x08\x01\x12\x00"  # field 3 of version 1
    body = metadata + writer.message.SerializeToString() + metadata
    assert decode_write(body, version=1, limits=LIMITS).samples == 1
    assert decode_write(metadata, version=1, limits=LIMITS).parts == ()
    second = Second()
    series = second.series(*UP, samples=[(MS, 1)])
    series.MergeFromString(
        b"\x2a\x04\x08\x01\x18\x02" + b"\x30\x80\x01" + b"\x22\x02\x08\x01"
    )  # metadata, created, exemplar
    assert second.written().samples == 1


def test_limits_hold(writer: First) -> None:
    writer.series(*UP, samples=[(MS, n) for n in range(3)])
    assert writer.written(replace(LIMITS, lines_max=3)).samples == 3
    with pytest.raises(TooLargeError, match="samples"):
        writer.written(replace(LIMITS, lines_max=2))
    with pytest.raises(TooLargeError, match="samples"):
        decode_write(b"\x0a\x00" * 3, version=1, limits=replace(LIMITS, lines_max=2))
    with pytest.raises(TooLargeError, match="protobuf"):
        writer.written(replace(LIMITS, message_bytes_max=10))
    assert "labels" in str(writer.written(replace(LIMITS, fields_max=2)).invalid)
    assert "longer" in str(writer.written(replace(LIMITS, line_bytes_max=20)).invalid)
    writer.series(("__name__", "m"), ("job", "other"), samples=[(MS, 1)])
    with pytest.raises(TooLargeError, match="jobs"):
        writer.written(replace(LIMITS, streams_max=1))


@pytest.mark.parametrize("version", [1, 2])
def test_bytes_that_are_no_message_are_refused_whole(version: int) -> None:
    with pytest.raises(InputError, match="Request"):
        decode_write(b"\x0a\xff\x2a\xff", version=version, limits=LIMITS)
    assert decode_write(b"", version=version, limits=LIMITS).parts == ()


POINTS = st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats()), max_size=4)
LABELS = st.lists(st.tuples(st.sampled_from(["__name__", "job", "value", "zone"]) | st.text(), st.text()), max_size=5)


@given(st.sampled_from([First, Second]), st.lists(st.tuples(LABELS, POINTS), max_size=4))
def test_every_series_is_taken_or_named(kind: type[First], sent: list[tuple[list[tuple[str, str]], Samples]]) -> None:
    writer = kind()
    for labels, samples in sent:
        writer.series(*labels, samples=samples)
    written = writer.written()
    rejected = [line for part in written.parts for line in part.rejected]
    assert (written.invalid is None) == (not rejected)
    lines = sum(part.lines.height for part in written.parts)
    assert lines <= written.samples <= sum(len(samples) for _, samples in sent)
    for part in written.parts:
        for text, body in zip(part.lines["attributes"], part.lines["body"], strict=True):
            fields = json.loads(text)
            assert body == f"{fields['metric.name']} {body.rpartition(' ')[2]}"
            assert float(body.rpartition(" ")[2]) == float(fields["value"])


@given(st.binary(max_size=200), st.sampled_from([1, 2]))
def test_no_bytes_crash_the_decoder(body: bytes, version: int) -> None:
    with suppress(InputError):
        decode_write(body, version=version, limits=LIMITS)


@given(st.sampled_from([First, Second]), st.data())
def test_no_damage_to_a_message_crashes_the_decoder(kind: type[First], data: st.DataObject) -> None:
    writer = kind()
    writer.series(*UP, samples=[(MS, 1), (MS + 1, STALE)]).histograms.add(count_int=7, sum=1.5, timestamp=MS)
    body = bytearray(writer.message.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(InputError):
        decode_write(bytes(body), version=writer.version, limits=LIMITS)
