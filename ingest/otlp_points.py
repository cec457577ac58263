"""The data points of OTLP metrics as lines: the name and a value, and what else is known of them as attributes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ingest.limits import Limits
from ingest.otlp_sheet import Line
from ingest.otlp_wire import Wire, attributes_of
from tocsin.errors import InputError

_KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
_TEMPORALITY = {1: "delta", 2: "cumulative"}
_NO_RECORDED_VALUE = 1  # a flag: the series has a gap here

Number = int | float


class Point(NamedTuple):
    """A data point, with what its metric says of all of them."""

    of_metric: dict[str, Any]
    kind: str
    point: Any


def points_of(metric: Any, wire: Wire) -> Iterator[Point]:
    """The data points of a metric that have a value."""
    for kind in _KINDS:
        data = wire.field(metric, kind)
        if data is None:
            continue
        of_metric: dict[str, Any] = {"metric.name": metric.name or "", "metric.kind": kind}
        if metric.unit:
            of_metric["metric.unit"] = metric.unit
        if kind not in {"gauge", "summary"} and data.aggregation_temporality in _TEMPORALITY:
            of_metric["metric.temporality"] = _TEMPORALITY[data.aggregation_temporality]
        if kind == "sum":
            of_metric["metric.monotonic"] = bool(data.is_monotonic)
        for point in data.data_points or ():
            if not (point.flags or 0) & _NO_RECORDED_VALUE:
                yield Point(of_metric, kind, point)


def line_of_point(item: Point, wire: Wire, limits: Limits) -> Line:
    """A data point. The value of a histogram or summary is its mean, or its count where there is no sum.

    Raises:
        InputError: it has no value, or a label is over a limit.
    """
    point = item.point
    measured = {"value": _number(point, wire)} if item.kind in {"gauge", "sum"} else _distribution(item, wire)
    name = item.of_metric["metric.name"]
    return Line(
        time=point.time_unix_nano or 0,
        severity_number=None,
        body=f"{name} {measured['value']}",
        attributes=attributes_of(point.attributes, wire, limits) | item.of_metric | measured,
    )


def _number(point: Any, wire: Wire) -> Number:
    for name in ("as_double", "as_int"):
        value: Number | None = wire.field(point, name)
        if value is not None:
            return value
    raise InputError("a data point without a value")


def _distribution(item: Point, wire: Wire) -> dict[str, Number]:
    point = item.point
    count = point.count or 0
    if item.kind == "summary":
        total = point.sum or 0.0
        more = {f"quantile.{each.quantile or 0.0}": each.value or 0.0 for each in point.quantile_values or ()}
    else:
        total = wire.field(point, "sum")
        more = {name: value for name in ("min", "max") if (value := wire.field(point, name)) is not None}
    if total is None:
        return {"value": count, "count": count} | more
    return {"value": total / count if count else 0, "count": count, "sum": total} | more
